from xml.etree import ElementTree

import numpy as np

from kneegrade.evaluation.figures import draw_confusion, draw_reliability
from kneegrade.evaluation.metrics import Reliability

CONFUSION = np.array([[30, 2, 0], [5, 10, 1], [0, 0, 0]])
RELIABILITY = Reliability(np.array([0.5, 0.9]), np.array([0.4, 0.95]), np.array([10, 50]))


def test_figures_are_svg_and_the_same_every_time() -> None:
    for draw in (lambda: draw_confusion(CONFUSION), lambda: draw_reliability(RELIABILITY)):
        assert ElementTree.fromstring(draw().encode()).tag == "{http://www.w3.org/2000/svg}svg"
        assert draw() == draw()


def test_confusion_writes_the_counts() -> None:
    svg = draw_confusion(CONFUSION)
    for text in ("30", "94%", "0"):
        assert f"<!-- {text} -->" in svg


def test_the_figure_changes_with_the_numbers() -> None:
    assert draw_confusion(CONFUSION) != draw_confusion(CONFUSION.T)
    assert draw_reliability(RELIABILITY) != draw_reliability(
        RELIABILITY._replace(accuracy=np.array([0.6, 0.95]))
    )
