"""Standard pose: where a knee lies on its radiograph, and pictures of it in that pose."""

from dataclasses import dataclass
from typing import Final, Self

import cv2
import numpy as np

from kneegrade.arrays import Affine, FloatImage, GreyImage, Points
from kneegrade.images.geometry import resample
from kneegrade.types import Radiograph

CENTRE_ABOVE_PLATEAU: Final = 0.101
"""How far the valley between the tibial spines, the joint's centre, lies proximally of the line
between the ends of the plateau, in plateau widths: mean of 748 knees of KNEEL
(arXiv:1907.12237)."""


@dataclass(frozen=True, eq=False)
class StandardPose:
    """Where a knee lies on its radiograph: the one frame that all pictures of it are taken in.

    The plateau is level, lateral at the lesser columns, proximal above.

    Parameters
    ----------
    middle_px : (2,) array
        Middle between the ends of the plateau, ``(row, col)`` on the radiograph.
    distal_px, medial_px : (2,) array
        One plateau width down the leg, and one from the lateral to the medial end.
    width : float
        Of the plateau, in the unit of the pixels' size, else in px.
    """

    middle_px: Points
    distal_px: Points
    medial_px: Points
    width: float

    @classmethod
    def of_plateau(cls, ends_px: Points, pixel_size: tuple[float, float] = (1.0, 1.0)) -> Self:
        """The pose of a knee whose plateau has these ends.

        Parameters
        ----------
        ends_px : (2, 2) array
            Lateral and medial end on the radiograph, ``(row, col)``.
        pixel_size : (row, col)
            Of the radiograph, in mm or in any other unit.
        """
        stretch = np.array(pixel_size) / pixel_size[0]
        lateral, medial = ends_px * stretch
        across = medial - lateral
        # Rows grow distally, hence down the film, whichever way across points.
        distal = np.array([across[1], -across[0]]) * (1.0 if across[1] >= 0 else -1.0)
        return cls(
            middle_px=(lateral + medial) / 2 / stretch,
            distal_px=distal / stretch,
            medial_px=across / stretch,
            width=float(np.linalg.norm(across)) * pixel_size[0],
        )

    def frame(self, px_per_width: float, middle: tuple[float, float]) -> Affine:
        """Affine (2, 3) from a picture in this pose to the radiograph.

        The picture's pixels are square, whatever shape those of the radiograph have.

        Parameters
        ----------
        px_per_width : float
            Pixels of the picture per plateau width.
        middle : (row, col)
            Where on the picture the middle of the plateau lies.
        """
        linear = np.stack([self.distal_px, self.medial_px], axis=1) / px_per_width
        return np.column_stack([linear, self.middle_px - linear @ middle])

    def square_frame(self, size_px: int, plateau_widths: float, below_joint: float = 0.0) -> Affine:
        """Affine (2, 3) from a square picture whose middle lies on the leg's axis.

        Parameters
        ----------
        size_px : int
            Rows and columns of the picture.
        plateau_widths : float
            Its width.
        below_joint : float
            How far its middle lies distally of the joint's centre, in plateau widths.
        """
        px_per_width, middle = size_px / plateau_widths, (size_px - 1) / 2
        row = middle + (CENTRE_ABOVE_PLATEAU - below_joint) * px_per_width
        return self.frame(px_per_width, (row, middle))


def take_picture(radiograph: Radiograph, frame: Affine, size_px: int) -> FloatImage:
    """Sample a square picture of a radiograph: ``(size_px, size_px)``, float32.

    What lies beyond the film is as dark as the darkest of its rows, every eighth of them.

    Parameters
    ----------
    radiograph : Radiograph
    frame : (2, 3) array
        From the picture to the radiograph.
    size_px : int
        Rows and columns of the picture.
    """
    fill = float(radiograph.pixels[::8].min())
    return resample(radiograph.pixels, frame, (size_px, size_px), fill=fill)[0]


def film_affine(
    shape: tuple[int, ...], size_px: int, pixel_size: tuple[float, float] = (1.0, 1.0)
) -> Affine:
    """Affine (2, 3) from a square picture that holds the whole film, in its middle, to the film.

    Its pixels are square; ``pixel_size`` (row, col) is the film's, in any unit.
    """
    step = max(np.multiply(shape, pixel_size)) / size_px
    row_step, col_step = (step / size for size in pixel_size)
    first = [
        (side - 1) / 2 - own * (size_px - 1) / 2
        for side, own in zip(shape, (row_step, col_step), strict=True)
    ]
    return np.array([[row_step, 0.0, first[0]], [0.0, col_step, first[1]]])


def change_pose(
    pixels: GreyImage,
    *,
    scale: float,
    rotation_deg: float,
    shift_px: tuple[float, float] = (0.0, 0.0),
) -> GreyImage:
    """Enlarge, rotate about the centre, and shift, in this order; edges are continued outwards.

    Parameters
    ----------
    pixels : (n, n) array, uint8
    scale : float
        Above 1 enlarges the knee.
    rotation_deg : float
        Counter-clockwise.
    shift_px : (row, col)
    """
    if (scale, rotation_deg, *shift_px) == (1, 0, 0, 0):
        return pixels
    size = pixels.shape[0]
    affine = cv2.getRotationMatrix2D(((size - 1) / 2, (size - 1) / 2), rotation_deg, scale)
    affine[:, 2] += np.array(shift_px[::-1])
    moved = cv2.warpAffine(pixels, affine, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.uint8)
