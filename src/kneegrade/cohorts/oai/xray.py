"""OAI: quality of each film (x-ray metadata) and quantitative joint space widths.

Names as in the text and SAS tables of one visit, or in the NDA export of all visits.
"""

from pathlib import Path
from types import MappingProxyType
from typing import Final

import pandas as pd

from kneegrade.cohorts.oai.codes import (
    KNEE,
    SIDES,
    normalise_barcode,
    read_months,
    read_oai_table,
)
from kneegrade.cohorts.releases.cells import parse_numbers, translate

FAULTS: Final = ("ALIGN", "CENTER", "DEPICT", "EXPOSE", "MOTION", "POSITN")
ACCEPTANCE: Final = ("Y", "YD", "NR", "NA")
"""From checked and good to poor with nothing better."""
BOTH: Final = "both"
WIDTHS: Final = MappingProxyType(
    {
        "MCMJSW": "jsw_medial_min_mm",
        **{f"JSW{x}": f"jsw_medial_{x}_mm" for x in range(150, 301, 25)},
        **{f"LJSW{x}": f"jsw_lateral_{x}_mm" for x in range(700, 901, 25)},
        "CFWDTH": "femur_width_mm",
        "IMPIXSZ": "image_spacing_mm",
    }
)
"""Release's name to ours; the number is the place in thousandths of the femoral width, from the
medial edge. ``image_spacing_mm`` is not corrected for magnification."""
_LIMITS_MM: Final = MappingProxyType({"femur_width_mm": 300.0, "image_spacing_mm": 5.0})
_MOST_WIDTH_MM: Final = 50.0


def read_film_quality(path: Path, counted: dict[str, int]) -> pd.DataFrame:
    """Read how well each fixed-flexion film of the knees was taken.

    Where a knee has several films at a visit, the bilateral one is taken, then the best accepted;
    ``film_barcode`` says which it is.

    Parameters
    ----------
    path : Path
        ``XRay00`` and so on, or ``oai_xrmeta01``.
    counted : dict
        Gets counts added.

    Returns
    -------
    DataFrame
        `KNEE`, ``film_barcode``, ``film_accept`` (``Y``, ``YD``, ``NR``, ``NA``, as the study
        writes it) and ``film_faults`` (such as ``ALIGN;MOTION``; empty text for none). Text.

    Raises
    ------
    TableError
        As `read_oai_table`.
    """
    barcode, exam = ("XRBARCD", "BARCODE"), ("EXAMTP", "EXAMTYPE")
    sides = ("XRSIDE", "SIDE")
    more = (*barcode, *exam, *sides, "VISIT", *FAULTS, "XRQC_POSITION")
    table = read_oai_table(path, ("ACCEPT",), more)
    exams = _first_of(table, exam)
    shown = exams.str.contains(r"pa\s+fixed\s+flexion", case=False).fillna(False).astype(bool)
    _add(counted, "X-ray metadata: rows of other films, or of no film", int((~shown).sum()))
    films = pd.DataFrame(
        {
            "subject_id": table["subject_id"],
            "visit_months": read_months(table, path),
            "side": _tell_sides(exams, _first_of(table, sides)),
            "film_barcode": _first_of(table, barcode).map(normalise_barcode).astype("string"),
            "film_accept": table["ACCEPT"],
            "film_faults": _join_faults(table),
        }
    )[shown]
    films = films.dropna(subset=["visit_months", "side"])
    single = films[films["side"] != BOTH].assign(rank=1)
    both = films[films["side"] == BOTH]
    knees = pd.concat([both.assign(side=side, rank=0) for side in SIDES.values()] + [single])
    quality = knees["film_accept"].map({word: place for place, word in enumerate(ACCEPTANCE)})
    order = knees.assign(quality=quality.fillna(len(ACCEPTANCE)).astype(int))
    best = order.sort_values(["rank", "quality"], kind="stable").drop_duplicates(list(KNEE))
    _add(counted, "X-ray metadata: further films of a knee at a visit", len(order) - len(best))
    return best.drop(columns=["rank", "quality"])


def read_joint_space(path: Path, counted: dict[str, int]) -> pd.DataFrame:
    """Read the joint space widths that were measured on each knee.

    Where two projects measured a knee at a visit, the one of the lower number is taken, whole rows
    only. A medial compartment called bone on bone has a least width of 0.

    Parameters
    ----------
    path : Path
        ``kxr_qjsw_duryea00`` and so on, or ``oai_kxrquantjsw01``.
    counted : dict
        Gets counts added.

    Returns
    -------
    DataFrame
        `KNEE`, then the columns of `WIDTHS` that are there, as Float64 in mm.

    Raises
    ------
    TableError
        As `read_oai_table` and `parse_numbers`.
    """
    table = read_oai_table(path, ("SIDE", "MCMJSW"), ("READPRJ", "VISIT", "MJSWBB", *WIDTHS))
    sides = translate(table["SIDE"], SIDES, file=path.name)
    knees = table[["subject_id"]].assign(visit_months=read_months(table, path), side=sides)
    for name, ours in WIDTHS.items():
        if name in table.columns:
            high = _LIMITS_MM.get(ours, _MOST_WIDTH_MM)
            knees[ours] = parse_numbers(table[name], low=0, high=high, file=path.name)
    if "MJSWBB" in table.columns:
        touching = (table["MJSWBB"] == "1").fillna(False).astype(bool)
        knees.loc[touching, "jsw_medial_min_mm"] = 0.0
        _add(counted, "Joint space widths: bone on bone, so 0", int(touching.sum()))
    projects = _first_of(table, ("READPRJ",))
    # Guess: no source says which project's measurement to take.
    order = knees.assign(project=pd.to_numeric(projects, errors="coerce"))
    order = order.dropna(subset=["visit_months", "side"]).sort_values("project", kind="stable")
    chosen = order.drop_duplicates(list(KNEE)).drop(columns="project")
    _add(counted, "Joint space widths: measured again by another project", len(order) - len(chosen))
    return chosen


def _first_of(table: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    for name in names:
        if name in table.columns:
            return table[name]
    return pd.Series(pd.NA, index=table.index, dtype="string")


def _tell_sides(exams: pd.Series, codes: pd.Series) -> pd.Series:
    """Tell the side by the words of the exam, else by its code: 1, 2, or 3 for both."""
    sides = codes.map({**SIDES, "3": BOTH})
    for word in (*SIDES.values(), "bilateral"):
        named = exams.str.contains(rf"\b{word}\b", case=False).fillna(False).astype(bool)
        sides = sides.mask(named, BOTH if word == "bilateral" else word)
    return sides.astype("string")


def _join_faults(table: pd.DataFrame) -> pd.Series:
    table = table.rename(columns={"XRQC_POSITION": "POSITN"})
    names = [name for name in FAULTS if name in table.columns]
    marks = {name: table[name].str.upper().eq("X").fillna(False).to_numpy() for name in names}
    joined = [";".join(name for name in names if marks[name][place]) for place in range(len(table))]
    return pd.Series(joined, index=table.index, dtype="string")


def _add(counted: dict[str, int], what: str, number: int) -> None:
    if number:
        counted[what] = counted.get(what, 0) + number
