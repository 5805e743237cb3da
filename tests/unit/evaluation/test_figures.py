import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.releases.flow import FlowStep
from kneegrade.evaluation.figures import (
    REPORT_FIGURES,
    ReportFigure,
    draw_confusion,
    draw_distribution,
    draw_flow,
    draw_reliability,
)
from kneegrade.evaluation.grade_counts import compute_table_1
from kneegrade.evaluation.tables import GradedTask
from kneegrade.types import Task

COUNTS = {(0, 0): 30, (0, 1): 2, (1, 0): 5, (1, 1): 10, (1, 2): 1}
TRUE, PREDICTED = (
    np.repeat([grades[i] for grades in COUNTS], list(COUNTS.values())) for i in (0, 1)
)
GRADED = GradedTask(
    Task.JSN_M,
    TRUE,
    PREDICTED,
    0.1 + 0.6 * np.eye(4)[PREDICTED],
    np.array([str(i) for i in range(len(TRUE))]),
)


@pytest.mark.parametrize("figure", REPORT_FIGURES, ids=lambda figure: figure.name)
def test_a_figure_of_the_report_is_svg_and_the_same_every_time(figure: ReportFigure) -> None:
    svg = figure.draw(GRADED)
    assert svg is not None
    assert ElementTree.fromstring(svg.encode()).tag == "{http://www.w3.org/2000/svg}svg"
    assert svg == figure.draw(GRADED)
    turned = GRADED._replace(true=PREDICTED, predicted=TRUE)
    assert svg != figure.draw(turned), "it changes with the numbers"


def test_confusion_writes_the_counts() -> None:
    svg = draw_confusion(GRADED)
    for text in ("30", "94%", "0"):
        assert f"<!-- {text} -->" in svg


def test_no_reliability_without_probabilities() -> None:
    assert draw_reliability(GRADED._replace(probabilities=None)) is None


SVG = "{http://www.w3.org/2000/svg}"
STEPS = [
    FlowStep("replaced by a prosthesis", 500, 2_500),
    FlowStep("nothing dropped", 0, 2_500),
    FlowStep("a reason " + "that is long " * 12, 1_300, 1_200),
    FlowStep("cost 5$ or $x^2", 200, 1_000),
]


def texts_of(svg: str) -> list[str]:
    """What matplotlib draws as outlines, it also writes as comments, a line each."""
    return re.findall(r"<!-- (.*?) -->", svg)


def boxes_of(svg: str) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom of every box of a flow diagram, in points."""
    boxes = []
    for path in ElementTree.fromstring(svg.encode()).iter(f"{SVG}path"):
        numbers = [float(n) for n in re.findall(r"-?[0-9.]+", path.get("d", ""))]
        if "fill: #ffffff" in path.get("style", "") and "stroke: #1f2933" in path.get("style", ""):
            xs, ys = numbers[::2], numbers[1::2]
            boxes.append((min(xs), min(ys), max(xs), max(ys)))
    return boxes


def draw() -> str:
    return draw_flow(STEPS, n_read=3_000, read="Rows read", kept="Knees in the table")


def test_flow_writes_every_number_and_leaves_out_empty_steps() -> None:
    texts = texts_of(draw())
    for text in ("Rows read", "n = 3,000", "n = 500", "n = 2,500", "n = 1,300", "n = 1,200"):
        assert text in texts
    assert texts[-1] == "n = 1,000"
    assert "nothing dropped" not in texts
    assert "cost 5$ or $x^2" in texts
    assert draw() == draw()


def test_flow_boxes_do_not_overlap_and_exclusions_stand_to_the_right() -> None:
    boxes = boxes_of(draw())
    assert len(boxes) == 4 + 3
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in itertools.combinations(boxes, 2):
        assert r1 < l2 or r2 < l1 or b1 < t2 or b2 < t1
    lefts = sorted({box[0] for box in boxes})
    assert [sum(box[0] == left for box in boxes) for left in lefts] == [4, 3]


def test_flow_without_steps() -> None:
    svg = draw_flow([], n_read=7, read="Rows read", kept="Knees")
    assert texts_of(svg) == ["Rows read", "n = 7", "Knees", "n = 7"]


@pytest.fixture
def counts() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "cohort": ["$oai$"] * 1200 + ["most"] * 5,
            "kl": [0] * 1100 + [4] * 100 + [None] * 5,
            "jsn_m": [1] * 1205,
        }
    )
    return compute_table_1(table.astype({"kl": "Int8", "jsn_m": "Int8"}))


def test_distribution_names_datasets_and_counts(counts: pd.DataFrame) -> None:
    texts = texts_of(draw_distribution(counts, [Task.KL, Task.JSN_M]).svg)
    for text in ("$oai$: 1,200 knees", "most: 5 knees", "1,100", "100", "1,200", "no grades"):
        assert text in texts
    assert "Joint space narrowing" in texts


def test_distribution_is_the_same_every_time_in_both_forms(counts: pd.DataFrame) -> None:
    first, again = (draw_distribution(counts, [Task.KL]) for _ in range(2))
    assert first == again
    assert first.png.startswith(b"\x89PNG")
    assert ElementTree.fromstring(first.svg.encode()).tag == f"{SVG}svg"
    assert draw_distribution(counts, [Task.JSN_M]) != first
