"""The nouns of the program: frozen, checked once at birth, arrays read-only.

Points are ``(row, col)`` in float64 pixels; ``(0, 0)`` is the centre of the top-left pixel; rows
grow distally, columns to the patient's left on a film hung the usual way. Units are in the name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kneegrade.arrays import FloatImage, Points
from kneegrade.flags import Flag as Flag
from kneegrade.terms import BONEFINDER_OF_KNEEL, PLATEAU_ENDS
from kneegrade.terms import Contrast as Contrast
from kneegrade.terms import LandmarkScheme as LandmarkScheme
from kneegrade.terms import Side as Side
from kneegrade.terms import SpacingSource as SpacingSource
from kneegrade.terms import Task as Task
from kneegrade.terms import View as View


def _frozen_array(value: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """A read-only array of one's own; one that already is both stays itself."""
    is_frozen = isinstance(value, np.ndarray) and value.base is None and not value.flags.writeable
    array: NDArray[Any] = np.array(value, dtype=dtype, copy=None if is_frozen else True)
    array.setflags(write=False)
    return array


def _check_flags(flags: frozenset[Flag]) -> None:
    for flag in flags:
        if not isinstance(flag, Flag):
            raise TypeError(f"A flag must be a Flag. Got {flag!r}.")


def _check_spacing(spacing_mm: tuple[float, float] | None) -> None:
    if spacing_mm and (len(spacing_mm) != 2 or not all(0 < s < np.inf for s in spacing_mm)):
        raise ValueError(f"The size of a pixel must be two positive numbers. Got {spacing_mm!r}.")


@dataclass(frozen=True)
class Grades(Mapping[Task, int]):
    """Grades of one knee; an ungraded task is absent.

    Parameters
    ----------
    values : mapping of Task to int
        0-4 for Kellgren-Lawrence, 0-3 for every other task.

    Raises
    ------
    TypeError
        If a key is no Task or a grade is no integer (1.9 and True are refused).
    ValueError
        If a grade is outside its scale.
    """

    values_by_task: Mapping[Task, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for task, grade in self.values_by_task.items():
            if not isinstance(task, Task):
                raise TypeError(f"A task must be a Task. Got {task!r}.")
            if isinstance(grade, bool) or not isinstance(grade, int | np.integer):
                raise TypeError(f"A grade of {task.value} must be an integer. Got {grade!r}.")
            if not 0 <= grade < task.n_grades:
                raise ValueError(
                    f"A grade of {task.value} must be in 0..{task.n_grades - 1}. Got {grade}."
                )
        checked = {task: int(grade) for task, grade in self.values_by_task.items()}
        object.__setattr__(self, "values_by_task", MappingProxyType(checked))

    def __getitem__(self, task: Task) -> int:
        return self.values_by_task[task]

    def __iter__(self) -> Iterator[Task]:
        return iter(self.values_by_task)

    def __len__(self) -> int:
        return len(self.values_by_task)


@dataclass(frozen=True)
class RadiographFile:
    """Where a radiograph is, and what is known about it beside what the file says.

    Parameters
    ----------
    path : str
        A file, or ``archive.zip::member`` (also .tar, .tar.gz, .tgz).
    spacing_mm : float or (row, col) or None
        Millimetres per pixel; goes before what the file says.
    spacing_source : SpacingSource
        Where ``spacing_mm`` comes from.
    contrast : Contrast
        Whether the contrast was enhanced.
    """

    path: str
    spacing_mm: float | tuple[float, float] | None = None
    spacing_source: SpacingSource = SpacingSource.CALLER
    contrast: Contrast = Contrast.UNKNOWN


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One radiograph: bone bright, intensities otherwise as the file's header asks for them.

    Parameters
    ----------
    pixels : (rows, cols) array, float32
        Finite grey values; bone is bright as far as the header tells. Read-only.
    source_id : str
        SOP Instance UID, or the SHA-256 of the file's bytes. Never a file name.
    spacing_mm : (row, col) or None
        Millimetres per pixel; None where unknown.
    spacing_source : SpacingSource
        Where ``spacing_mm`` comes from.
    pixel_aspect : float
        Height of a pixel over its width; where ``spacing_mm`` is known, that of the spacing.
    view : View
        PA, AP, other or unknown.
    side : Side or None
        The side the header names, if it names one.
    polarity_stated : bool
        Whether the file itself tells which end of the scale is bright (a DICOM header does).
    contrast : Contrast
        Whether the contrast was enhanced before, as far as it is known.
    flags : frozenset of Flag
    """

    pixels: FloatImage
    source_id: str
    spacing_mm: tuple[float, float] | None = None
    spacing_source: SpacingSource = SpacingSource.UNKNOWN
    pixel_aspect: float = 1.0
    view: View = View.UNKNOWN
    side: Side | None = None
    polarity_stated: bool = False
    contrast: Contrast = Contrast.UNKNOWN
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _frozen_array(self.pixels, np.float32))
        if self.pixels.ndim != 2 or 0 in self.pixels.shape:
            raise ValueError(f"pixels must be (rows, cols). Got shape {self.pixels.shape}.")
        if not np.isfinite(self.pixels).all():
            raise ValueError("pixels must be finite.")
        _check_spacing(self.pixel_size)
        if (self.spacing_mm is None) != (self.spacing_source is SpacingSource.UNKNOWN):
            raise ValueError(
                "spacing_source must be unknown exactly where spacing_mm is None. "
                f"Got {self.spacing_mm!r} and {self.spacing_source.value!r}."
            )
        if self.spacing_mm is not None:
            object.__setattr__(self, "pixel_aspect", self.spacing_mm[0] / self.spacing_mm[1])
        _check_flags(self.flags)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """Height and width of a pixel: in mm where these are known, else in its widths."""
        return self.spacing_mm or (self.pixel_aspect, 1.0)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """Points of one knee on a radiograph.

    Parameters
    ----------
    side : Side
    scheme : LandmarkScheme
    points_px : (n, 2) array, float64
        ``(row, col)`` on the radiograph, finite; may lie off it. Read-only.
    confidence : (n,) array, float64 in [0, 1]
        1 where a person placed the point. Read-only.
    flags : frozenset of Flag
    """

    side: Side
    scheme: LandmarkScheme
    points_px: NDArray[np.float64]
    confidence: NDArray[np.float64]
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "points_px", _frozen_array(self.points_px, np.float64))
        object.__setattr__(self, "confidence", _frozen_array(self.confidence, np.float64))
        count = self.scheme.n_points
        if self.points_px.shape != (count, 2) or not np.isfinite(self.points_px).all():
            raise ValueError(
                f"points_px must be ({count}, 2) and finite. Got shape {self.points_px.shape}."
            )
        if (
            self.confidence.shape != (count,)
            or not ((self.confidence >= 0) & (self.confidence <= 1)).all()
        ):
            raise ValueError(f"confidence must be {count} numbers in [0, 1].")
        _check_flags(self.flags)

    @property
    def kneel_points_px(self) -> NDArray[np.float64]:
        """The sixteen points of KNEEL, (16, 2): t0-t8, then f0-f6, lateral to medial."""
        if self.scheme is LandmarkScheme.KNEEL_16:
            return self.points_px
        return self.points_px[list(BONEFINDER_OF_KNEEL)]

    @property
    def plateau_px(self) -> Points:
        """The lateral and the medial end of the tibial plateau, (2, 2)."""
        return plateau_ends(self.kneel_points_px)

    def measure_plateau(self, pixel_size: tuple[float, float] = (1.0, 1.0)) -> float:
        """Width of the tibial plateau in the unit of a pixel's ``(row, col)`` size, else in px."""
        lateral, medial = self.plateau_px
        return float(np.linalg.norm((medial - lateral) * pixel_size))


def plateau_ends(points: Points) -> Points:
    """The lateral and the medial end of the tibial plateau, (2, 2), of sixteen points, (16, 2)."""
    return points[list(PLATEAU_ENDS)]


def plateau_width(points: Points) -> float:
    """How far the two ends of the tibial plateau lie apart, of sixteen points, (16, 2)."""
    lateral, medial = plateau_ends(points)
    return float(np.linalg.norm(medial - lateral))


@dataclass(frozen=True, eq=False)
class KneeROI:
    """One knee in standard pose: plateau level, lateral at column 0.

    Parameters
    ----------
    side : Side
    pixels : (n, n) array, float32 in [0, 1]
        Read-only.
    to_radiograph : (2, 3) array, float64
        Takes a point ``(row, col, 1)`` of the ROI to ``(row, col)`` of the radiograph. Its
        determinant is negative exactly where ``mirrored`` is true.
    mirrored : bool
        Whether the columns were reversed to bring lateral to column 0.
    source_id : str
        As in `Radiograph`.
    spacing_mm : (row, col) or None
        Millimetres per pixel of the ROI.
    inside_fraction : float
        Share of the ROI's area that lies on the film, in [0, 1].
    contrast : Contrast
    flags : frozenset of Flag
    """

    side: Side
    pixels: FloatImage
    to_radiograph: NDArray[np.float64]
    mirrored: bool
    source_id: str
    spacing_mm: tuple[float, float] | None = None
    inside_fraction: float = 1.0
    contrast: Contrast = Contrast.UNKNOWN
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", _frozen_array(self.pixels, np.float32))
        object.__setattr__(self, "to_radiograph", _frozen_array(self.to_radiograph, np.float64))
        shape = self.pixels.shape
        if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
            raise ValueError(f"pixels must be (n, n). Got shape {shape}.")
        if not (self.pixels.min() >= 0 and self.pixels.max() <= 1):
            raise ValueError("pixels must be in [0, 1].")
        if self.to_radiograph.shape != (2, 3) or not np.isfinite(self.to_radiograph).all():
            raise ValueError(f"to_radiograph must be (2, 3) and finite. Got {self.to_radiograph}.")
        determinant = float(np.linalg.det(self.to_radiograph[:, :2]))
        if determinant == 0 or (determinant < 0) != self.mirrored:
            raise ValueError(
                f"The determinant of to_radiograph ({determinant:.3g}) must be negative exactly "
                f"where mirrored is true. Got mirrored={self.mirrored}."
            )
        if not 0 <= self.inside_fraction <= 1:
            raise ValueError(f"inside_fraction must be in [0, 1]. Got {self.inside_fraction}.")
        _check_spacing(self.spacing_mm)
        _check_flags(self.flags)


@dataclass(frozen=True, eq=False)
class KneePrediction:
    """The grades of one knee with their probabilities.

    Parameters
    ----------
    side : Side
    grades : Grades
        The reported grades, by the decoding that the bundle names.
    probabilities : mapping of Task to (n_grades,) array, float64
        Non-negative, each summing to 1.
    bundle_id : str
    source_id : str
    spread : mapping of Task to float
        Standard deviation of the expected grade over the bundle's members, in grades; empty for a
        bundle of one member.
    flags : frozenset of Flag
    """

    side: Side
    grades: Grades
    probabilities: Mapping[Task, NDArray[np.float64]]
    bundle_id: str
    source_id: str
    spread: Mapping[Task, float] = field(default_factory=dict)
    flags: frozenset[Flag] = frozenset()

    def __post_init__(self) -> None:
        frozen = {t: _frozen_array(p, np.float64) for t, p in self.probabilities.items()}
        object.__setattr__(self, "probabilities", MappingProxyType(frozen))
        object.__setattr__(self, "spread", MappingProxyType(dict(self.spread)))
        if set(self.grades) != set(frozen):
            raise ValueError("grades and probabilities must have the same tasks.")
        for task, p in frozen.items():
            if p.shape != (task.n_grades,) or (p < 0).any() or not np.isclose(p.sum(), 1):
                raise ValueError(
                    f"The probabilities of {task.value} must be {task.n_grades} numbers that sum "
                    f"to 1. Got {p.tolist()}."
                )
        _check_flags(self.flags)
