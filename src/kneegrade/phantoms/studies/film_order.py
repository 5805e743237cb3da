"""One film of a study: where it lies and how it is made.

A release module (`oai.release`, `most.release`) says which films a study has, in its own folders
and headers; `study` draws and writes them. Such a module has three functions:
``plan_films(subjects, *, seed) -> list[FilmOrder]``, ``write_tables(folder, subjects, *, seed) ->
None`` and ``write_subject_id(number) -> str`` (the id as the release's tables write it).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from pydicom.uid import UID, JPEGLSLossless

from kneegrade.types import Side


class FilmKind(StrEnum):
    """What lies at an order's path."""

    KNEES = "knees"
    """A film of one knee or both, posteroanterior."""
    HAND = "hand"
    """A film of a hand: no knee."""
    OTHER = "other"
    """A small image that is not a radiograph, like a preview beside a packed series; .jpg."""
    BROKEN = "broken"
    """A film of knees whose file ends halfway."""


@dataclass(frozen=True)
class FilmOrder:
    """One film to draw and write.

    Parameters
    ----------
    path : str
        Relative to the study's folder, with ``/``; unique within the study.
    subject_number : int
        `PhantomSubject.number`.
    visit_months : int
        One of the subject's visits: its severities are drawn.
    scanner : str
        A name of `scanners.SCANNERS`.
    kind : FilmKind
    sides : tuple of Side
        The knees on the film; a replaced one shows its implant.
    header : mapping of str to object
        DICOM keyword to value, over what `write_dicom_film` writes; None removes the attribute.
    inverted : bool
        Whether the file holds the negative (MONOCHROME1).
    keep_spacing : bool
        False removes ImagerPixelSpacing and PixelSpacing from the header.
    transfer_syntax : pydicom.uid.UID
        Explicit VR Little Endian, or a lossless compression that pydicom can write.
    archive_member : str or None
        Name of the film's file inside the archive that ``path`` names (it must end in .tar.gz);
        None where the film lies open.

    Raises
    ------
    ValueError
        If the path is absolute, leads out of the folder, or does not fit ``archive_member`` or
        ``kind``; or if a film of knees shows none.
    """

    path: str
    subject_number: int
    visit_months: int
    scanner: str
    kind: FilmKind = FilmKind.KNEES
    sides: tuple[Side, ...] = (Side.RIGHT, Side.LEFT)
    header: Mapping[str, object] = field(default_factory=dict)
    inverted: bool = False
    keep_spacing: bool = True
    transfer_syntax: UID = JPEGLSLossless
    archive_member: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "header", dict(self.header))
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts or not path.name:
            raise ValueError(f"A film's path must lie in the study's folder. Got {self.path!r}.")
        if (self.archive_member is not None) != path.name.endswith(".tar.gz"):
            raise ValueError(f"archive_member goes with a .tar.gz. Got {self.path!r}.")
        if self.kind is FilmKind.OTHER and path.suffix != ".jpg":
            raise ValueError(f"An image that is not a film must end in .jpg. Got {self.path!r}.")
        if self.kind in {FilmKind.KNEES, FilmKind.BROKEN} and not self.sides:
            raise ValueError("A film of knees must show one. Got no side.")

    @property
    def image_path(self) -> str:
        """The film in a knee table: the path, with ``::`` and the member if it is packed."""
        return self.path if self.archive_member is None else f"{self.path}::{self.archive_member}"
