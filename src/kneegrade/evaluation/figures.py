"""Figures of an evaluation, each as the text of an SVG file."""

from io import StringIO
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray

from kneegrade.evaluation.metrics import Reliability

_INK = "#1f2933"
_BLUE = "#2b6cb0"


def draw_confusion(confusion: NDArray[np.int64]) -> str:
    """Draw a confusion matrix: counts, shaded by the share of the reader's grade.

    Parameters
    ----------
    confusion : (n_grades, n_grades) array of int
        Rows by the reader's grade, columns by the predicted grade.

    Returns
    -------
    str
        SVG.
    """
    n_grades = len(confusion)
    of_row = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    figure, axes = _begin_figure()
    axes.imshow(of_row, cmap="Blues", vmin=0, vmax=1)
    for (row, col), count in np.ndenumerate(confusion):
        share = of_row[row, col]
        axes.text(
            col,
            row,
            f"{count}\n{share:.0%}" if count else "0",
            ha="center",
            va="center",
            color="white" if share > 0.55 else _INK,
            fontsize=10,
        )
    axes.set_xticks(range(n_grades))
    axes.set_yticks(range(n_grades))
    axes.set_xlabel("Reported grade")
    axes.set_ylabel("Reader's grade")
    return _write_svg(figure)


def draw_reliability(reliability: Reliability) -> str:
    """Draw a reliability diagram: how often the most probable grade was the reader's.

    Parameters
    ----------
    reliability : Reliability
        The area of a point is the number of its knees.

    Returns
    -------
    str
        SVG.
    """
    figure, axes = _begin_figure()
    axes.plot([0, 1], [0, 1], color="#9aa5b1", linewidth=1, linestyle="--")
    axes.plot(reliability.confidence, reliability.accuracy, color=_BLUE, linewidth=1, alpha=0.5)
    share = reliability.n_knees / max(int(reliability.n_knees.sum()), 1)
    axes.scatter(
        reliability.confidence,
        reliability.accuracy,
        s=20 + 900 * share,
        color=_BLUE,
        alpha=0.75,
        clip_on=False,
    )
    axes.set_xlim(0, 1.04)
    axes.set_ylim(0, 1.04)
    axes.set_aspect("equal")
    axes.grid(color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("Probability of the most probable grade")
    axes.set_ylabel("Share where it was the reader's")
    return _write_svg(figure)


def _begin_figure() -> tuple[Figure, Any]:
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=7, colors=_INK)
    return figure, axes


def _write_svg(figure: Figure) -> str:
    text = StringIO()
    with rc_context({"svg.hashsalt": "kneegrade"}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
