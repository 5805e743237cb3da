"""Run folders -> bundle: ONNX networks that provably compute what the trained ones do."""

import json
import shutil
import tomllib
from collections.abc import Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from kneegrade.bundles.manifest import (
    SCHEMA_VERSION,
    Bundle,
    LocatorSpec,
    hash_file,
    read_bundle,
)
from kneegrade.bundles.runner import OnnxRunner
from kneegrade.bundles.subjects import Subjects, read_subjects, write_subjects
from kneegrade.errors import BundleError, RecipeError
from kneegrade.evaluation.report import summarise_agreement
from kneegrade.evaluation.subject_use import add_subject_use, choose_subject_use
from kneegrade.evaluation.tables import compute_agreement, join_truth
from kneegrade.grading.grader import softmax
from kneegrade.grading.predictions import read_predictions
from kneegrade.knees.store import read_index
from kneegrade.output import write_whole, writing_to
from kneegrade.training.bundling.locator_export import (
    copy_locator,
    export_locator,
    locator_manifest,
)
from kneegrade.training.bundling.model_card import write_model_card
from kneegrade.training.grader.datasets import KneeDataset, read_labelled_knees
from kneegrade.training.grader.networks import GradingNetwork
from kneegrade.training.grader.run import FinishedRun, predict_logits, read_run
from kneegrade.training.onnx_file import write_onnx

DATA_CARDS_FOLDER: Final = Path(__file__).parent / "data_cards"
PARITY_KNEES: Final = 100
PARITY_BOUND: Final = 1e-4
CARD_TEXTS: Final = ("name", "licence", "attribution", "readers")
CARD_LISTS: Final = ("tasks_with_real_grades", "not_validated_on", "never_assessed")
BUNDLE_LICENCE: Final = (
    "Apache-2.0 for our own rights in the weights; what they were trained on keeps its terms"
)


def export_bundle(
    run_folders: Sequence[Path],
    store: Path,
    folder: Path,
    *,
    locator: tuple[Path, Path] | None = None,
    version: str = "1",
    data_card: Path | None = None,
    notes: Path | None = None,
) -> Bundle:
    """Write a bundle from one run, or from the folds of one recipe.

    Parameters
    ----------
    run_folders : sequence of Path
    store : Path
        The ROI store that the runs used: the parity check reads 100 knees of it.
    folder : Path
        The bundle; files of an older one there are replaced.
    locator : (Path, Path) or None
        The locator's runs for films and for knees; None copies the embedded bundle's locator.
    version : str
    data_card : Path or None
        TOML that states what the training data are; None takes the shipped card of the store's
        readings.
    notes : Path or None
        Markdown that goes into the model card: further measurements.

    Raises
    ------
    RecipeError
        ``run.other-recipe`` if the runs' recipes differ.
    BundleError
        ``bundle.parity`` if a probability of the exported network differs by 1e-4 or more from
        the trained one's; ``bundle.invalid`` if there is no complete data card.
    OutputError
        ``output.not-writable``.
    """
    runs = _read_runs(run_folders)
    recipe = runs[0].recipe
    index = read_index(store)
    cards = _read_data_cards(index, data_card)
    further = _read_notes(notes)
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
    parity = read_labelled_knees(_parity_rows(index), store, recipe)
    members, worst = _write_members(runs, folder, KneeDataset(parity, recipe, epoch=None))
    shutil.copy(runs[0].folder / "recipe.toml", folder / "recipe.toml")
    spec = export_locator(*locator, folder) if locator else copy_locator(folder)
    write_subjects(_join_subjects(runs, spec), folder)
    manifest = _manifest(runs, members, cards, version, folder)
    manifest["locator"] = locator_manifest(spec)
    files = [*members, spec.film.name, spec.knee.name, "subjects.json"]
    manifest["files"] = {name: hash_file(folder / name) for name in files}
    manifest["agreement"] = _agreement(runs, index)
    manifest["parity"] = {"knees": len(parity), "largest_probability_difference": worst}
    write_whole(folder / "bundle.json", f"{json.dumps(manifest, indent=1, ensure_ascii=False)}\n")
    bundle = read_bundle(folder)
    write_model_card(bundle, worst, further)
    return bundle


def _read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    runs = [read_run(path) for path in folders]
    if any(run.recipe != runs[0].recipe for run in runs):
        raise RecipeError(
            "run.other-recipe",
            "All runs of a bundle must have the same recipe.",
            "Export runs of different recipes into bundles of their own.",
        )
    return runs


def _write_members(
    runs: Sequence[FinishedRun], folder: Path, knees: KneeDataset
) -> tuple[list[str], float]:
    """Write each run's network and log; their names and the largest difference found."""
    members = []
    worst = 0.0
    for number, run in enumerate(runs):
        path = folder / f"member-{number}.onnx"
        network = run.read_network()
        size = run.recipe.input.size_px
        write_onnx(network, size, [task.value for task in network.tasks], path)
        worst = max(worst, check_parity(network, path, knees))
        members.append(path.name)
        shutil.copy(run.folder / "run.json", folder / f"run-{number}.json")
        shutil.copy(run.folder / "log" / "metrics.csv", folder / f"log-{number}.csv")
    return members, worst


def check_parity(network: GradingNetwork, path: Path, knees: KneeDataset) -> float:
    """Largest difference of a probability between the trained network and its ONNX file.

    Raises
    ------
    BundleError
        ``bundle.parity`` if it is 1e-4 or more.
    """
    expected = predict_logits(network, knees)
    images = np.stack([knees[i][0].numpy() for i in range(len(knees))])
    found = OnnxRunner(path).run(images)
    worst = max(
        float(np.abs(softmax(found[task]) - softmax(expected[task])).max())
        for task in network.tasks
    )
    if not worst < PARITY_BOUND:
        raise BundleError(
            "bundle.parity",
            f"Probabilities of the exported network must differ by less than {PARITY_BOUND}. "
            f"Got {worst:.2g}.",
            "Report it with the versions of torch, onnx and onnxruntime.",
        )
    return worst


def _parity_rows(index: pd.DataFrame) -> pd.DataFrame:
    usable = index[index["status"] == "ok"]
    return usable.sample(min(PARITY_KNEES, len(usable)), random_state=0)


def _join_subjects(runs: Sequence[FinishedRun], locator: LocatorSpec) -> Subjects:
    """Those of all runs and of the locator's training."""
    parts = [read_subjects(run.folder) for run in runs]
    return reduce(or_, parts, Subjects.from_lists(locator.facts["subjects"]))


def _manifest(
    runs: Sequence[FinishedRun],
    members: Sequence[str],
    cards: Sequence[dict[str, Any]],
    version: str,
    folder: Path,
) -> dict[str, Any]:
    recipe = runs[0].recipe
    look = recipe.input
    enhancement = look.enhancement
    start = "ImageNet" if recipe.network.start == "imagenet" else "random"
    return {
        "schema_version": SCHEMA_VERSION,
        "name": recipe.name,
        "version": version,
        "licence": BUNDLE_LICENCE,
        "tasks": {
            task.value: {
                "temperature": float(np.mean([run.temperatures[task] for run in runs])),
                "decoding": recipe.decoding.value,
            }
            for task in recipe.tasks
        },
        "input": {
            "size_px": look.size_px,
            "field_of_view_plateau_widths": look.field_of_view_plateau_widths,
            "lateral_first": look.lateral_first,
            "enhancement": enhancement and vars(enhancement),
            "clip_percentiles": list(look.clip_percentiles),
            "poses": [vars(pose) for pose in look.poses],
        },
        "average": "probability",
        "members": list(members),
        "training": {
            "network": recipe.network.backbone,
            "start": start,
            "data": [{name: card[name] for name in CARD_TEXTS} for card in cards],
            **{
                name: sorted({item for card in cards for item in card[name]}, key=str.lower)
                for name in CARD_LISTS
            },
            "knees_per_run": [run.facts["knees"] for run in runs],
            "versions": runs[0].facts["versions"],
        },
    }


def _agreement(runs: Sequence[FinishedRun], index: pd.DataFrame) -> dict[str, Any]:
    """Agreement of the held-out predictions, as ``kneegrade evaluate`` would report it."""
    predictions = pd.concat([read_predictions(run.folder / "heldout.parquet") for run in runs])
    predictions["bundle_id"] = predictions["bundle_id"].iloc[0]
    use = choose_subject_use(predictions, None, None)
    joined = add_subject_use(join_truth(predictions, index), use)
    figures = compute_agreement(joined)
    summary = summarise_agreement(joined, figures, rounds=1000, seed=0)
    ((use_group, group),) = summary["groups"].items()
    return {
        "about": f"knees held out from training ({group['label']})",
        "bootstrap": summary["bootstrap"],
        "task": {name: {"subjects": use_group, **task} for name, task in group["tasks"].items()},
    }


def _read_data_cards(index: pd.DataFrame, data_card: Path | None) -> list[dict[str, Any]]:
    paths = (
        [data_card]
        if data_card
        else [DATA_CARDS_FOLDER / f"{reading}.toml" for reading in sorted(set(index["reading"]))]
    )
    return [_read_data_card(path) for path in paths]


def _read_data_card(path: Path) -> dict[str, Any]:
    hint = "Write one like training/bundling/data_cards/chen-2018.toml, give it with --data."
    if not path.is_file():
        raise BundleError(
            "bundle.invalid",
            f"A bundle must state what it was trained on. There is no data card {path.name!r}.",
            hint,
        )
    try:
        card = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(
            "bundle.invalid", f"The data card {path.name!r} is not TOML: {error}.", hint
        ) from error
    texts = [name for name in CARD_TEXTS if not isinstance(card.get(name), str)]
    lists = [name for name in CARD_LISTS if not isinstance(card.get(name), list)]
    if texts or lists:
        raise BundleError(
            "bundle.invalid",
            f"The data card {path.name!r} must have the texts {', '.join(CARD_TEXTS)} and the "
            f"lists {', '.join(CARD_LISTS)}. Missing: {', '.join(texts + lists)}.",
            hint,
        )
    return card


def _read_notes(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8") if path else ""
    except (OSError, ValueError) as error:
        raise BundleError(
            "bundle.invalid",
            f"The notes for the model card cannot be read. Got {type(error).__name__}.",
            "Check the path after --notes; the file is text in UTF-8.",
        ) from error
