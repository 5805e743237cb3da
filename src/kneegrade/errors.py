"""Errors that a person can act on: a stable code, what is wrong, what to do.

The code is the same string on the command line, in tables and in logs, and is in the docs. The
message says what is wrong and what was expected; the hint says what to do. Neither holds a
patient's data.
"""

import traceback
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

CODES: Final = MappingProxyType(
    {
        "image.not-found": "There is no file at this path.",
        "image.empty": "The file has no bytes.",
        "image.unreadable": "The file is not an image that kneegrade reads.",
        "image.truncated": "The file ends before its pixels do.",
        "image.no-pixels": "The DICOM file holds no image.",
        "image.multi-frame": "The DICOM file holds several frames.",
        "image.colour": "The image is in colour; radiographs are grey.",
        "image.too-small": "The image is too small to show a knee.",
        "image.too-large": "The image has more pixels than any radiograph.",
        "image.blank": "Every pixel has the same value.",
        "image.no-decoder": "No installed decoder reads this DICOM compression.",
        "image.bad-header": "The DICOM header contradicts itself.",
        "image.spacing-invalid": "The given pixel spacing is not a positive number.",
        "image.spacing-missing": "A width in mm was asked for, but a pixel's size is not known.",
        "knee.not-found": "No knee was found on the radiograph.",
        "knee.too-many": "The radiograph shows more than one knee of the same side.",
        "knee.cut-off": "Too much of the knee lies outside the radiograph.",
        "knee.not-a-knee": "What was found is not a knee in a PA or AP view.",
        "knee.implant": "There is metal in the knee.",
        "knee.badly-exposed": "The joint is black, white, without contrast or drowned in noise.",
        "knee.side-unknown": "The side, right or left, could not be determined.",
        "landmarks.invalid": "The file holds no landmarks in a form that is published.",
        "landmarks.off-film": "Landmarks lie outside the radiograph that they belong to.",
        "landmarks.not-found": "The folder holds no landmark file.",
        "landmarks.no-image": "There are landmarks of a knee that has no image in the knee table.",
        "input.nothing": "There is nothing to do: no radiograph was found.",
        "input.conflict": "Options that exclude each other were given together.",
        "output.not-writable": "The output folder cannot be written to.",
        "output.other-run": "The output folder holds the results of another bundle or input.",
        "table.not-found": "There is no table at this path.",
        "table.unreadable": "The file is not a table that kneegrade reads.",
        "table.column-missing": "A required column is missing.",
        "table.value-invalid": "A cell holds a value that its column does not allow.",
        "table.key-duplicate": "Two rows have the same key.",
        "table.empty": "The table has no rows left to work on.",
        "table.no-match": "The two tables have no knee in common.",
        "cohort.layout-unknown": "The folder is not laid out as the study publishes it.",
        "cohort.count-mismatch": "The study's files and labels do not agree.",
        "store.not-found": "There is no ROI store in this folder.",
        "store.other-settings": "The ROI store was made with other settings.",
        "recipe.not-found": "There is no recipe with this name or at this path.",
        "recipe.invalid": "The recipe holds a value that is unknown or out of range.",
        "run.not-found": "There is no finished training run in this folder.",
        "run.other-recipe": "The run folder was started with another recipe or table.",
        "bundle.not-found": "There is no bundle with this name or at this path.",
        "bundle.invalid": "bundle.json lacks a field or holds a wrong value.",
        "bundle.hash-mismatch": "A file of the bundle is not the one that its manifest names.",
        "bundle.unsupported": "The bundle needs a newer kneegrade.",
        "bundle.parity": "The exported network does not compute what the trained one does.",
        "phantom.grade-invalid": "No knee can have the grades that were asked for.",
        "phantom.size-invalid": "The phantom film is too small for its knees.",
        "phantom.subjects-invalid": "A phantom study needs at least one subject.",
        "internal.error": "kneegrade itself failed on this radiograph: a bug.",
        "worker.died": "The process working on this radiograph ended.",
        "worker.timeout": "The work on this radiograph took too long and was stopped.",
        "worker.no-start": "No worker process could be started.",
        "extra.missing": "An optional part of kneegrade is not installed.",
    }
)


class KneegradeError(Exception):
    """Base of every error that kneegrade raises on purpose.

    Parameters
    ----------
    code : str
        One of `CODES`.
    message : str
        What is wrong and what was expected, in one line. Never a patient's data.
    hint : str
        What to do about it, in one line.
    """

    def __init__(self, code: str, message: str, hint: str) -> None:
        if code not in CODES:
            raise ValueError(f"Error code {code!r} is not documented in kneegrade.errors.CODES.")
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint} [{self.code}]"

    def within(self, place: str) -> Self:
        """The same error, said to have come up within a place: a file, an index."""
        return type(self)(self.code, f"{place}: {self.message}", self.hint)

    def __reduce__(self) -> tuple[type["KneegradeError"], tuple[str, ...]]:
        """Survive the way back from a worker process."""
        return type(self), (self.code, self.message, self.hint)


class ImageError(KneegradeError):
    """The image is at fault."""


class KneeNotFoundError(KneegradeError):
    """The image shows no knee that can be graded."""


class TableError(KneegradeError):
    """A table, a study's folder or an ROI store is at fault."""


class RecipeError(KneegradeError):
    """A training recipe or run folder is at fault."""


class BundleError(KneegradeError):
    """A bundle is at fault."""


class OutputError(KneegradeError):
    """The place to write to, or the way the program was called, is at fault."""


class InternalError(KneegradeError):
    """A bug of ours, met on one image; the others of a batch must not suffer from it.

    Parameters
    ----------
    code, message, hint : str
    trace : str
        Where it came up, call by call, without the exception's own text, which may quote a header.
    """

    def __init__(self, code: str, message: str, hint: str, trace: str = "") -> None:
        super().__init__(code, message, hint)
        self.trace = trace

    @classmethod
    def of(cls, error: Exception) -> "InternalError":
        """What is said about an unexpected exception."""
        frames = traceback.extract_tb(error.__traceback__)
        place = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
        return cls(
            "internal.error",
            f"kneegrade itself failed on this image ({type(error).__name__}{place}).",
            "Please report it as a bug, with what kneegrade --verbose writes.",
            "".join(traceback.format_list(frames)),
        )

    def __reduce__(self) -> tuple[type["InternalError"], tuple[str, ...]]:
        """Survive the way back from a worker process."""
        return type(self), (self.code, self.message, self.hint, self.trace)


class WorkerError(KneegradeError):
    """A process that works beside this one ended, hung or could not be started."""


class MissingExtraError(KneegradeError):
    """A part of kneegrade that is installed separately is not there."""

    @classmethod
    def for_extra(cls, extra: str, purpose: str) -> "MissingExtraError":
        """Say which extra is missing, for what, and how to install it."""
        return cls(
            "extra.missing",
            f"{purpose} needs the extra [{extra}], which is not installed.",
            f'Install it: pip install "kneegrade[{extra}]"',
        )
