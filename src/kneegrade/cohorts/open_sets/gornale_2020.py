"""The open knee images graded by two readers (Gornale 2020) -> knee table with two readings.

Gornale S., Patravali P. Digital Knee X-ray Images. Mendeley Data, V1, 2020,
doi:10.17632/t9ndx37v5h.1 (CC BY 4.0). Each reader has a folder with the same images sorted by KL
grade, so an image is recognised by its pixels. Neither persons nor sides are published.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

import pandas as pd

from kneegrade.cohorts.open_sets.chen_2018 import PICTURE_SUFFIXES
from kneegrade.cohorts.tables.schema import check_knee_table
from kneegrade.errors import ImageError, TableError
from kneegrade.types import Contrast, Side

COHORT: Final = "gornale"
READINGS: Final = ("expert-1", "expert-2")
GRADE_WORDS: Final = ("normal", "doubtful", "mild", "moderate", "severe")
"""By KL grade; a folder is called ``0Normal``, an image ``NormalG0 (1).png``."""
PUBLISHED: Final = (514, 477, 232, 221, 206)
"""Pictures by KL grade of the first expert."""

_EXPERT = re.compile(r"medical[ _-]?expert[ _-]?(?P<number>ii|i|2|1)", re.IGNORECASE)
_GRADE = re.compile(rf"(?P<grade>[0-4])[ _-]?(?P<word>{'|'.join(GRADE_WORDS)})", re.IGNORECASE)
_NAMED = re.compile(rf"(?:{'|'.join(GRADE_WORDS)})[ _-]?G(?P<grade>\d)\b.*", re.IGNORECASE)
_DEPTH: Final = 3
_DIGEST_LETTERS: Final = 16


@dataclass(frozen=True)
class SeenPicture:
    """What a look at an image shows.

    Parameters
    ----------
    digest : str
        Hash of the decoded pixels: the same image has the same one in whatever file.
    side : Side
        The side that the image shows.
    """

    digest: str
    side: Side


@dataclass(frozen=True)
class GornaleSet:
    """What a folder of the set holds.

    Parameters
    ----------
    table : DataFrame
        A knee table, a row per image and reader (``reading`` is one of `READINGS`);
        ``image_path`` is relative to the folder, ``subject_id`` the start of the digest.
    without_label : tuple of str
        Pictures left out: in no grade's folder, or in another one's than their name says.
    unreadable : tuple of str
        Pictures left out: they cannot be decoded, so nobody knows whose copy they are.
    counted : mapping of str to int
    notes : tuple of str
    """

    table: pd.DataFrame
    without_label: tuple[str, ...]
    unreadable: tuple[str, ...]
    counted: Mapping[str, int]
    notes: tuple[str, ...]


def is_gornale(folder: Path) -> bool:
    """Tell whether a folder holds the set: an expert's folder with a grade's inside."""
    return any(True for _ in _find_experts(folder))


def scan_gornale(
    folder: Path, *, look: Callable[[Path], SeenPicture], contrast: Contrast = Contrast.UNKNOWN
) -> GornaleSet:
    """Read the set: which grade each expert gave to each image.

    An image that one expert has twice under one grade counts once; under two grades, that expert's
    reading of it is left out. Each image counts as a person of its own.

    Parameters
    ----------
    folder : Path
        Holds ``MedicalExpert-I`` and ``-II``, at most three folders down, or is one of them.
    look : callable
        Decodes an image; may raise `ImageError`.
    contrast : Contrast
        What was done to the contrast of this copy.

    Returns
    -------
    GornaleSet

    Raises
    ------
    TableError
        cohort.layout-unknown: no expert's folder, the same one twice, or no image in a grade's
        folder.
    """
    experts = _choose_experts(folder)
    found = _Found()
    for picture in _list_pictures(folder, experts):
        found.add(folder, picture, look)
    rows = found.list_readings()
    if not rows:
        raise _layout_error(
            f"no readable image lies in a grade's folder ({len(found.unreadable)} cannot be "
            f"decoded, {len(found.odd)} lie elsewhere)"
        )
    table = pd.DataFrame(rows, columns=["image_path", "side", "subject_id", "reading", "kl"])
    table = table.sort_values(["image_path", "reading"]).assign(
        cohort=COHORT, visit_months=0, contrast=contrast.value
    )
    counted = _count_readings(rows) | {
        "further_copies_left_out": found.n_copies,
        "pictures_under_two_grades_of_one_expert": len(found.grades) - len(rows),
    }
    return GornaleSet(
        check_knee_table(table),
        tuple(sorted(found.odd)),
        tuple(sorted(found.unreadable)),
        MappingProxyType(counted),
        _write_notes(experts, found.files),
    )


class _Picture(NamedTuple):
    path: str
    expert: int
    grade: int | None


class _Found:
    """What has been seen so far, image by image."""

    def __init__(self) -> None:
        self.grades: dict[tuple[str, int], set[int]] = {}
        self.places: dict[str, tuple[str, Side]] = {}
        self.files: Counter[tuple[int, int]] = Counter()
        self.odd: list[str] = []
        self.unreadable: list[str] = []
        self.n_copies = 0

    def add(self, folder: Path, picture: _Picture, look: Callable[[Path], SeenPicture]) -> None:
        if picture.grade is None:
            self.odd.append(picture.path)
            return
        self.files[picture.expert, picture.grade] += 1
        try:
            seen = look(folder / picture.path)
        except ImageError:
            self.unreadable.append(picture.path)
            return
        self.places.setdefault(seen.digest, (picture.path, seen.side))
        grades = self.grades.setdefault((seen.digest, picture.expert), set())
        self.n_copies += picture.grade in grades
        grades.add(picture.grade)

    def list_readings(self) -> list[tuple[str, Side, str, str, int]]:
        """Path, side, subject, reading and KL of each image that an expert graded in one way."""
        return [
            (*self.places[digest], digest[:_DIGEST_LETTERS], READINGS[expert], min(grades))
            for (digest, expert), grades in self.grades.items()
            if len(grades) == 1
        ]


def _find_experts(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield the number (from 0) and the folder of each expert who has a grade's folder."""
    for here, folders, _ in os.walk(folder):
        path = Path(here)
        if len(path.relative_to(folder).parts) >= _DEPTH:
            folders.clear()
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        name = path.resolve().name if path == folder else path.name
        match = _EXPERT.fullmatch(name)
        inside = [child.name for child in path.iterdir() if child.is_dir()] if match else []
        if match and any(_read_grade(child) is not None for child in inside):
            yield (0 if match["number"].lower() in {"i", "1"} else 1), path


def _choose_experts(folder: Path) -> dict[int, Path]:
    experts: dict[int, Path] = {}
    for number, path in _find_experts(folder):
        if number in experts:
            raise _layout_error(
                f"there are several folders of one expert ({experts[number].relative_to(folder)}, "
                f"{path.relative_to(folder)}): give one copy of the set"
            )
        experts[number] = path
    if not experts:
        raise _layout_error(f"{folder} holds neither MedicalExpert-I nor MedicalExpert-II")
    return dict(sorted(experts.items()))


def _list_pictures(folder: Path, experts: Mapping[int, Path]) -> Iterator[_Picture]:
    for expert, root in experts.items():
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() not in PICTURE_SUFFIXES or path.name.startswith("."):
                continue
            grade = _read_grade(path.parent.name)
            named = _NAMED.fullmatch(path.stem)
            if named and grade is not None and int(named["grade"]) != grade:
                grade = None
            yield _Picture(path.relative_to(folder).as_posix(), expert, grade)


def _read_grade(name: str) -> int | None:
    match = _GRADE.fullmatch(name)
    if match is None or GRADE_WORDS[int(match["grade"])] != match["word"].lower():
        return None
    return int(match["grade"])


def _count_readings(rows: list[tuple[str, Side, str, str, int]]) -> dict[str, int]:
    grades: dict[str, dict[str, int]] = {}
    for _, _, subject, reading, kl in rows:
        grades.setdefault(subject, {})[reading] = kl
    both = [given for given in grades.values() if len(given) == len(READINGS)]
    return {
        "pictures": len(grades),
        "pictures_with_two_readings": len(both),
        "readings_that_agree": sum(len(set(given.values())) == 1 for given in both),
    }


def _write_notes(
    experts: Mapping[int, Path], files: Mapping[tuple[int, int], int]
) -> tuple[str, ...]:
    notes = [
        "Neither persons nor sides are published: each image counts as a person of its own, and "
        "its side was judged by what it shows."
    ]
    if len(experts) < len(READINGS):
        notes.append(f"Only {READINGS[next(iter(experts))]} is there: one reading of each image.")
    got = tuple(files.get((0, grade), 0) for grade in range(len(GRADE_WORDS)))
    if 0 in experts and got != PUBLISHED:
        notes.append(
            f"The first expert's images by KL grade are {', '.join(map(str, got))}; published "
            f"are {', '.join(map(str, PUBLISHED))}."
        )
    return tuple(notes)


def _layout_error(what: str) -> TableError:
    return TableError(
        "cohort.layout-unknown",
        f"This is not the two-reader knee set that was expected: {what}.",
        "Give the folder that holds MedicalExpert-I and MedicalExpert-II with 0Normal, 1Doubtful, "
        "2Mild, 3Moderate and 4Severe.",
    )
