"""What was measured of a joint, as numbers: in mm, and as shares of the plateau's width."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from kneegrade.types import SpacingSource


@dataclass(frozen=True)
class Length:
    """A length on one knee, twice.

    Parameters
    ----------
    share : float
        Of the plateau width, 0 or more.
    mm : float or None
        None where the radiograph has no spacing.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.
    """

    share: float
    mm: float | None

    def __post_init__(self) -> None:
        _check_size("A length", self.share, self.mm)

    def rounded(self, decimals: int) -> Self:
        """The length, rounded."""
        return type(self)(round(self.share, decimals), _round(self.mm, decimals))


@dataclass(frozen=True)
class Area:
    """An area of one knee, twice.

    Parameters
    ----------
    share : float
        Of the squared plateau width, 0 or more.
    mm2 : float or None
        None where the radiograph has no spacing.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.
    """

    share: float
    mm2: float | None

    def __post_init__(self) -> None:
        _check_size("An area", self.share, self.mm2)

    def rounded(self, decimals: int) -> Self:
        """The area, rounded."""
        return type(self)(round(self.share, decimals), _round(self.mm2, decimals))


@dataclass(frozen=True)
class CompartmentSizes:
    """What was measured of one compartment.

    Parameters
    ----------
    minimum : Length
        Smallest gap, across the plateau, over `MEASURED`. 0 where bone meets bone.
    fixed : Length
        Gap at the location `FIXED`.
    area : Area
        Between the two margins over `MEASURED`.
    femur_spur, tibia_spur : Area
        Osteophyte area: bone outside its expected contour at the compartment's outer end
        (`measure_spurs_px2`).
    """

    minimum: Length
    fixed: Length
    area: Area
    femur_spur: Area
    tibia_spur: Area

    def rounded(self, decimals: int) -> "CompartmentSizes":
        """The same, rounded."""
        return CompartmentSizes(
            minimum=self.minimum.rounded(decimals),
            fixed=self.fixed.rounded(decimals),
            area=self.area.rounded(decimals),
            femur_spur=self.femur_spur.rounded(decimals),
            tibia_spur=self.tibia_spur.rounded(decimals),
        )


@dataclass(frozen=True)
class JointSizes:
    """What was measured of a joint, without the lines that it was measured along.

    Parameters
    ----------
    lateral, medial : CompartmentSizes
    femorotibial_deg : float or None
        The anatomical femorotibial angle; None where too little of the shafts is shown.
    plateau_width_mm : float or None
        None where the radiograph has no spacing.
    spacing_source : SpacingSource
        Which millimetres these are.
    """

    lateral: CompartmentSizes
    medial: CompartmentSizes
    femorotibial_deg: float | None
    plateau_width_mm: float | None
    spacing_source: SpacingSource

    def rounded(self, decimals: int) -> Self:
        """The same, rounded."""
        return type(self)(
            lateral=self.lateral.rounded(decimals),
            medial=self.medial.rounded(decimals),
            femorotibial_deg=_round(self.femorotibial_deg, decimals),
            plateau_width_mm=_round(self.plateau_width_mm, decimals),
            spacing_source=self.spacing_source,
        )


def _round(value: float | None, decimals: int) -> float | None:
    return None if value is None else round(value, decimals)


def _check_size(what: str, *sizes: float | None) -> None:
    if not all(size is None or (np.isfinite(size) and size >= 0) for size in sizes):
        raise ValueError(f"{what} must be finite and 0 or more. Got {sizes!r}.")
