"""Two landmark runs -> the locator of a bundle, checked against the trained networks."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import torch

from kneegrade.bundles.manifest import LocatorSpec, read_bundle
from kneegrade.bundles.runner import OnnxNetwork
from kneegrade.bundles.subjects import read_subjects
from kneegrade.errors import BundleError, RecipeError
from kneegrade.phantoms.studies.study import PHANTOM_COHORT
from kneegrade.training.locator.recipe import Stage
from kneegrade.training.locator.run import FinishedLandmarkRun, read_landmark_run
from kneegrade.training.onnx_file import write_onnx

FILM_FILE: Final = "locator-film.onnx"
KNEE_FILE: Final = "locator-knee.onnx"
LANDMARK_DATA: Final = MappingProxyType(
    {
        "oai": 'Landmarks of real knees: A. Tiulpin, I. Melekhov, S. Saarakkala, "KNEEL: Knee '
        'Anatomical Landmark Localization Using Hourglass Networks", ICCV Workshops 2019 '
        "(arXiv:1907.12237), whose authors ask for this citation of whoever uses them and state no "
        "other licence; on pictures of the open set named under Training data, in frames that "
        "benchmarks/real_landmarks.py recovers. KNEEL's code and networks, which are "
        "non-commercial, are not used",
        PHANTOM_COHORT: "Phantoms drawn by kneegrade",
    }
)
"""What a landmark table's cohort stands for, with its citation."""
PARITY_BOUND: Final = 1e-3


def export_locator(film_run: Path, knee_run: Path, folder: Path) -> LocatorSpec:
    """Write the locator's two ONNX files.

    Parameters
    ----------
    film_run, knee_run : Path
        Finished landmark runs of the two stages.
    folder : Path
        The bundle; it must exist.

    Raises
    ------
    RecipeError
        ``run.other-recipe`` if a run is of the other stage; ``run.not-found``.
    BundleError
        ``bundle.parity`` if an output of an ONNX file differs from the trained network's.
    """
    film = _read(film_run, Stage.FILM)
    knee = _read(knee_run, Stage.KNEE)
    worst = 0.0
    for run, name in ((film, FILM_FILE), (knee, KNEE_FILE)):
        worst = max(worst, _write(run, folder / name))
    return LocatorSpec(
        film=folder / FILM_FILE,
        knee=folder / KNEE_FILE,
        film_size_px=film.recipe.input.size_px,
        knee_size_px=knee.recipe.input.size_px,
        knee_field_of_view_plateau_widths=knee.recipe.input.field_of_view_plateau_widths,
        clip_percentiles=knee.recipe.input.clip_percentiles,
        facts={
            "recipes": [film.recipe.name, knee.recipe.name],
            "data": [
                LANDMARK_DATA.get(cohort, f"knees of the cohort {cohort}")
                for cohort in sorted({*film.facts["cohorts"], *knee.facts["cohorts"]})
            ],
            "knees": {"film": film.facts["knees"], "knee": knee.facts["knees"]},
            "subjects": (read_subjects(film_run) | read_subjects(knee_run)).as_lists(),
            "largest_logit_difference": worst,
        },
    )


def copy_locator(folder: Path) -> LocatorSpec:
    """Copy the embedded bundle's locator into another bundle's folder."""
    spec = read_bundle("default").locator
    for path in (spec.film, spec.knee):
        shutil.copy(path, folder / path.name)
    return replace(spec, film=folder / spec.film.name, knee=folder / spec.knee.name)


def locator_manifest(spec: LocatorSpec) -> dict[str, Any]:
    """What ``bundle.json`` says of a locator; files by name."""
    values = vars(replace(spec))
    return {key: value.name if isinstance(value, Path) else value for key, value in values.items()}


def _read(folder: Path, stage: Stage) -> FinishedLandmarkRun:
    run = read_landmark_run(folder)
    if run.recipe.stage is not stage:
        raise RecipeError(
            "run.other-recipe",
            f"A landmark run of stage {stage.value} was expected in {str(folder)!r}. "
            f"Got {run.recipe.stage.value}.",
            "Name the film's run first, then the knee's.",
        )
    return run


def _write(run: FinishedLandmarkRun, path: Path) -> float:
    network = run.read_network()
    names = ["heatmaps", "absent", "scores", "metal"][: 4 if run.recipe.stage.n_scores else 2]
    size = run.recipe.input.size_px
    write_onnx(network, size, names, path)
    images = torch.randn(2, 1, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = dict(zip(names, network(images), strict=True))
    found = OnnxNetwork(path).run(images.numpy())
    worst = max(float(np.abs(found[n] - expected[n].numpy()).max()) for n in names)
    if not worst < PARITY_BOUND:
        raise BundleError(
            "bundle.parity",
            f"Outputs of the exported {path.name} must differ by less than {PARITY_BOUND}. "
            f"Got {worst:.2g}.",
            "Report it with the versions of torch, onnx and onnxruntime.",
        )
    return worst
