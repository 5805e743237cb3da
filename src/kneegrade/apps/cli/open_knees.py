"""Which of the open sets of knee images a folder holds, read through one door."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kneegrade.types import Contrast

if TYPE_CHECKING:
    from kneegrade.cohorts.open_sets.gornale_2020 import SeenPicture


def read_open_knees(folder: Path, contrast: Contrast) -> tuple[Any, dict[str, Any]]:
    """Find out which set a folder holds, and read it.

    Parameters
    ----------
    folder : Path
        The images of Chen 2018, packed or as published, or the two-reader set of Gornale 2020.
    contrast : Contrast
        What was done to the contrast of this copy.

    Returns
    -------
    knees : DataFrame
        A knee table; ``image_path`` is relative to the folder.
    summary : dict
        Plain values: ``set``, and what was left out.

    Raises
    ------
    TableError
        As `scan_kaggle` and `scan_gornale`.
    """
    from kneegrade.cohorts.open_sets.chen_2018 import scan_kaggle
    from kneegrade.cohorts.open_sets.gornale_2020 import is_gornale, scan_gornale

    if is_gornale(folder):
        twice = scan_gornale(folder, look=_look, contrast=contrast)
        return twice.table, {
            "set": "Gornale 2020, KL by two readers",
            **twice.counted,
            "pictures_without_label": list(twice.without_label),
            "pictures_not_readable": list(twice.unreadable),
            "notes": list(twice.notes),
        }
    once = scan_kaggle(folder, contrast=contrast)
    return once.table, {
        "set": "Chen 2018, KL with a published split",
        "pictures_without_label": list(once.without_label),
        "labels_without_picture": list(once.without_picture),
        "auto_test_left_out": once.n_auto_test,
    }


def _look(path: Path) -> "SeenPicture":
    from kneegrade.cohorts.open_sets.gornale_2020 import SeenPicture
    from kneegrade.images.read import read_radiograph
    from kneegrade.knees.quality.orientation import judge_orientation

    pixels = read_radiograph(path).pixels
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    return SeenPicture(digest, judge_orientation(pixels).side)
