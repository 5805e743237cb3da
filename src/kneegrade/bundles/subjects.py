"""Whose knees made a network: hashed ids of people, in ``subjects.json`` of runs and bundles."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kneegrade.output import write_whole
from kneegrade.terms import SubjectUse


@dataclass(frozen=True)
class Subjects:
    """Hashed ids of subjects; one that was trained on counts as that alone.

    Parameters
    ----------
    trained : frozenset of str
    selected : frozenset of str
        Held out from training, and so used to select or calibrate.
    """

    trained: frozenset[str] = frozenset()
    selected: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "selected", self.selected - self.trained)

    @classmethod
    def from_lists(cls, values: Mapping[str, Iterable[str]]) -> Self:
        """Build from the entries ``trained`` and ``selected``; both must be there."""
        return cls(frozenset(values["trained"]), frozenset(values["selected"]))

    def as_lists(self) -> dict[str, list[str]]:
        """The entries ``trained`` and ``selected``, each sorted."""
        return {"trained": sorted(self.trained), "selected": sorted(self.selected)}

    def __or__(self, other: "Subjects") -> "Subjects":
        """Those of both; who was trained on by either is not selected."""
        return Subjects(self.trained | other.trained, self.selected | other.selected)

    def use_of(self, cohort: str, subject_id: str) -> SubjectUse:
        """Tell what this subject's knees were used for."""
        hashed = hash_subject(cohort, subject_id)
        if hashed in self.trained:
            return SubjectUse.TRAINED
        return SubjectUse.SELECTED if hashed in self.selected else SubjectUse.UNSEEN


def hash_subject(cohort: str, subject_id: str) -> str:
    """First 16 hexadecimal digits of the SHA-256 of ``cohort:subject_id``.

    It keeps ids out of plain sight and lets whoever holds them ask; short numeric ids can be found
    by trying them all, so it is no anonymisation.
    """
    return hashlib.sha256(f"{cohort}:{subject_id}".encode()).hexdigest()[:16]


def read_subjects(folder: Path) -> Subjects:
    """Read ``subjects.json`` of a run or a bundle.

    Raises
    ------
    OSError, ValueError, KeyError, TypeError
        If it is not there or is no such file.
    """
    values: dict[str, Any] = json.loads((folder / "subjects.json").read_bytes())
    return Subjects.from_lists(values)


def write_subjects(subjects: Subjects, folder: Path) -> None:
    """Write ``subjects.json``."""
    about = "first 16 hexadecimal digits of the SHA-256 of 'cohort:subject_id'"
    text = json.dumps({"about": about, **subjects.as_lists()}, indent=0)
    write_whole(folder / "subjects.json", text + "\n")
