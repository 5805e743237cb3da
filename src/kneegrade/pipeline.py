"""The whole way: file -> Radiograph -> KneeROI -> KneePrediction."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kneegrade.bundles.manifest import Bundle, read_bundle
from kneegrade.grading.grader import Grader
from kneegrade.images.read import read_radiograph
from kneegrade.knees.crop import InputKind, crop_knee
from kneegrade.types import Contrast, KneePrediction, KneeROI, Side

DEFAULT_BUNDLE: Final = "default"


@dataclass(frozen=True, eq=False)
class GradedKnee:
    """A knee in standard pose and its grades."""

    roi: KneeROI
    prediction: KneePrediction


class KneeGrader:
    """Grades radiographs of one knee with a bundle.

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
    >>> from kneegrade.pipeline import KneeGrader
    >>> grader = KneeGrader()
    >>> knee = grader.grade("knee.dcm")  # doctest: +SKIP
    >>> knee.prediction.grades[Task.KL], knee.prediction.flags  # doctest: +SKIP
    """

    def __init__(
        self, bundle: Bundle | str | Path = DEFAULT_BUNDLE, *, n_threads: int | None = None
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else read_bundle(bundle)
        self._grader = Grader(self.bundle, n_threads=n_threads)

    def grade(
        self,
        source: str | Path,
        *,
        side: Side | None = None,
        kind: InputKind = InputKind.AUTO,
        spacing_mm: float | None = None,
        contrast: Contrast = Contrast.UNKNOWN,
    ) -> GradedKnee:
        """Grade the knee in one picture.

        Parameters
        ----------
        source : str or Path
            A DICOM, PNG, JPEG, TIFF or WebP file, or ``archive.zip::member`` (also .tar, .tar.gz,
            .tgz).
        side : Side or None
            None takes the header's, else what the picture shows (then flagged).
        kind : InputKind
            Whether the picture is a crop of one knee or a film.
        spacing_mm : float or None
            Millimetres per pixel, where the caller knows better than the file.
        contrast : Contrast
            Whether the picture's contrast was enhanced; ``unknown`` is judged from the picture.

        Raises
        ------
        ImageError
            If the file cannot be read.
        KneeNotFoundError
            If no knee, or more than one, is found.
        """
        radiograph = read_radiograph(source, spacing_mm=spacing_mm, contrast=contrast)
        roi = crop_knee(radiograph, size_px=self.bundle.input.size_px, side=side, kind=kind)
        return GradedKnee(roi, self._grader.grade([roi])[0])
