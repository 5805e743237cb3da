"""Draw the pictures of the documentation.

Usage: python docs/make_pictures.py [--page]   (needs the extra [study])

knees.png: the three radiographs of demo/real as the program reads them. refused.png: a synthetic
film that it refuses. With --page also report.png: the page of one of the real ones, as Chromium
shows it. phantoms.png is drawn by benchmarks/phantom_realism.py.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from kneegrade import Radiograph, Side, Task
from kneegrade.images.geometry import apply_affine
from kneegrade.images.read import read_radiograph
from kneegrade.knees.prepare import RefusedKnee
from kneegrade.pipeline.drawing import KneeDrawing, draw_knee
from kneegrade.pipeline.grader import GradedKnee, KneeGrader

FOLDER = Path(__file__).parent
DEMO = FOLDER.parent / "demo"
ATTRIBUTION = (DEMO / "real" / "ATTRIBUTION.txt").read_text(encoding="utf-8").splitlines()[0]
INK, QUIET, TRACK, BAR = "#1f2933", "#46525e", "#e4e9ee", "#62788e"
GRADED, MARGIN, LANDMARK, WIDTH, POSE = "#12395c", "#4fd1ff", "#ffc400", "#ff5fa2", "#9be564"
PAGE_SIZE = (1100, 1230)
PAGE_FILM = "demo/real/OP133.jpg"


def _draw_roi(axes: Axes, pixels: np.ndarray, drawing: KneeDrawing) -> None:
    """An ROI with what the page draws over it."""
    axes.imshow(pixels, cmap="gray", interpolation="bicubic")
    for line in drawing.margins:
        rows, cols = np.array(line).T
        axes.plot(cols, rows, color=MARGIN, linewidth=1)
    if drawing.landmarks:
        rows, cols = np.array(drawing.landmarks).T
        axes.plot(cols, rows, ".", color=LANDMARK, markersize=3.5)
    for width in drawing.widths:
        rows, cols = np.array(width.ends).T
        axes.plot(cols, rows, color=WIDTH, linewidth=1.8, marker="_", markersize=7)
        axes.text(
            *(cols[1], rows[1] + 12, width.label),
            color="white",
            fontsize=9,
            fontweight="bold",
            ha="center",
            va="top",
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "#000000b0", "edgecolor": "none"},
        )
    for outline in drawing.metal:
        axes.add_patch(
            Polygon(np.array(outline)[:, ::-1], fill=False, edgecolor=WIDTH, linestyle="--")
        )
    axes.set(xlim=(-0.5, drawing.size_px - 0.5), ylim=(drawing.size_px - 0.5, -0.5))
    axes.axis("off")


def _draw_bars(axes: Axes, knee: GradedKnee) -> None:
    """Probability of each Kellgren-Lawrence grade."""
    shares = knee.prediction.probabilities[Task.KL]
    reported = knee.prediction.grades[Task.KL]
    for grade, share in enumerate(shares):
        is_reported = grade == reported
        axes.barh(grade, 1, color=TRACK, height=0.6)
        axes.barh(grade, share, color=GRADED if is_reported else BAR, height=0.6)
        weight = "bold" if is_reported else "normal"
        text = f"{100 * share:.0f} %" if share >= 0.01 else "<1 %"
        axes.text(-0.04, grade, str(grade), ha="right", va="center", fontweight=weight, color=INK)
        axes.text(1.03, grade, text, ha="left", va="center", fontweight=weight, color=INK)
    axes.set(xlim=(-0.1, 1.25), ylim=(4.5, -0.5))
    axes.axis("off")


def _draw_film(axes: Axes, film: Radiograph, knee: GradedKnee) -> None:
    """The radiograph as it was given, with the region that is cut."""
    axes.imshow(film.pixels, cmap="gray")
    far = knee.roi.pixels.shape[0] - 1
    corners = apply_affine(
        knee.roi.to_radiograph, np.array([[0, 0], [0, far], [far, far], [far, 0]], dtype=float)
    )
    axes.add_patch(Polygon(corners[:, ::-1], fill=False, edgecolor=POSE, linewidth=1.6))
    axes.axis("off")


def draw_knees(path: Path) -> None:
    """Write each real film, the knee cut from it, and its grade."""
    grader = KneeGrader()
    films = sorted((DEMO / "real").glob("*.jpg"))
    figure, rows = plt.subplots(
        *(3, len(films)),
        figsize=(12, 8.8),
        gridspec_kw={"height_ratios": [0.95, 1.35, 0.55], "hspace": 0.16, "wspace": 0.08},
    )
    for (above, middle, below), film in zip(rows.T, films, strict=True):
        radiograph = read_radiograph(film)
        (knee,) = grader.grade(film)
        if not isinstance(knee, GradedKnee):
            sys.exit(f"{film.name} was refused: {knee.error}")
        _draw_film(above, radiograph, knee)
        above.set_title(film.name, fontsize=11, color=QUIET)
        _draw_roi(middle, knee.roi.pixels, draw_knee(knee.roi, knee.landmarks, knee.joint_space))
        mirrored = ", mirrored" if knee.side is Side.LEFT else ""
        middle.set_title(f"lateral  ←  {knee.side.value} knee{mirrored}  →  medial", fontsize=10)
        expected = knee.prediction.probabilities[Task.KL] @ np.arange(Task.KL.n_grades)
        _draw_bars(below, knee)
        below.set_title(
            f"KL {knee.prediction.grades[Task.KL]}   (expected grade {expected:.2f})",
            fontsize=13,
            fontweight="bold",
            color=INK,
        )
    figure.subplots_adjust(left=0.02, right=0.98, top=0.96, bottom=0.05)
    figure.text(0.5, 0.015, ATTRIBUTION, ha="center", fontsize=7.5, color=QUIET)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_refused(path: Path) -> None:
    """Write a synthetic film with a prosthesis, and what the program says of it."""
    film = DEMO / "films" / "09-implant-left.dcm"
    (knee,) = KneeGrader().grade(film)
    if not isinstance(knee, RefusedKnee) or knee.knee is None:
        sys.exit(f"{film.name} was expected to be refused.")
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4.4))
    left.imshow(read_radiograph(film).pixels, cmap="gray")
    left.axis("off")
    left.set_title(f"SYNTHETIC: {film.name}", fontsize=10, color=QUIET)
    drawing = draw_knee(knee.knee.roi, knee.knee.landmarks, metal_px=knee.knee.metal_px)
    _draw_roi(right, knee.knee.roi.pixels * 0.55, drawing)
    right.images[0].set_clim(0, 1)
    right.set_title(f"refused: {knee.error.code}", fontsize=12, fontweight="bold", color=INK)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.92, bottom=0.01, wspace=0.03)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_page(path: Path) -> None:
    """Write how the page of a real film looks."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("report.png needs Chromium.")
    with tempfile.TemporaryDirectory() as name:
        options = ("--out", name, "--attribution", ATTRIBUTION)
        command = "from kneegrade.apps.cli.main import main; main()"
        subprocess.run(
            [sys.executable, "-c", command, "grade", PAGE_FILM, *options],
            cwd=DEMO.parent,
            check=True,
        )
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-gpu"),
                f"--window-size={PAGE_SIZE[0]},{PAGE_SIZE[1]}",
                *(f"--screenshot={path}", f"file://{name}/report.html"),
            ],
            check=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true", help="report.png too; needs Chromium")
    arguments = parser.parse_args()
    draw_knees(FOLDER / "knees.png")
    draw_refused(FOLDER / "refused.png")
    if arguments.page:
        draw_page(FOLDER / "report.png")
