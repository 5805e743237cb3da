"""The 2019 study's own images of single knees -> knee-table rows without grades.

One 8-bit PNG per knee and visit, ``<ID>_<months>_..._<L|R>.png``; an ID that begins with M is
MOST's, any other OAI's. They were cut by BoneFinder's points and levelled beforehand.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import pandas as pd

from kneegrade.cohorts.releases.flow import KneeFlow
from kneegrade.cohorts.releases.walk import walk_files
from kneegrade.cohorts.tables.schema import check_knee_table
from kneegrade.errors import TableError
from kneegrade.types import Contrast, Side, SpacingSource

SPACING_MM: Final = 0.2
"""Recognised by the name of the published folder (MOST_OAI_FULL_0_2) and the size of the images."""
JOIN_KEY: Final = ("cohort", "subject_id", "visit_months", "side")

_NAME = re.compile(r"(?P<subject>[^_]+)_(?P<months>\d{2,3})(?:_.*)?_(?P<side>[LRlr])")


@dataclass(frozen=True)
class ReferenceCrops:
    """What a folder of the crops holds.

    Parameters
    ----------
    table : DataFrame
        A knee table without grades: ``reading`` is empty, ``spacing_mm`` 0.2, ``image_path``
        relative to the folder.
    odd_names : tuple of str
        PNG files left out: their name is none of the crops'.
    """

    table: pd.DataFrame
    odd_names: tuple[str, ...]


def read_reference_crops(folder: Path) -> ReferenceCrops:
    """List the crops in a folder, at any depth.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    ReferenceCrops

    Raises
    ------
    TableError
        cohort.layout-unknown if there is no crop; cohort.count-mismatch if a knee has two.
    """
    rows, odd = [], []
    for parent, file in sorted(walk_files(folder)):
        path = PurePosixPath(parent, file)
        if path.suffix.lower() != ".png":
            continue
        name = path.as_posix()
        match = _NAME.fullmatch(path.stem)
        if match is None:
            odd.append(name)
            continue
        cohort = "most" if match["subject"].upper().startswith("M") else "oai"
        side = Side.parse(match["side"]).value
        rows.append((cohort, match["subject"], int(match["months"]), side, name))
    if not rows:
        raise TableError(
            "cohort.layout-unknown",
            f"Images named <ID>_<months>_..._<L or R>.png were expected in {folder}. Got "
            f"{len(odd)} PNG files with other names.",
            "Give the folder that holds the 2019 study's images of single knees.",
        )
    table = pd.DataFrame(rows, columns=[*JOIN_KEY, "image_path"])
    n_repeated = int(table.duplicated(list(JOIN_KEY)).sum())
    if n_repeated:
        raise TableError(
            "cohort.count-mismatch",
            f"Each knee must have one image at a visit. {n_repeated} have a second one.",
            "Give a folder that holds the set only once.",
        )
    checked = check_knee_table(
        table.assign(
            reading="",
            # Guess: scaled between two percentiles of the whole film, which is plain.
            contrast=Contrast.PLAIN.value,
            spacing_mm=SPACING_MM,
            spacing_source=SpacingSource.TABLE.value,
        )
    )
    return ReferenceCrops(checked, tuple(odd))


def join_crops(knees: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """Put crops in the place of films: readings that have one, with its image and spacing.

    Parameters
    ----------
    knees : DataFrame
        Readings with the columns `JOIN_KEY`: a knee table, or one without ``image_path`` yet.
    crops : DataFrame
        `ReferenceCrops.table`; its ``image_path`` is taken as it stands: bring it to the folder of
        ``knees`` before (`rebase_images`).

    Returns
    -------
    DataFrame
        The rows of ``knees`` that have a crop, in their order and with their index.
    """
    key = list(JOIN_KEY)
    taken = ["image_path", "spacing_mm", "spacing_source", "contrast"]
    pictures = crops[[*key, *taken]]
    left = knees.drop(columns=[name for name in taken if name in knees]).reset_index(names="_at")
    for name in key:
        left[name] = left[name].astype(pictures[name].dtype)
    joined = left.merge(pictures, on=key, how="inner", validate="many_to_one")
    return joined.set_index("_at").rename_axis(knees.index.name)


def take_crops(flow: KneeFlow, crops: pd.DataFrame, *, cohort: str) -> tuple[str, ...]:
    """Give the readings that are left their crops and drop those without one.

    Parameters
    ----------
    flow : KneeFlow
    crops : DataFrame
        As in `join_crops`.
    cohort : str

    Returns
    -------
    tuple of str
        Paths of the cohort's crops that no reading asks for.
    """
    joined = join_crops(flow.rows, crops)
    flow.drop("no crop found", ~flow.rows.index.isin(joined.index))
    flow.rows = joined
    ours = crops.loc[crops["cohort"] == cohort, "image_path"]
    return tuple(sorted(set(ours) - set(joined["image_path"])))
