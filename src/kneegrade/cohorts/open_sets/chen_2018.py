"""The open, KL-graded knee images (Chen 2018) -> knee table.

Chen P. Knee Osteoarthritis Severity Grading Dataset. Mendeley Data, V1, 2018,
doi:10.17632/56rmx5bjcr.1. The knees are OAI participants at the baseline visit.
"""

import logging
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath, PurePosixPath
from typing import Final, NamedTuple

import pandas as pd

from kneegrade.cohorts.tables.raw_table import read_raw_table
from kneegrade.cohorts.tables.schema import (
    SCHEMA,
    Column,
    check_columns,
    check_knee_table,
    convert_cells,
)
from kneegrade.cohorts.tables.table import MEMBER_SEPARATOR
from kneegrade.errors import TableError
from kneegrade.text_table import find_columns
from kneegrade.types import Contrast, Side, Task

COHORT: Final = "oai"
READING: Final = "chen-2018"
SPLITS: Final = ("train", "val", "test")
AUTO_TEST: Final = "auto_test"
PICTURE_SUFFIXES: Final = frozenset({".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
LABEL_COLUMNS: Final = ("file", "split", "subject", "side", "kl")
SPACING_COLUMNS: Final = (
    *(
        replace(column, required=True)
        for column in SCHEMA
        if column.name in {"subject_id", "side", "spacing_source"}
    ),
    *(
        Column(f"spacing_{axis}_mm", "Float64", "a number 0.001-5", "", True, 0.001, 5)
        for axis in ("row", "col")
    ),
)
"""Of a table of pixel sizes; every cell must be filled."""

_log = logging.getLogger(__name__)
_KNEE = re.compile(r"(?P<split>train|val|test)/(?P<kl>[0-4])/(?P<subject>[0-9]{7})(?P<side>[LRlr])")
_ARCHIVE = re.compile(r"(train|val|test)-kl[0-4]\.zip")
_LAYOUT_HINT = (
    "Give the folder that holds labels.csv and <split>-kl<k>.zip, or the one that holds train, val "
    "and test with the folders 0-4."
)


@dataclass(frozen=True)
class KaggleSet:
    """What a folder of the open knee images holds.

    Parameters
    ----------
    table : DataFrame
        The knee table; ``image_path`` is relative to the folder.
    without_label : tuple of str
        Pictures left out: no label, or no name as published (7 digits and L or R).
    without_picture : tuple of str
        Knees left out: labelled, but the image is not there.
    n_auto_test : int
        Pictures of ``auto_test`` left out: a detector's crops of the test films, so the test knees
        again.
    """

    table: pd.DataFrame
    without_label: tuple[str, ...]
    without_picture: tuple[str, ...]
    n_auto_test: int


def scan_kaggle(folder: Path, *, contrast: Contrast = Contrast.UNKNOWN) -> KaggleSet:
    """Read the open knee images and say what is left out.

    Two layouts are read: packed, ``labels.csv`` and ``<split>-kl<k>.zip`` with members
    ``<split>/<kl>/<id><L|R>.webp``; and as published,
    ``{train,val,test,auto_test}/{0..4}/<7-digit id><L|R>.png``, also inside
    ``ClsKLData/kneeKL224``. A ``labels.csv`` beside the published folders is compared with them.

    Parameters
    ----------
    folder : Path
    contrast : Contrast
        What was done to the contrast of this copy.

    Returns
    -------
    KaggleSet

    Raises
    ------
    TableError
        cohort.layout-unknown, cohort.count-mismatch (labels and folders contradict each other, or
        a knee stands twice), table.column-missing, table.value-invalid or table.unreadable
        (a damaged archive or ``labels.csv``).
    """
    if not folder.is_dir():
        raise _layout_error(f"{folder} is not a folder")
    if any(_ARCHIVE.fullmatch(path.name) for path in folder.iterdir()):
        root, n_auto_test = folder, 0
        if not (folder / "labels.csv").is_file():
            raise _layout_error("there are archives but no labels.csv beside them")
        pictures = list(_list_archives(folder))
    else:
        root = _find_root(folder)
        pictures = list(_list_folders(root, folder))
        n_auto_test = sum(1 for _ in _pictures_under(root / AUTO_TEST))
    found, odd = _sort_pictures(pictures)
    labelled = dict(found)
    without_picture: list[str] = []
    if (root / "labels.csv").is_file():
        labels = _read_labels(root / "labels.csv")
        if root == folder:
            _check_archives(folder, labels.values())
        _compare(labels, found)
        labelled = {knee: picture for knee, picture in found.items() if knee in labels}
        odd += [picture.path for knee, picture in found.items() if knee not in labels]
        without_picture = [label.file for knee, label in labels.items() if knee not in found]
    if not labelled:
        raise _layout_error("no image with a label was found")
    return KaggleSet(
        _make_table(labelled, contrast), tuple(sorted(odd)), tuple(without_picture), n_auto_test
    )


def join_spacing(knees: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, int]:
    """Give knees the size of their images' pixels from a table, by subject and side.

    Parameters
    ----------
    knees : DataFrame
        A knee table without spacing.
    path : Path
        CSV, Parquet or .xlsx with the columns of `SPACING_COLUMNS`.

    Returns
    -------
    knees : DataFrame
        With ``spacing_mm``, ``spacing_col_mm`` and ``spacing_source``, empty where the table has no
        row.
    n_unused : int
        Rows of the table whose knee is not there.

    Raises
    ------
    TableError
        table.not-found, table.unreadable, table.column-missing, table.empty, table.value-invalid or
        table.key-duplicate, with the row.
    """
    try:
        raw, rows, notes = read_raw_table(path)
        names = tuple(column.name for column in SPACING_COLUMNS)
        cells = raw.rename(columns=find_columns(map(str, raw.columns), names))
        check_columns(cells, names)
        sizes = pd.DataFrame(
            {
                column.name: convert_cells(cells[column.name], column, rows)
                for column in SPACING_COLUMNS
            }
        )
        repeated = sizes.duplicated(["subject_id", "side"])
        if repeated.any():
            raise TableError(
                "table.key-duplicate",
                f"Row {rows[repeated.argmax()]}: one row for each knee was expected. Got two.",
                "Remove one of them.",
            )
    except TableError as error:
        raise error.within(path.name) from error
    for note in notes:
        _log.warning(f"{path.name}: {note}")
    joined = knees.merge(
        sizes.rename(columns={"spacing_row_mm": "spacing_mm"}), "left", ["subject_id", "side"]
    )
    known = pd.MultiIndex.from_frame(knees[["subject_id", "side"]])
    used = pd.MultiIndex.from_frame(sizes[["subject_id", "side"]]).isin(known)
    return joined, int((~used).sum())


class _Knee(NamedTuple):
    subject_id: str
    side: Side


class _Picture(NamedTuple):
    split: str
    kl: int
    path: str


class _Label(NamedTuple):
    split: str
    kl: int
    file: str
    row: int


def _list_archives(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the published name and the image_path of each image in the archives."""
    for archive in sorted(folder.iterdir()):
        if not _ARCHIVE.fullmatch(archive.name):
            continue
        try:
            with zipfile.ZipFile(archive) as file:
                members = file.namelist()
        except (zipfile.BadZipFile, OSError) as error:
            raise TableError(
                "table.unreadable",
                f"{archive.name} is not a complete zip archive ({type(error).__name__}).",
                "The copy or download was cut short: download it again.",
            ) from error
        for member in members:
            if _is_picture(PurePosixPath(member)):
                yield member, f"{archive.name}{MEMBER_SEPARATOR}{member}"


def _list_folders(root: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the published name and the image_path of each image in the published folders."""
    for child in sorted(root.iterdir()):
        if child.name not in {*SPLITS, AUTO_TEST} and _grade_folders(child):
            raise _layout_error(f"{child.name!r} is not one of {', '.join((*SPLITS, AUTO_TEST))}")
    for split in SPLITS:
        for path in _pictures_under(root / split):
            yield path.relative_to(root).as_posix(), path.relative_to(folder).as_posix()


def _find_root(folder: Path) -> Path:
    for pattern in (".", "*", "*/*"):
        level = [folder] if pattern == "." else sorted(folder.glob(pattern))
        roots = [path for path in level if any(_grade_folders(path / split) for split in SPLITS)]
        if len(roots) == 1:
            return roots[0]
        if roots:
            names = ", ".join(path.relative_to(folder).as_posix() for path in roots)
            raise _layout_error(f"there are several copies of the set ({names}): give one of them")
    raise _layout_error("there are neither archives nor the folders of the published set")


def _grade_folders(folder: Path) -> list[Path]:
    if folder.name.startswith((".", "__")):
        return []
    return [folder / str(k) for k in range(Task.KL.n_grades) if (folder / str(k)).is_dir()]


def _pictures_under(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if _is_picture(path) and path.is_file())


def _is_picture(path: PurePath) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")


def _parse_name(name: str) -> tuple[_Knee, str, int] | None:
    match = _KNEE.fullmatch(name.removesuffix(PurePosixPath(name).suffix))
    if match is None:
        return None
    knee = _Knee(match["subject"], Side.parse(match["side"]))
    return knee, match["split"], int(match["kl"])


def _sort_pictures(pictures: Iterable[tuple[str, str]]) -> tuple[dict[_Knee, _Picture], list[str]]:
    found: dict[_Knee, _Picture] = {}
    odd, n_repeated = [], 0
    for name, path in pictures:
        parsed = _parse_name(name)
        if parsed is None:
            odd.append(path)
            continue
        knee, split, kl = parsed
        n_repeated += knee in found
        found[knee] = _Picture(split, kl, path)
    if n_repeated:
        raise _mismatch(f"each knee must have one image, {n_repeated} have a second one")
    return found, odd


def _read_labels(path: Path) -> dict[_Knee, _Label]:
    cells, rows, _ = read_raw_table(path)
    missing = [name for name in LABEL_COLUMNS if name not in cells.columns]
    if missing:
        raise TableError(
            "table.column-missing",
            f"labels.csv has no column {', '.join(map(repr, missing))}.",
            f"It needs the columns {', '.join(LABEL_COLUMNS)}.",
        )
    labels: dict[_Knee, _Label] = {}
    columns = [cells[name].fillna("") for name in LABEL_COLUMNS]
    for row, file, split, subject, side, kl in zip(rows, *columns, strict=True):
        parsed = _parse_name(f"{split}/{kl}/{subject}{side}.png")
        if parsed is None:
            raise TableError(
                "table.value-invalid",
                f"labels.csv, row {row}: expected a split of {', '.join(SPLITS)}, a subject of 7 "
                f"digits, a side L or R and a kl 0-4. Got {split!r}, side {side!r}, kl {kl!r}.",
                "Download labels.csv again.",
            )
        if parsed != _parse_name(file):
            raise _mismatch(
                f"labels.csv, row {row}: the path in 'file' and the other columns differ"
            )
        knee = parsed[0]
        if knee in labels:
            raise _mismatch(f"labels.csv, rows {labels[knee].row} and {row} label the same knee")
        labels[knee] = _Label(split, int(kl), file, int(row))
    return labels


def _check_archives(folder: Path, labels: Iterable[_Label]) -> None:
    named = sorted({f"{label.split}-kl{label.kl}.zip" for label in labels})
    here = {path.name for path in folder.iterdir() if _ARCHIVE.fullmatch(path.name)}
    missing = [name for name in named if name not in here]
    if here and missing:
        raise _layout_error(f"labels.csv names images of {', '.join(missing)}, which are missing")


def _compare(labels: dict[_Knee, _Label], found: dict[_Knee, _Picture]) -> None:
    differing = [
        (label, found[knee])
        for knee, label in labels.items()
        if knee in found and (label.split, label.kl) != (found[knee].split, found[knee].kl)
    ]
    if differing:
        label, picture = differing[0]
        raise _mismatch(
            f"labels.csv and the folders must agree, {len(differing)} knees differ; first in row "
            f"{label.row}: {label.split}, KL {label.kl}, the folder is {picture.split}/{picture.kl}"
        )


def _make_table(knees: dict[_Knee, _Picture], contrast: Contrast) -> pd.DataFrame:
    rows = sorted(
        (SPLITS.index(p.split), p.kl, k.subject_id, k.side.value, p.path) for k, p in knees.items()
    )
    table = pd.DataFrame(rows, columns=["split", "kl", "subject_id", "side", "image_path"])
    table["split"] = [SPLITS[row[0]] for row in rows]
    return check_knee_table(
        table.assign(cohort=COHORT, visit_months=0, reading=READING, contrast=contrast.value)
    )


def _layout_error(what: str) -> TableError:
    return TableError(
        "cohort.layout-unknown",
        f"This is not the open knee set that was expected: {what}.",
        _LAYOUT_HINT,
    )


def _mismatch(what: str) -> TableError:
    return TableError(
        "cohort.count-mismatch",
        f"The files and labels of the set contradict each other: {what}.",
        "Compare the copy with the published set, or download it again.",
    )
