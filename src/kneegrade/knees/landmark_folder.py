"""A user's landmark files -> the landmarks of one knee of a knee table.

A folder may hold BoneFinder's ``.pts`` files, named after the picture (``knee.dcm``:
``knee.pts``, and ``knee_f.pts`` for the right knee, found on the mirrored film; in sub-folders as
the pictures are, or all in one), landmark tables (``*.csv``, see `landmark_table`) and KNEEL's.
"""

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Self

import numpy as np

from kneegrade.errors import TableError
from kneegrade.knees.landmark_files import (
    KNEEL_SPACING_MM,
    PointUnit,
    read_bonefinder,
    read_kneel_table,
)
from kneegrade.knees.landmark_table import read_landmark_table
from kneegrade.types import Landmarks, Radiograph, Side

LEAST_PLATEAU_PX: Final = 2.0
_KNEEL_MARK: Final = "bbox"
Key = tuple[str, str]


@dataclass(frozen=True)
class LandmarkFolder:
    """What a folder of landmark files holds.

    Parameters
    ----------
    by_picture : dict
        Landmarks by (picture's path, side), from landmark tables.
    by_subject : dict
        Landmarks on a film of 0.3 mm a pixel by (subject, side), from KNEEL's table.
    files : dict
        ``.pts`` files by path within the folder, without suffix.
    """

    by_picture: dict[Key, Landmarks] = field(default_factory=dict)
    by_subject: dict[Key, Landmarks] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read every landmark file of a folder.

        Raises
        ------
        TableError
            ``landmarks.not-found`` if there is none; ``landmarks.invalid`` for a table.
        """
        found = cls()
        for path in sorted(folder.rglob("*.pts")):
            found.files[path.relative_to(folder).with_suffix("").as_posix()] = path
        for path in sorted(folder.glob("*.csv")):
            if _is_kneel(path):
                for row in read_kneel_table(path):
                    found.by_subject[row.subject_id, row.side.value] = row.landmarks
            else:
                for knee in read_landmark_table(path):
                    key = (knee.image_path, knee.landmarks.side.value)
                    found.by_picture[key] = knee.landmarks
        if not (found.files or found.by_picture or found.by_subject):
            raise TableError(
                "landmarks.not-found",
                f"A folder of landmark files is expected. {str(folder)!r} has no .pts and no .csv.",
                "Give BoneFinder's files, KNEEL's table or a landmark table.",
            )
        return found

    def find(
        self,
        image_path: str,
        subject_id: str,
        side: Side,
        radiograph: Radiograph,
        *,
        visit_months: int = 0,
    ) -> Landmarks | None:
        """Landmarks of one knee; None where the folder has none.

        KNEEL's are of baseline films: they are not looked for at a later visit.

        Raises
        ------
        TableError
            ``landmarks.invalid`` or ``landmarks.off-film``.
        """
        found = self._find_any(image_path, subject_id, side, radiograph, visit_months)
        if found is not None:
            _check_plateau(found)
        return found

    def _find_any(
        self,
        image_path: str,
        subject_id: str,
        side: Side,
        radiograph: Radiograph,
        visit_months: int,
    ) -> Landmarks | None:
        if (image_path, side.value) in self.by_picture:
            return self.by_picture[image_path, side.value]
        if visit_months == 0 and (subject_id, side.value) in self.by_subject:
            return _to_film(self.by_subject[subject_id, side.value], radiograph)
        path = self._pts_of(image_path, side)
        if path is None:
            return None
        spacing = radiograph.spacing_mm
        knees = read_bonefinder(
            path,
            film_shape=radiograph.pixels.shape,
            spacing_mm=None if spacing is None else spacing[0],
            unit=PointUnit.PX if spacing is None else None,
        )
        return next((knee for knee in knees if knee.side is side), None)

    def list_without_picture(self, knees: set[Key], subjects: set[Key]) -> list[Key]:
        """Knees of the tables, as (picture or subject, side), that no row of the knee table has."""
        return sorted({*self.by_picture} - knees) + sorted({*self.by_subject} - subjects)

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


def _check_plateau(landmarks: Landmarks) -> None:
    lateral, medial = landmarks.kneel_points_px[[0, 8]]
    if np.linalg.norm(medial - lateral) < LEAST_PLATEAU_PX:
        raise TableError(
            "landmarks.invalid",
            f"The two ends of the tibial plateau are expected {LEAST_PLATEAU_PX:.0f} px apart or "
            "more. Got one place for both.",
            "Correct the points t0 and t8, or leave the knee out.",
        )


def _is_kneel(path: Path) -> bool:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return _KNEEL_MARK in file.readline().rstrip().replace('"', "").split(",")


def _to_film(landmarks: Landmarks, radiograph: Radiograph) -> Landmarks:
    """KNEEL's points, on a film of 0.3 mm a pixel, on the film as it is."""
    if radiograph.spacing_mm is None:
        raise TableError(
            "landmarks.invalid",
            "KNEEL's landmarks need the size of the film's pixels, which nothing tells.",
            "Give a column spacing_mm.",
        )
    row, col = (KNEEL_SPACING_MM / mm for mm in radiograph.spacing_mm)
    points = (landmarks.points_px + 0.5) * (row, col) - 0.5
    return Landmarks(landmarks.side, landmarks.scheme, points, landmarks.confidence)
