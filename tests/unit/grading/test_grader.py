import json
from pathlib import Path

import numpy as np
import pytest
from made_rois import enhanced_pixels, make_roi, plain_pixels
from tiny_bundle import tiny_logits, write_manifest, write_tiny_bundle

from kneegrade.bundles.manifest import Bundle, Decoding, read_bundle
from kneegrade.grading.grader import Grader, decode_grade, expected_grade, softmax
from kneegrade.grading.inputs import network_inputs
from kneegrade.types import Contrast, Flag, KneeROI, Side, Task

TWO_TASKS = (Task.KL, Task.JSN_M)
TEMPERATURE = 1.7


@pytest.fixture
def rois() -> list[KneeROI]:
    return [
        make_roi(plain_pixels(), contrast=Contrast.PLAIN, source_id="a"),
        make_roi(enhanced_pixels(), side=Side.LEFT, source_id="b"),
        make_roi(plain_pixels()[::-1], contrast=Contrast.PLAIN, source_id="c"),
    ]


def bundle_of(folder: Path, **options: object) -> Bundle:
    tasks = {
        "kl": {"temperature": TEMPERATURE, "decoding": "expected"},
        "jsn_m": {"temperature": 1.0, "decoding": "most-probable"},
    }
    write_tiny_bundle(folder, tasks=TWO_TASKS, **options)  # type: ignore[arg-type]
    manifest = (folder / "bundle.json").read_text(encoding="utf-8")
    write_manifest(folder, json.loads(manifest) | {"tasks": tasks})
    return read_bundle(folder)


def expected_members(bundle: Bundle, rois: list[KneeROI], task: Task) -> np.ndarray:
    """Logits over the temperature, (members, knees, grades)."""
    images = np.stack([network_inputs(roi, bundle.input)[0] for roi in rois])
    scale = TEMPERATURE if task is Task.KL else 1.0
    return np.stack([tiny_logits(images, task, k) / scale for k in range(len(bundle.members))])


def test_one_member(tmp_path: Path, rois: list[KneeROI]) -> None:
    bundle = bundle_of(tmp_path)
    predictions = Grader(bundle, n_threads=1).grade(rois)
    assert [p.source_id for p in predictions] == ["a", "b", "c"]
    assert [p.side for p in predictions] == [roi.side for roi in rois]
    for task in TWO_TASKS:
        wanted = softmax(expected_members(bundle, rois, task)[0])
        got = np.stack([p.probabilities[task] for p in predictions])
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        for prediction in predictions:
            p = prediction.probabilities[task]
            mean = p @ np.arange(task.n_grades)
            grade = np.floor(mean + 0.5) if task is Task.KL else np.argmax(p)
            assert prediction.grades[task] == grade
            assert prediction.bundle_id == bundle.bundle_id
            assert dict(prediction.spread) == {}


@pytest.mark.parametrize("average", ["probability", "logit"])
def test_members_are_averaged_as_the_bundle_says(
    tmp_path: Path, rois: list[KneeROI], average: str
) -> None:
    bundle = bundle_of(tmp_path, n_members=3, average=average)
    predictions = Grader(bundle, n_threads=1).grade(rois)
    for task in TWO_TASKS:
        members = expected_members(bundle, rois, task)
        wanted = (
            softmax(members).mean(axis=0)
            if average == "probability"
            else softmax(members.mean(axis=0))
        )
        got = np.stack([p.probabilities[task] for p in predictions])
        np.testing.assert_allclose(got, wanted, atol=1e-5)
        spread = (softmax(members) @ np.arange(task.n_grades)).std(axis=0)
        np.testing.assert_allclose([p.spread[task] for p in predictions], spread, atol=1e-5)


def test_a_knee_is_graded_the_same_alone_and_in_a_batch(
    tmp_path: Path, rois: list[KneeROI]
) -> None:
    grader = Grader(bundle_of(tmp_path), n_threads=1)
    together = grader.grade(rois)
    for roi, beside in zip(rois, together, strict=True):
        (alone,) = grader.grade([roi])
        np.testing.assert_allclose(
            alone.probabilities[Task.KL], beside.probabilities[Task.KL], atol=1e-6
        )


def test_no_knees(tmp_path: Path) -> None:
    assert Grader(bundle_of(tmp_path), n_threads=1).grade([]) == []


@pytest.mark.parametrize(
    ("pixels", "contrast", "flags"),
    [
        (plain_pixels(), Contrast.UNKNOWN, {Flag.CONTRAST_JUDGED_PLAIN}),
        (enhanced_pixels(), Contrast.UNKNOWN, {Flag.CONTRAST_JUDGED_ENHANCED}),
        (plain_pixels(), Contrast.ENHANCED, set()),
        (plain_pixels(), Contrast.PLAIN, set()),
    ],
)
def test_a_judged_contrast_is_flagged(
    tmp_path: Path, pixels: np.ndarray, contrast: Contrast, flags: set[Flag]
) -> None:
    roi = make_roi(pixels, contrast=contrast, flags=frozenset({Flag.VIEW_UNKNOWN}))
    (prediction,) = Grader(bundle_of(tmp_path), n_threads=1).grade([roi])
    assert prediction.flags == {Flag.VIEW_UNKNOWN} | flags


def test_softmax_of_large_logits() -> None:
    p = softmax(np.array([[1000.0, 0, -1000], [0, 0, 0]]))
    np.testing.assert_allclose(p, [[1, 0, 0], [1 / 3] * 3])


@pytest.mark.parametrize(
    ("p", "most_probable", "expected"),
    [
        ([0, 0, 1, 0, 0], 2, 2),
        ([0.4, 0.05, 0.05, 0.1, 0.4], 0, 2),
        ([0.5, 0.5, 0, 0, 0], 0, 1),  # 0.5 rounds up
        ([0.6, 0, 0, 0, 0.4], 0, 2),
    ],
)
def test_decoding(p: list[float], most_probable: int, expected: int) -> None:
    assert decode_grade(np.array(p), Decoding.MOST_PROBABLE) == most_probable
    assert decode_grade(np.array(p), Decoding.EXPECTED) == expected


def test_expected_grade_over_the_last_axis() -> None:
    p = np.array([[[1.0, 0, 0], [0, 0.5, 0.5]]])
    np.testing.assert_allclose(expected_grade(p), [[0, 1.5]])
