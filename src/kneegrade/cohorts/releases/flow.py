"""Rows of a study -> those that are left, and the steps of a CONSORT flow diagram."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from kneegrade.cohorts.tables.schema import check_knee_table
from kneegrade.errors import TableError


@dataclass(frozen=True)
class FlowStep:
    """One exclusion.

    Parameters
    ----------
    reason : str
        A short phrase, as ``no film found``.
    dropped : int
        Rows that it took.
    left : int
        Rows after it.
    """

    reason: str
    dropped: int
    left: int


@dataclass(frozen=True, eq=False)
class StudyKnees:
    """A study as a knee table, and everything that is not in it.

    Parameters
    ----------
    knees : DataFrame
        A knee table; ``image_path`` is relative to the study's folder.
    flow : tuple of FlowStep
        In order; the first step's ``left`` and ``dropped`` sum to the rows that were read.
    counted : mapping of str to int
        What was seen and how often, without a row being dropped for it.
    notes : tuple of str
        One sentence for each leniency.
    unmatched_films : tuple of str
        Paths of films that no row asks for.
    unmatched_rows : tuple of str
        Rows that were dropped for want of a film: the file of the table and the row.
    """

    knees: pd.DataFrame
    flow: tuple[FlowStep, ...]
    counted: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unmatched_films: tuple[str, ...] = ()
    unmatched_rows: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "counted", MappingProxyType(dict(self.counted)))

    @property
    def n_read(self) -> int:
        """Rows before the first step."""
        return len(self.knees) + sum(step.dropped for step in self.flow)


class KneeFlow:
    """The rows of a study that are left, and the steps that led there.

    Parameters
    ----------
    rows : DataFrame
        Everything that was read, one row per reading of a knee.

    Attributes
    ----------
    rows : DataFrame
        What is left, under its old index.
    steps : list of FlowStep
        Those that dropped a row.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows
        self.steps: list[FlowStep] = []

    def drop(self, reason: str, mask: Any) -> None:
        """Drop the rows where ``mask`` (by index label, or one value per row left) is true.

        A missing value is false.
        """
        chosen = mask.loc[self.rows.index] if isinstance(mask, pd.Series) else mask
        gone = pd.array(np.asarray(chosen), dtype="boolean").fillna(False).to_numpy(dtype=bool)
        self.rows = self.rows[~gone]
        if gone.any():
            self.steps.append(FlowStep(reason, int(gone.sum()), len(self.rows)))

    def check_left(self, file: str) -> None:
        """Check that a row is left.

        Parameters
        ----------
        file : str
            Name of the table of readings, for the message.

        Raises
        ------
        TableError
            table.empty, with what became of the rows.
        """
        if not self.rows.empty:
            return
        reasons = "; ".join(f"{step.reason}: {step.dropped}" for step in self.steps)
        raise TableError(
            "table.empty",
            f"{file}: knees with grades and an image were expected. Got none ({reasons}).",
            "Check that the images are in the same folder, and that they belong to this study.",
        )


def make_knee_table(
    rows: pd.DataFrame, raws: Sequence[str], working: Sequence[str]
) -> pd.DataFrame:
    """Check a knee table of what is left, without the columns that only led there.

    Parameters
    ----------
    rows : DataFrame
    raws : sequence of str
        Columns of cells as they were written; those that hold nothing are left out.
    working : sequence of str
        Columns that are left out where they are.

    Raises
    ------
    TableError
        As `check_knee_table`.
    """
    empty = [raw for raw in raws if rows[raw].isna().all()]
    return check_knee_table(rows.drop(columns=[*working, *empty], errors="ignore"))
