"""Figures of an evaluation and of a study, as the text of an SVG file; some as PNG too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO, StringIO
from textwrap import fill
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from kneegrade.cohorts.releases.flow import FlowStep
from kneegrade.evaluation.metrics import compute_confusion, compute_reliability
from kneegrade.evaluation.tables import GradedTask
from kneegrade.types import Task

PNG_DOTS_PER_INCH: Final = 150

_INK = "#1f2933"
_BLUE = "#2b6cb0"
_GREY = "#9aa5b1"
# The flow diagram, in inches: its two columns of boxes, a line of text, the room around both.
_LEFT, _RIGHT, _MIDDLE = (0.1, 2.7), (3.3, 7.1), 1.4
_LINE, _PAD = 0.19, 0.12
_LEFT_LETTERS, _RIGHT_LETTERS = 28, 44


class Picture(NamedTuple):
    """One figure as the text of an SVG file and as the bytes of a PNG file."""

    svg: str
    png: bytes


def draw_confusion(graded: GradedTask) -> str:
    """Draw a confusion matrix: counts, shaded by the share of the reader's grade.

    Parameters
    ----------
    graded : GradedTask

    Returns
    -------
    str
        SVG: rows by the reader's grade, columns by the predicted grade.
    """
    n_grades = graded.task.n_grades
    confusion = compute_confusion(graded.true, graded.predicted, n_grades=n_grades)
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


def draw_reliability(graded: GradedTask) -> str | None:
    """Draw a reliability diagram: how often the most probable grade was the reader's.

    Parameters
    ----------
    graded : GradedTask

    Returns
    -------
    str or None
        SVG, where the area of a point is the number of its knees; None without probabilities.
    """
    if graded.probabilities is None:
        return None
    reliability = compute_reliability(graded.true, graded.probabilities)
    figure, axes = _begin_figure()
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
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


@dataclass(frozen=True)
class ReportFigure:
    """A figure that the report shows of every task.

    Parameters
    ----------
    name : str
        What it is, as its alternative text says it.
    caption : str
    draw : callable
        Its SVG; None where the predictions don't hold what it needs.
    """

    name: str
    caption: str
    draw: Callable[[GradedTask], str | None]


REPORT_FIGURES: Final = (
    ReportFigure(
        "Confusion matrix",
        "Knees by the reader's and the reported grade. Per cent of the row.",
        draw_confusion,
    ),
    ReportFigure(
        "Reliability diagram",
        "Below the dashed line: more sure than right. Large points hold many knees.",
        draw_reliability,
    ),
)
"""In the order of the page."""


def draw_distribution(counts: pd.DataFrame, tasks: Sequence[Task]) -> Picture:
    """Draw how the knees spread over the grades: a row for each task, a column for each dataset.

    Supplementary figures 2 and 3 of Tiulpin and Saarakkala (2020) are this for the three lateral
    and the three medial OARSI grades. A bar is a grade's share of the knees that have any.

    Parameters
    ----------
    counts : DataFrame
        From `grade_counts.compute_table_1`.
    tasks : sequence of Task
        Each a column of ``counts``; at least one.

    Returns
    -------
    Picture
    """
    datasets = counts["dataset"].unique()
    size = (0.9 + 2.8 * len(datasets), 0.7 + 1.9 * len(tasks))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(tasks), len(datasets), squeeze=False, sharey=True)
    for row, task in enumerate(tasks):
        for axes, dataset in zip(grid[row], datasets, strict=True):
            of_grade = counts[(counts["dataset"] == dataset) & counts["grade"].str.isdigit()]
            found = of_grade[task.value].head(task.n_grades).to_numpy(dtype=np.int64)
            _draw_bars(axes, found)
            if row == 0:
                title = f"{dataset}: {of_grade['knees'].iloc[0]:,} knees"
                axes.set_title(title, fontsize=11, color=_INK, parse_math=False)
        what, _, place = task.label.partition(", ")
        label = f"{what[0].upper()}{what[1:]}\n{place}".strip()
        grid[row, 0].set_ylabel(label, fontsize=9, color=_INK)
    figure.supxlabel("Grade", fontsize=10, color=_INK)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=PNG_DOTS_PER_INCH)
    return Picture(_write_svg(figure), png.getvalue())


def draw_flow(steps: Sequence[FlowStep], *, n_read: int, read: str, kept: str) -> str:
    """Draw what became of every row as a flow diagram of CONSORT: what is dropped to the right.

    Parameters
    ----------
    steps : sequence of FlowStep
        In order; those that dropped nothing are not drawn.
    n_read : int
        Rows before the first step.
    read, kept : str
        What the first and the last box say above their number.

    Returns
    -------
    str
        SVG.
    """
    steps = [step for step in steps if step.dropped]
    n_kept = steps[-1].left if steps else n_read
    spine = [f"{fill(read, _LEFT_LETTERS)}\nn = {n_read:,}"]
    spine += [f"n = {step.left:,}" for step in steps[:-1]]
    spine += [f"{fill(kept, _LEFT_LETTERS)}\nn = {n_kept:,}"]
    dropped = [f"{fill(s.reason, _RIGHT_LETTERS)}\nn = {s.dropped:,}" for s in steps]
    gaps = [_height_of(text) + 2 * _PAD for text in dropped] or [4 * _PAD]
    height = 2 * _PAD + sum(map(_height_of, spine)) + sum(gaps)
    figure = Figure(figsize=(_RIGHT[1] + _PAD, height))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, _RIGHT[1] + _PAD), ylim=(height, 0))
    axes.set_axis_off()
    top = _PAD
    for place, text in enumerate(spine):
        bottom = _draw_box(axes, text, _LEFT, top)
        if place == len(spine) - 1:
            break
        top = bottom + gaps[place]
        _draw_arrow(axes, (_MIDDLE, bottom), (_MIDDLE, top))
        if dropped:
            middle = (bottom + top) / 2
            _draw_arrow(axes, (_MIDDLE, middle), (_RIGHT[0], middle))
            _draw_box(axes, dropped[place], _RIGHT, bottom + _PAD)
    return _write_svg(figure)


def _draw_bars(axes: Any, found: NDArray[np.int64]) -> None:
    if not found.any():
        axes.text(0.5, 0.5, "no grades", ha="center", color=_INK, transform=axes.transAxes)
    shares = found / max(int(found.sum()), 1)
    bars = axes.bar(range(len(found)), shares, color=_BLUE, width=0.7)
    clear = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    axes.bar_label(bars, [f"{n:,}" for n in found], fontsize=8, color=_INK, padding=3, bbox=clear)
    axes.set_xticks(range(len(found)))
    axes.set_ylim(0, 1.12)
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.grid(axis="y", color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=_INK, labelsize=9)


def _height_of(text: str) -> float:
    return _LINE * (text.count("\n") + 1) + 2 * _PAD


def _draw_box(axes: Any, text: str, sides: tuple[float, float], top: float) -> float:
    """Draw a box with its text and give back where it ends, in inches from the top."""
    (left, right), height = sides, _height_of(text)
    axes.add_patch(
        Rectangle((left, top), right - left, height, facecolor="white", edgecolor=_INK, linewidth=1)
    )
    axes.text(
        (left + right) / 2,
        top + height / 2,
        text,
        ha="center",
        va="center",
        color=_INK,
        fontsize=10,
        parse_math=False,
    )
    return top + height


def _draw_arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    style = {"arrowstyle": "-|>", "color": _INK, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=style)


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
