"""Detectors and the looks of their images; a training and a test study can differ in them.

None imitates a product: each is a guess at a kind of device of the studies' years, between them
the range of spacings, depths and contrasts that `OAI_SCANNERS` and `MOST_SCANNERS` films have.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal


@dataclass(frozen=True)
class Scanner:
    """A detector and how it shows what it measured.

    Parameters
    ----------
    name : str
    modality : str
        ``CR`` or ``DX``.
    spacing_mm : float
        Size of a pixel at the detector.
    bits : int
        Bits stored, 12 to 16.
    blur_mm : float
        Standard deviation of the detector's point spread.
    photons_per_mm2 : float
        Quanta at the detector without a patient: the fewer, the more noise.
    scatter_share : float
        Share of the signal behind the patient that is scattered, in [0, 1).
    curve : str
        ``film``: s-shaped, as film and the images that imitate it; ``log``: straight.
    contrast : float
        Slope of the curve in its middle.
    sharpening : float
        How much of the fine detail (finer than 1 mm) is added again.
    border : str
        Outside the collimator: ``white`` as unexposed plates, ``black`` by the device's shutter,
        ``none`` where the field is larger than the film.
    beads : bool
        Whether the positioning frame and its metal beads are seen between the knees.
    """

    name: str
    modality: Literal["CR", "DX"]
    spacing_mm: float
    bits: int
    blur_mm: float
    photons_per_mm2: float
    scatter_share: float
    curve: Literal["film", "log"]
    contrast: float
    sharpening: float
    border: Literal["white", "black", "none"]
    beads: bool

    @property
    def white(self) -> int:
        """The largest value a pixel can have."""
        return (1 << self.bits) - 1


_ALL: Final = (
    Scanner("oai-cr-a", "CR", 0.20, 12, 0.16, 1.2e5, 0.15, "film", 1.5, 0.4, "white", True),
    Scanner("oai-cr-b", "CR", 0.15, 12, 0.14, 0.9e5, 0.13, "film", 1.8, 0.8, "none", True),
    Scanner("oai-dx", "DX", 0.143, 14, 0.11, 3e5, 0.09, "log", 1.0, 0.3, "black", True),
    Scanner("oai-film", "CR", 0.17, 12, 0.18, 0.6e5, 0.17, "film", 2.2, 0.0, "none", True),
    Scanner("most-cr", "CR", 0.168, 12, 0.15, 1e5, 0.14, "film", 1.3, 1.1, "white", True),
    Scanner("most-dx", "DX", 0.14, 15, 0.10, 2.5e5, 0.07, "log", 0.8, 0.6, "black", False),
)
SCANNERS: Final = MappingProxyType({scanner.name: scanner for scanner in _ALL})
"""Every scanner by its name."""
OAI_SCANNERS: Final = tuple(name for name in SCANNERS if name.startswith("oai"))
MOST_SCANNERS: Final = tuple(name for name in SCANNERS if name.startswith("most"))
