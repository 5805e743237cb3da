"""A user's landmark files -> the landmarks of one knee of a knee table.

A folder may hold BoneFinder's ``.pts`` files, named after the radiograph (``knee.dcm``:
``knee.pts``, and ``knee_f.pts`` for the right knee, found on the mirrored film; in sub-folders as
the radiographs are, or all in one), landmark tables (``*.csv``, see `table`) and KNEEL's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Self

from kneegrade.cohorts.tables.table import resolve_image
from kneegrade.errors import TableError
from kneegrade.knees.landmarks.published import (
    KNEEL_SPACING_MM,
    PointUnit,
    read_bonefinder,
    read_kneel_table,
)
from kneegrade.knees.landmarks.table import TabledKnee, read_landmark_table
from kneegrade.text_table import read_text_table
from kneegrade.types import Landmarks, Radiograph, Side

LEAST_PLATEAU_PX: Final = 2.0
_KNEEL_MARK: Final = "bbox"
Key = tuple[str, str]


@dataclass(frozen=True)
class LandmarkFolder:
    """What a folder of landmark files holds for the knees of a knee table.

    Parameters
    ----------
    table_path : Path
        The knee table, from whose folder its ``image_path`` counts.
    by_picture : dict
        Knees of landmark tables by (picture's absolute path, side).
    by_subject : dict
        Landmarks on a film of 0.3 mm a pixel by (subject, side), from KNEEL's table.
    files : dict
        ``.pts`` files by path within the folder, without suffix.
    """

    table_path: Path
    by_picture: dict[Key, TabledKnee] = field(default_factory=dict)
    by_subject: dict[Key, Landmarks] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, table_path: Path) -> Self:
        """Read every landmark file of a folder.

        Raises
        ------
        TableError
            ``landmarks.not-found`` if there is none; ``landmarks.invalid`` for a table.
        """
        found = cls(table_path)
        for path in sorted(folder.rglob("*.pts")):
            found.files[path.relative_to(folder).with_suffix("").as_posix()] = path
        for path in sorted(folder.glob("*.csv")):
            if _is_kneel(path):
                for row in read_kneel_table(path):
                    found.by_subject[row.subject_id, row.side.value] = row.landmarks
            else:
                for knee in read_landmark_table(path):
                    picture = _absolute(path, knee.image_path)
                    found.by_picture[picture, knee.landmarks.side.value] = knee
        if not (found.files or found.by_picture or found.by_subject):
            raise TableError(
                "landmarks.not-found",
                f"A folder of landmark files is expected. {str(folder)!r} has no .pts and no .csv.",
                "Give BoneFinder's files, KNEEL's table or a landmark table.",
            )
        return found

    def find(self, row: Mapping[str, Any], radiograph: Radiograph) -> Landmarks | None:
        """Landmarks of the knee of one row of the knee table; None where the folder has none.

        KNEEL's are of baseline films: they are not looked for at a later visit.

        Raises
        ------
        TableError
            ``landmarks.invalid`` or ``landmarks.off-film``.
        """
        known = self._look_up(row)
        if isinstance(known, Path):
            found = _read_pts(known, Side(row["side"]), radiograph)
        elif isinstance(known, TabledKnee):
            found = known.landmarks
        else:
            found = known and _to_film(known, radiograph)
        if found is not None:
            _check_plateau(found)
        return found

    def hash_of(self, row: Mapping[str, Any]) -> str:
        """Digits that change with the landmarks of a row's knee; empty where there are none."""
        known = self._look_up(row)
        if known is None:
            return ""
        if isinstance(known, Path):
            try:
                content = known.name.encode() + known.read_bytes()
            except OSError:
                content = b""  # `find` gives the knee its error
        else:
            points = known.landmarks if isinstance(known, TabledKnee) else known
            content = points.points_px.tobytes()
        return hashlib.sha256(content).hexdigest()

    def _look_up(self, row: Mapping[str, Any]) -> TabledKnee | Landmarks | Path | None:
        """Where a knee's landmarks are: in a landmark table, in KNEEL's, or in a file."""
        side = row["side"]
        tabled = self.by_picture.get((_absolute(self.table_path, row["image_path"]), side))
        if tabled is not None:
            return tabled
        if row["visit_months"] == 0 and (row["subject_id"], side) in self.by_subject:
            return self.by_subject[row["subject_id"], side]
        return self._pts_of(row["image_path"], Side(side))

    def list_without_picture(self, knees: set[Key], subjects: set[Key]) -> list[Key]:
        """Knees of the tables, as (picture or subject, side), that no row of the knee table has."""
        known = {(_absolute(self.table_path, picture), side) for picture, side in knees}
        pictures = [
            (knee.image_path, key[1]) for key, knee in self.by_picture.items() if key not in known
        ]
        return sorted(pictures) + sorted({*self.by_subject} - subjects)

    def _pts_of(self, image_path: str, side: Side) -> Path | None:
        within = PurePosixPath((image_path.partition("::")[2] or image_path).replace("\\", "/"))
        names = (
            *(within.with_suffix("").as_posix(), within.as_posix()),
            *(within.stem, within.name),
        )
        endings = ("_f", "") if side is Side.RIGHT else ("",)
        for ending in endings:
            for name in names:
                if name + ending in self.files:
                    return self.files[name + ending]
        return None


def _absolute(table_path: Path, image_path: str) -> str:
    file, mark, member = resolve_image(table_path, image_path).partition("::")
    return f"{Path(file).resolve()}{mark}{member}"


def _read_pts(path: Path, side: Side, radiograph: Radiograph) -> Landmarks | None:
    knees = read_bonefinder(
        path,
        film_shape=radiograph.pixels.shape,
        spacing_mm=radiograph.spacing_mm,
        unit=PointUnit.PX if radiograph.spacing_mm is None else None,
    )
    return next((knee for knee in knees if knee.side is side), None)


def _check_plateau(landmarks: Landmarks) -> None:
    if landmarks.measure_plateau() < LEAST_PLATEAU_PX:
        raise TableError(
            "landmarks.invalid",
            f"The two ends of the tibial plateau are expected {LEAST_PLATEAU_PX:.0f} px apart or "
            "more. Got one place for both.",
            "Correct the points t0 and t8, or leave the knee out.",
        )


def _is_kneel(path: Path) -> bool:
    try:
        names = read_text_table(path).names
    except TableError:
        return False  # whatever reads it next says what is wrong
    return _KNEEL_MARK in map(str.lower, names)


def _to_film(landmarks: Landmarks, radiograph: Radiograph) -> Landmarks:
    """KNEEL's points, on a film of 0.3 mm a pixel, on the film as it is."""
    if radiograph.spacing_mm is None:
        raise TableError(
            "landmarks.invalid",
            "KNEEL's landmarks need the size of the radiograph's pixels, which is not known.",
            "Give a column spacing_mm.",
        )
    row, col = (KNEEL_SPACING_MM / mm for mm in radiograph.spacing_mm)
    points = (landmarks.points_px + 0.5) * (row, col) - 0.5
    return Landmarks(landmarks.side, landmarks.scheme, points, landmarks.confidence)
