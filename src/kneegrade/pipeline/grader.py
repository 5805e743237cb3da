"""The whole way: file -> Radiograph -> Landmarks -> KneeROI -> KneePrediction."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kneegrade.bundles.manifest import Bundle, read_bundle
from kneegrade.grading.grader import Grader
from kneegrade.images.read import read_file
from kneegrade.knees.locating.find import InputKind
from kneegrade.knees.locating.locate import KneeLocator
from kneegrade.knees.measuring.joint_space import JointSpace, measure_joint_space
from kneegrade.knees.posing.crop import RoiSpec
from kneegrade.knees.prepare import PreparedKnee, RefusedKnee, prepare_knees
from kneegrade.types import (
    Contrast,
    KneePrediction,
    KneeROI,
    Landmarks,
    RadiographFile,
    Side,
    SpacingSource,
)

DEFAULT_BUNDLE: Final = "default"


@dataclass(frozen=True, eq=False)
class GradedKnee:
    """A knee in standard pose, its joint space and its grades.

    ``metal_px`` are outlines of suspected metal, (k, 2) arrays ``(row, col)`` on the radiograph.
    """

    landmarks: Landmarks
    roi: KneeROI
    joint_space: JointSpace
    prediction: KneePrediction
    metal_px: tuple[NDArray[np.float64], ...] = ()

    @property
    def side(self) -> Side:
        """The side of the knee."""
        return self.roi.side


class KneeGrader:
    """Grades the knees of a radiograph with a bundle.

    Parameters
    ----------
    bundle : Bundle, str or Path
        ``default`` for the embedded bundle, or the folder of another.
    n_threads : int or None
        Threads per network; None takes the machine's cores, at most 4.

    Raises
    ------
    BundleError
        If the bundle cannot be used.

    Examples
    --------
    >>> from kneegrade.pipeline.grader import GradedKnee, KneeGrader
    >>> grader = KneeGrader()
    >>> for knee in grader.grade("knees.dcm"):  # doctest: +SKIP
    ...     if isinstance(knee, GradedKnee):
    ...         print(knee.side, knee.prediction.grades[Task.KL], knee.prediction.flags)
    """

    def __init__(
        self, bundle: Bundle | str | Path = DEFAULT_BUNDLE, *, n_threads: int | None = None
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self._grader = Grader(self.bundle, n_threads=n_threads)
        self._locator = KneeLocator(self.bundle.locator, n_threads=n_threads)

    def grade(
        self,
        source: str | Path,
        *,
        side: Side | None = None,
        kind: InputKind = InputKind.AUTO,
        spacing_mm: float | tuple[float, float] | None = None,
        spacing_source: SpacingSource = SpacingSource.CALLER,
        contrast: Contrast = Contrast.UNKNOWN,
    ) -> list[GradedKnee | RefusedKnee]:
        """Grade the knees on one radiograph.

        Parameters
        ----------
        source : str or Path
            A DICOM, PNG, JPEG, TIFF, WebP or BMP file, or ``archive.zip::member`` (also .tar,
            .tar.gz, .tgz).
        side : Side or None
            The knee that is meant; None takes the header's side, else every knee on the film.
        kind : InputKind
            Whether it is a film, or a crop of one knee that need not be searched.
        spacing_mm : float, (row, col) or None
            Millimetres per pixel, where the caller knows better than the file.
        spacing_source : SpacingSource
            Where ``spacing_mm`` comes from.
        contrast : Contrast
            Whether the contrast was enhanced; if ``unknown``, it is judged from the image.

        Returns
        -------
        list of GradedKnee or RefusedKnee
            One or two, the patient's right knee first on a film hung the usual way. Where no knee
            was found, or too many, one `RefusedKnee` says so.

        Raises
        ------
        ImageError
            If the file cannot be read.
        """
        file = RadiographFile(str(source), spacing_mm, spacing_source, contrast)
        return self.grade_file(file, side=side, kind=kind)

    def grade_file(
        self,
        file: RadiographFile,
        *,
        side: Side | None = None,
        kind: InputKind = InputKind.AUTO,
    ) -> list[GradedKnee | RefusedKnee]:
        """Grade the knees of one file, as `grade` does."""
        radiograph = read_file(file)
        spec = RoiSpec(
            size_px=self.bundle.input.size_px,
            plateau_widths=self.bundle.input.field_of_view_plateau_widths,
        )
        knees = prepare_knees(self._locator, radiograph, spec, side=side, kind=kind)
        return [knee if isinstance(knee, RefusedKnee) else self._grade_one(knee) for knee in knees]

    def _grade_one(self, knee: PreparedKnee) -> GradedKnee:
        joint_space = measure_joint_space(knee.radiograph, knee.landmarks)
        (prediction,) = self._grader.grade([knee.roi])
        return GradedKnee(
            landmarks=knee.landmarks,
            roi=knee.roi,
            joint_space=joint_space,
            prediction=replace(prediction, flags=prediction.flags | joint_space.flags),
            metal_px=knee.metal_px,
        )
