"""Draw the film that an order asks for and write it to its place."""

import io
import tarfile
import zlib
from collections.abc import Mapping
from gzip import GzipFile
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kneegrade.output import PART
from kneegrade.phantoms.films.dicom_film import write_dicom_film
from kneegrade.phantoms.films.film import FilmKnee, draw_film, draw_hand_film
from kneegrade.phantoms.films.scanners import SCANNERS
from kneegrade.phantoms.knees.shape import Body, draw_body
from kneegrade.phantoms.studies.film_order import FilmKind, FilmOrder
from kneegrade.phantoms.studies.population import PhantomSubject, Study, draw_subject

FilmTruth = Mapping[str, Any]
"""``image_path`` and ``knees``: side to `describe_knee`."""


def write_film(
    folder: Path, order: FilmOrder, *, study: Study, seed: int, spacing_mm: float | None
) -> FilmTruth:
    """Draw one film of a study and write it.

    Parameters
    ----------
    folder : Path
        The study's folder.
    order : FilmOrder
    study : Study
    seed : int
    spacing_mm : float or None
        As in `write_study`.

    Returns
    -------
    mapping
        ``image_path``; ``knees``: side to `describe_knee`, nothing for a film that shows none.
    """
    path = folder / order.path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART)
    knees = {}
    if order.kind is FilmKind.OTHER:
        part.write_bytes(_draw_preview())
    else:
        knees = _write_dicom(part, order, study=study, seed=seed, spacing_mm=spacing_mm)
    if order.kind is FilmKind.BROKEN:
        part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    if order.archive_member is not None:
        part.write_bytes(_pack(order.archive_member, part.read_bytes()))
    part.replace(path)
    return {"image_path": order.image_path, "knees": knees}


def _write_dicom(
    path: Path, order: FilmOrder, *, study: Study, seed: int, spacing_mm: float | None
) -> dict[str, Any]:
    subject = draw_subject(study, order.subject_number, seed)
    stream = _name_stream(study, subject.number, seed)
    film_rng = np.random.default_rng([*stream, zlib.crc32(order.image_path.encode())])
    scanner = SCANNERS[order.scanner]
    if order.kind is FilmKind.HAND:
        film = draw_hand_film(scanner=scanner, spacing_mm=spacing_mm, rng=film_rng)
    else:
        (visit,) = (v for v in subject.visits if v.visit_months == order.visit_months)
        film = draw_film(
            body=draw_subject_body(study, subject, seed),
            knees={side: visit.severity[side] for side in order.sides},
            scanner=scanner,
            spacing_mm=spacing_mm,
            rng=film_rng,
        )
    no_spacing = {} if order.keep_spacing else dict.fromkeys(("ImagerPixelSpacing", "PixelSpacing"))
    write_dicom_film(
        path,
        film,
        header={**order.header, **no_spacing},
        inverted=order.inverted,
        transfer_syntax=order.transfer_syntax,
    )
    return {side.value: describe_knee(knee) for side, knee in film.knees.items()}


def draw_subject_body(study: Study, subject: PhantomSubject, seed: int) -> Body:
    """Draw a subject's legs: those of all its films.

    Parameters
    ----------
    study : Study
    subject : PhantomSubject
    seed : int
        The study's.

    Returns
    -------
    Body
    """
    rng = np.random.default_rng(_name_stream(study, subject.number, seed))
    return draw_body(sex=subject.sex, bmi=subject.bmi, rng=rng)


def _name_stream(study: Study, number: int, seed: int) -> list[int]:
    return [seed, zlib.crc32(study.value.encode()), number]


def describe_knee(knee: FilmKnee) -> dict[str, Any]:
    """Truth of a knee on a film, for JSON.

    Parameters
    ----------
    knee : FilmKnee

    Returns
    -------
    dict
        ``replaced`` and, for a natural knee, ``grades`` (13 tasks), ``severity`` (12 features),
        ``landmarks_px`` (16 pairs ``[row, col]``) and ``joint_space_mm`` (by task).
    """
    if knee.severity is None:
        return {"replaced": True}
    return {
        "replaced": False,
        "grades": {task.value: grade for task, grade in knee.severity.grades.items()},
        "severity": {task.value: round(value, 3) for task, value in knee.severity.items()},
        "landmarks_px": np.round(knee.landmarks_px, 3).tolist(),
        "joint_space_mm": {t.value: round(mm, 3) for t, mm in knee.joint_space_mm.items()},
    }


def _draw_preview() -> bytes:
    """A small grey ramp as JPEG: not a radiograph."""
    ramp = np.tile(np.linspace(40, 215, 96).astype(np.uint8), (96, 1))
    return bytes(cv2.imencode(".jpg", ramp)[1].tobytes())


def _pack(member: str, content: bytes) -> bytes:
    """A .tar.gz of one file, without the time of writing."""
    packed = io.BytesIO()
    with (
        GzipFile(filename="", fileobj=packed, mode="wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        info = tarfile.TarInfo(member)
        info.size = len(content)
        archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()
