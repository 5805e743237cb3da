"""A whole phantom study on disk: films, tables and the truth of both.

Beside the release's own files the folder holds ``study.json`` (what was asked for, and the versions
that drew it), ``truth.csv`` (one row per knee and visit, and per film where there are several) and
``truth-landmarks.csv``. While the films are being drawn, ``films.jsonl`` says which are done; it is
gone when the study is whole. Every file is written under a temporary name first.
"""

import csv
import io
import json
import shutil
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import cv2
import numpy as np
import pydicom

from kneegrade import __version__
from kneegrade.errors import ImageError, OutputError, WorkerError
from kneegrade.journal import note, read_journal
from kneegrade.knees.landmarks.table import LANDMARK_COLUMNS
from kneegrade.output import PART, write_whole, writing_to
from kneegrade.phantoms.knees.severity import NARROWING
from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.most import release as most_release
from kneegrade.phantoms.studies.oai import release as oai_release
from kneegrade.phantoms.studies.ordered_film import FilmTruth, write_film
from kneegrade.phantoms.studies.population import PhantomSubject, Study, draw_subject
from kneegrade.terms import LANDMARK_NAMES
from kneegrade.types import Side, Task
from kneegrade.workers import LIMIT_S, run_on_workers

SCHEMA_VERSION: Final = 1
SETTINGS: Final = "study.json"
JOURNAL: Final = "films.jsonl"
TRUTH: Final = "truth.csv"
PHANTOM_COHORT: Final = "phantom"
TRUTH_LANDMARKS: Final = "truth-landmarks.csv"
TRUTH_COLUMNS: Final = (
    *("subject_id", "subject_number", "visit_months", "side", "replaced"),
    *(task.value for task in Task),
    *(f"{task.value}_mm" for task in NARROWING),
    "image_path",
)
"""``jsn_l_mm`` and ``jsn_m_mm`` are joint space widths, in mm at the detector."""
_TABLES_PART: Final = ".tables.part"


class Release(Protocol):
    """What a release module does: see `film_order`."""

    def plan_films(self, subjects: Sequence[PhantomSubject], *, seed: int) -> list[FilmOrder]:
        """Films of the study."""

    def write_tables(self, folder: Path, subjects: Sequence[PhantomSubject], *, seed: int) -> None:
        """Tables of the study."""

    def write_subject_id(self, number: int) -> str:
        """A subject's id as the tables write it."""


RELEASES: Final[Mapping[Study, Release]] = MappingProxyType(
    {Study.OAI: oai_release, Study.MOST: most_release}
)


@dataclass(frozen=True)
class WrittenStudy:
    """What `write_study` left on disk.

    Parameters
    ----------
    n_subjects, n_visits, n_films : int
        In the whole study.
    n_drawn : int
        Films that this call drew; the rest was there.
    """

    n_subjects: int
    n_visits: int
    n_films: int
    n_drawn: int


def write_study(
    folder: Path,
    *,
    study: Study,
    n_subjects: int,
    seed: int,
    spacing_mm: float | None = None,
    n_workers: int | None = None,
    limit_s: float = LIMIT_S,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> WrittenStudy:
    """Write a study of phantoms in the format of a release; continue where an earlier call stopped.

    The same arguments and versions give the same bytes, with any number of processes.

    Parameters
    ----------
    folder : Path
        Where the study goes: new, empty, or begun by the same call.
    study : Study
    n_subjects, seed : int
        1 or more, 0 or more. Subject ``k`` is the same person in a study of any size.
    spacing_mm : float, optional
        Size of a pixel, 0.05 to 2 mm; each scanner's own if it is not given.
    n_workers, limit_s
        As for `run_on_workers`.
    on_progress : callable
        Called with the number of films done and in all.

    Raises
    ------
    OutputError, ImageError, WorkerError
        ``phantom.subjects-invalid``, ``image.spacing-invalid``; ``output.other-run`` if the folder
        holds anything else; ``output.not-writable``; a film ended or hung its process.
    """
    settings = _check_settings(study, n_subjects, seed, spacing_mm)
    release = RELEASES[study]
    with writing_to(folder):
        _claim_folder(folder, settings)
        subjects = [draw_subject(study, number, seed) for number in range(1, n_subjects + 1)]
        orders = release.plan_films(subjects, seed=seed)
        is_whole = (folder / TRUTH).is_file()
        truths = {truth["image_path"]: truth for truth in read_journal(folder / JOURNAL, settings)}
        to_draw = [
            order
            for order in orders
            if not (folder / order.path).is_file() or not (is_whole or order.image_path in truths)
        ]
        n_done = len(orders) - len(to_draw)
        start = partial(_open_drawing, folder, study, seed, spacing_mm)
        with closing(_draw_films(folder, start, to_draw, n_workers, limit_s)) as drawn:
            for count, truth in enumerate(drawn, start=n_done + 1):
                truths[truth["image_path"]] = truth
                on_progress(count, len(orders))
        _write_tables(folder, release, subjects, seed)
        if not is_whole:
            _write_truth(folder, release, subjects, orders, truths)
        (folder / JOURNAL).unlink()
    n_visits = sum(len(subject.visits) for subject in subjects)
    return WrittenStudy(n_subjects, n_visits, len(orders), len(to_draw))


def _open_drawing(
    folder: Path, study: Study, seed: int, spacing_mm: float | None
) -> Callable[[FilmOrder], FilmTruth]:
    return partial(write_film, folder, study=study, seed=seed, spacing_mm=spacing_mm)


def _draw_films(
    folder: Path,
    start: Callable[[], Callable[[FilmOrder], FilmTruth]],
    orders: Sequence[FilmOrder],
    n_workers: int | None,
    limit_s: float,
) -> Generator[FilmTruth, None, None]:
    """Draw films and note each in the journal when it is on disk."""
    drawn = run_on_workers(start, orders, n_workers=n_workers, limit_s=limit_s)
    with closing(drawn), (folder / JOURNAL).open("a", encoding="utf-8") as journal:
        for index, truth in drawn:
            if isinstance(truth, WorkerError):
                raise truth.within(orders[index].path)
            note(journal, truth)
            yield truth


def _check_settings(
    study: Study, n_subjects: int, seed: int, spacing_mm: float | None
) -> dict[str, Any]:
    """What ``study.json`` says."""
    if n_subjects < 1:
        raise OutputError(
            "phantom.subjects-invalid",
            f"A study needs at least one subject. Got {n_subjects}.",
            "Give --subjects 1 or more.",
        )
    if spacing_mm is not None and not 0.05 <= spacing_mm <= 2:
        raise ImageError(
            "image.spacing-invalid",
            f"A pixel must be 0.05 to 2 mm wide. Got {spacing_mm}.",
            "Give for example --spacing 0.2, or leave it out.",
        )
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study.value,
        "subjects": n_subjects,
        "seed": seed,
        "spacing_mm": spacing_mm,
        "versions": {
            "kneegrade": __version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "pydicom": pydicom.__version__,
        },
    }


def _claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin the study's folder, or make sure that it holds this study and no other."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / SETTINGS
    if path.is_file():
        found = path.read_text(encoding="utf-8")
        if found != _as_json(settings):
            raise OutputError(
                "output.other-run",
                f"The folder {str(folder)!r} holds another study: {' '.join(found.split())}.",
                "Name another --out, or delete the folder.",
            )
        return
    if {entry.name for entry in folder.iterdir()} - {SETTINGS + PART}:
        raise OutputError(
            "output.other-run",
            f"A new study needs an empty folder. Got {str(folder)!r}, which holds other files.",
            "Name another --out.",
        )
    write_whole(path, _as_json(settings))


def _as_json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"


def _write_tables(
    folder: Path, release: Release, subjects: Sequence[PhantomSubject], seed: int
) -> None:
    """Write the release's tables apart, then move each to its place."""
    apart = folder / _TABLES_PART
    shutil.rmtree(apart, ignore_errors=True)
    apart.mkdir()
    release.write_tables(apart, subjects, seed=seed)
    for path in sorted(apart.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(apart)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    shutil.rmtree(apart)


def _write_truth(
    folder: Path,
    release: Release,
    subjects: Sequence[PhantomSubject],
    orders: Sequence[FilmOrder],
    truths: Mapping[str, FilmTruth],
) -> None:
    """Write the truth of every knee at every visit, and of the films that show it."""
    films: dict[tuple[int, int, Side], list[str]] = {}
    for order in orders:
        if order.kind in {FilmKind.KNEES, FilmKind.BROKEN}:
            for side in order.sides:
                key = (order.subject_number, order.visit_months, side)
                films.setdefault(key, []).append(order.image_path)
    rows: list[dict[str, Any]] = []
    points: list[tuple[Any, ...]] = []
    for subject in subjects:
        for visit in subject.visits:
            for side, severity in visit.severity.items():
                known = {
                    "subject_id": release.write_subject_id(subject.number),
                    "subject_number": subject.number,
                    "visit_months": visit.visit_months,
                    "side": side.value,
                    "replaced": int(severity is None),
                }
                grades = {} if severity is None else severity.grades
                known |= {task.value: grade for task, grade in grades.items()}
                for path in films.get((subject.number, visit.visit_months, side), [""]):
                    knee = truths[path]["knees"][side.value] if path else {}
                    spaces = knee.get("joint_space_mm", {})
                    widths = {f"{t.value}_mm": spaces.get(t.value, "") for t in NARROWING}
                    rows.append(known | widths | {"image_path": path})
                    points += [
                        (
                            PHANTOM_COHORT,
                            known["subject_id"],
                            path,
                            side.value,
                            name,
                            *knee["landmarks_px"][place],
                        )
                        for place, name in enumerate(LANDMARK_NAMES)
                        if "landmarks_px" in knee
                    ]
    _write_csv(folder / TRUTH_LANDMARKS, LANDMARK_COLUMNS, points)
    table = [[row.get(column, "") for column in TRUTH_COLUMNS] for row in rows]
    _write_csv(folder / TRUTH, TRUTH_COLUMNS, table)


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_whole(path, text.getvalue())
