"""Run a bundle's members on ROIs in every pose, calibrate, average, decode."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kneegrade.bundles.manifest import Bundle, Decoding
from kneegrade.bundles.runner import OnnxRunner, Runner
from kneegrade.grading.inputs import contrast_of, network_inputs
from kneegrade.types import Contrast, Flag, Grades, KneePrediction, KneeROI, Task


class Grader:
    """A bundle as a function from ROIs to predictions.

    Parameters
    ----------
    bundle : Bundle
    n_threads : int or None
        Threads per network; None takes the machine's cores, at most 4.
    """

    def __init__(self, bundle: Bundle, *, n_threads: int | None = None) -> None:
        self.bundle = bundle
        self._members: list[Runner] = [
            OnnxRunner(path, n_threads=n_threads) for path in bundle.members
        ]

    def grade(self, rois: Sequence[KneeROI]) -> list[KneePrediction]:
        """Grade knees; one prediction per ROI, in order."""
        if not rois:
            return []
        images = np.stack([network_inputs(roi, self.bundle.input) for roi in rois], axis=1)
        logits = [[member.run(pose) for pose in images] for member in self._members]
        probabilities: dict[Task, NDArray[np.float64]] = {}
        spreads: dict[Task, NDArray[np.float64]] = {}
        for spec in self.bundle.tasks:
            outputs = [[of_pose[spec.task] for of_pose in of_member] for of_member in logits]
            scaled = np.stack(outputs) / spec.temperature  # (members, poses, knees, grades)
            per_member = softmax(scaled).mean(axis=1)
            probabilities[spec.task] = (
                softmax(scaled.mean(axis=(0, 1)))
                if self.bundle.average == "logit"
                else per_member.mean(axis=0)
            )
            if len(self._members) > 1:
                spreads[spec.task] = expected_grade(per_member).std(axis=0)
        return [
            self._predict(
                roi,
                {task: p[i] for task, p in probabilities.items()},
                {task: float(s[i]) for task, s in spreads.items()},
            )
            for i, roi in enumerate(rois)
        ]

    def _predict(
        self,
        roi: KneeROI,
        probabilities: dict[Task, NDArray[np.float64]],
        spread: dict[Task, float],
    ) -> KneePrediction:
        judged = roi.contrast is Contrast.UNKNOWN and self.bundle.input.enhancement is not None
        return KneePrediction(
            side=roi.side,
            grades=Grades(
                {
                    spec.task: decode_grade(probabilities[spec.task], spec.decoding)
                    for spec in self.bundle.tasks
                }
            ),
            probabilities=probabilities,
            bundle_id=self.bundle.bundle_id,
            source_id=roi.source_id,
            spread=spread,
            flags=roi.flags | ({_CONTRAST_FLAGS[contrast_of(roi)]} if judged else set()),
        )


_CONTRAST_FLAGS = {
    Contrast.PLAIN: Flag.CONTRAST_JUDGED_PLAIN,
    Contrast.ENHANCED: Flag.CONTRAST_JUDGED_ENHANCED,
}


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities over the last axis; each sums to 1."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    total: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return total


def expected_grade(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean grade under the probabilities of the last axis, in grades."""
    levels = np.arange(probabilities.shape[-1])
    expected: NDArray[np.float64] = probabilities @ levels
    return expected


def decode_grade(probabilities: NDArray[np.float64], decoding: Decoding) -> int:
    """The reported grade: the most probable one, or the expected one rounded half up."""
    if decoding is Decoding.MOST_PROBABLE:
        return int(np.argmax(probabilities))
    return int(np.floor(expected_grade(probabilities) + 0.5))
