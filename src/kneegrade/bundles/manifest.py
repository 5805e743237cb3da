"""``bundle.json``: what a trained network needs and knows.

A bundle is a folder: ``bundle.json``, ``subjects.json``, ``member-<k>.onnx``, the locator's
``locator-film.onnx`` and ``locator-knee.onnx``, and ``MODEL_CARD.md``.
The manifest names every other file with its SHA-256; nothing in a bundle is executable or pickled.
"""

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from kneegrade.bundles.subjects import Subjects, read_subjects
from kneegrade.errors import BundleError
from kneegrade.terms import SubjectUse
from kneegrade.types import Task

SCHEMA_VERSION: Final = 2
DEFAULT_FOLDER: Final = Path(__file__).parent / "default"
KNEE_SCORES: Final = ("not_knee", "metal", "motion")
"""What the locator's second network tells of a whole picture, in the order of its logits: that it
shows no knee, that the knee holds metal, that it moved while it was exposed."""


class Decoding(StrEnum):
    """How probabilities become the reported grade."""

    MOST_PROBABLE = "most-probable"
    EXPECTED = "expected"
    """The expected grade, rounded half up."""


@dataclass(frozen=True)
class EnhancementSpec:
    """Contrast-limited adaptive histogram equalisation (CLAHE) that a plain image gets.

    Parameters
    ----------
    tiles : int
        Tiles along each side.
    clip_limit : float
        The strongest enhancement, in OpenCV's terms: multiples of a flat histogram's height.
    local_contrast : float
        Median standard deviation within a tile at which the enhancement stops, in grey levels.
    """

    tiles: int
    clip_limit: float
    local_contrast: float


@dataclass(frozen=True)
class PoseSpec:
    """A slightly changed pose in which the network sees the knee once more.

    Parameters
    ----------
    scale : float
        Above 1 enlarges the knee.
    rotation_deg : float
        Counter-clockwise.
    """

    scale: float = 1.0
    rotation_deg: float = 0.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.scale <= 2 or not -45 <= self.rotation_deg <= 45:
            raise ValueError(
                "A pose must have a scale in 0.5..2 and a rotation in -45..45 degrees. "
                f"Got {self.scale}, {self.rotation_deg}"
            )


@dataclass(frozen=True)
class InputSpec:
    """The look that the network's input has; `kneegrade.grading.inputs` brings any ROI to it.

    Parameters
    ----------
    size_px : int
        Rows and columns of the input.
    field_of_view_plateau_widths : float
        Width of the input as a multiple of the tibial plateau's width.
    lateral_first : bool
        Whether the lateral side is at column 0.
    enhancement : EnhancementSpec or None
        What a plain image gets; an image that already has it is left alone.
    clip_percentiles : (low, high)
        Grey values outside are clipped before mean and standard deviation are set to 0 and 1.
    poses : tuple of PoseSpec
        The probabilities of a knee are the mean over these.
    """

    size_px: int
    field_of_view_plateau_widths: float
    lateral_first: bool
    enhancement: EnhancementSpec | None
    clip_percentiles: tuple[float, float]
    poses: tuple[PoseSpec, ...] = (PoseSpec(),)

    def __post_init__(self) -> None:
        if not self.poses:
            raise ValueError("poses must hold one pose or more")
        if not self.size_px > 0 or not self.field_of_view_plateau_widths > 0:
            raise ValueError("size_px and field_of_view_plateau_widths must be above 0")
        _check_percentiles(*self.clip_percentiles)


@dataclass(frozen=True)
class LocatorSpec:
    """The locator's two networks; `kneegrade.knees.locating.locate` runs them.

    Parameters
    ----------
    film, knee : Path
        ONNX files: ends of the plateaus on a whole film; sixteen points of one knee.
    film_size_px, knee_size_px : int
        Rows and columns of their inputs.
    knee_field_of_view_plateau_widths : float
        Width of the second network's input.
    clip_percentiles : (low, high)
        As in `InputSpec`.
    facts : dict
        What it was trained on and how well it was measured to work.
    """

    film: Path
    knee: Path
    film_size_px: int
    knee_size_px: int
    knee_field_of_view_plateau_widths: float
    clip_percentiles: tuple[float, float]
    facts: dict[str, Any] = field(hash=False)

    def __post_init__(self) -> None:
        if not min(self.film_size_px, self.knee_size_px) > 0:
            raise ValueError("the sizes of a locator's images must be above 0")
        if not self.knee_field_of_view_plateau_widths > 0:
            raise ValueError("knee_field_of_view_plateau_widths must be above 0")
        _check_percentiles(*self.clip_percentiles)


@dataclass(frozen=True)
class TaskSpec:
    """One task of a bundle: how its logits become probabilities and a grade."""

    task: Task
    temperature: float
    decoding: Decoding

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be above 0. Got {self.temperature}")


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest was checked and whose files were compared with their hashes."""

    folder: Path
    name: str
    version: str
    tasks: tuple[TaskSpec, ...]
    input: InputSpec
    members: tuple[Path, ...]
    locator: LocatorSpec
    average: str
    training: dict[str, Any]
    agreement: dict[str, Any]
    licence: str
    bundle_id: str
    subjects: Subjects

    def use_of_subject(self, cohort: str, subject_id: str) -> SubjectUse:
        """Tell what this subject's knees were used for when the bundle was made."""
        return self.subjects.use_of(cohort, subject_id)


def _check_percentiles(low: float, high: float) -> None:
    if not 0 <= low < high <= 100:
        raise ValueError(f"clip_percentiles must rise within 0..100. Got {low}, {high}")


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bundle(name_or_path: str | Path) -> Bundle:
    """Read and check a bundle.

    Parameters
    ----------
    name_or_path : str or Path
        ``default`` for the embedded one, or the folder of another.

    Raises
    ------
    BundleError
        ``bundle.not-found``, ``bundle.invalid``, ``bundle.unsupported``, ``bundle.hash-mismatch``.
    """
    folder = DEFAULT_FOLDER if str(name_or_path) == "default" else Path(name_or_path)
    manifest_path = folder / "bundle.json"
    if not manifest_path.is_file():
        raise BundleError(
            "bundle.not-found",
            f"A bundle must be the word default or a folder with a bundle.json. "
            f"Got {str(name_or_path)!r}.",
            "Check the path, or leave --bundle out to use the embedded bundle.",
        )
    raw = manifest_path.read_bytes()
    try:
        manifest = json.loads(raw)
        _check_version(manifest)
        files = _check_files(folder, manifest["files"])
        return _bundle_from(
            manifest, folder, files, read_subjects(folder), hashlib.sha256(raw).hexdigest()
        )
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise BundleError(
            "bundle.invalid",
            f"The bundle in {folder} is not one that this version reads: {error!r}.",
            "Export it again with kneegrade export, or download it again.",
        ) from error


def _check_version(manifest: dict[str, Any]) -> None:
    version = manifest["schema_version"]
    if version != SCHEMA_VERSION:
        raise BundleError(
            "bundle.unsupported",
            f"bundle.json has schema_version {version}, this kneegrade reads {SCHEMA_VERSION}.",
            "Install the kneegrade that made it, or export the bundle again.",
        )


def _check_files(folder: Path, hashes: dict[str, str]) -> list[str]:
    for name, expected in hashes.items():
        path = folder / name
        if Path(name).name != name or not path.is_file() or hash_file(path) != expected:
            raise BundleError(
                "bundle.hash-mismatch",
                f"{name} in {folder} is missing or is not the file that bundle.json names.",
                "Download or export the bundle again; do not use this copy.",
            )
    return list(hashes)


def _bundle_from(
    manifest: dict[str, Any],
    folder: Path,
    files: list[str],
    subjects: Subjects,
    digest: str,
) -> Bundle:
    spec = manifest["input"]
    enhancement = spec["enhancement"]
    low, high = spec["clip_percentiles"]
    members = tuple(manifest["members"])
    locator = manifest["locator"]
    needed = {*members, locator["film"], locator["knee"], "subjects.json"}
    if not members or not needed <= set(files):
        raise ValueError("networks and subjects.json must be among the files with a hash")
    if not manifest["tasks"]:
        raise ValueError("tasks must name one task or more")
    if manifest["average"] not in {"probability", "logit"}:
        raise ValueError(f"average must be probability or logit. Got {manifest['average']!r}")
    return Bundle(
        folder=folder,
        name=manifest["name"],
        version=manifest["version"],
        tasks=tuple(
            TaskSpec(Task(name), float(task["temperature"]), Decoding(task["decoding"]))
            for name, task in manifest["tasks"].items()
        ),
        input=InputSpec(
            size_px=int(spec["size_px"]),
            field_of_view_plateau_widths=float(spec["field_of_view_plateau_widths"]),
            lateral_first=bool(spec["lateral_first"]),
            enhancement=EnhancementSpec(**enhancement) if enhancement else None,
            clip_percentiles=(float(low), float(high)),
            poses=tuple(PoseSpec(**pose) for pose in spec.get("poses", [{}])),
        ),
        members=tuple(folder / name for name in members),
        locator=_locator_from(locator, folder),
        average=manifest["average"],
        training=manifest["training"],
        agreement=manifest["agreement"],
        licence=manifest["licence"],
        bundle_id=f"{manifest['name']}-{manifest['version']}-{digest[:12]}",
        subjects=subjects,
    )


def _locator_from(values: dict[str, Any], folder: Path) -> LocatorSpec:
    low, high = values["clip_percentiles"]
    return LocatorSpec(
        film=folder / values["film"],
        knee=folder / values["knee"],
        film_size_px=int(values["film_size_px"]),
        knee_size_px=int(values["knee_size_px"]),
        knee_field_of_view_plateau_widths=float(values["knee_field_of_view_plateau_widths"]),
        clip_percentiles=(float(low), float(high)),
        facts=dict(values["facts"]),
    )
