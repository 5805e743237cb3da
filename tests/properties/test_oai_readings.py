"""Whatever an OAI table of readings holds, no row of it is lost uncounted, mixed or made up."""

import tempfile
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kneegrade.cohorts.oai.read import read_oai
from kneegrade.errors import TableError

BARE = "XRKL XROSFL XROSFM XROSTL XROSTM XRJSL XRJSM XRSCFL XRSCFM XRSCTL XRSCTM XRATTL XRATTM"
TASKS = ["kl", "fo_l", "fo_m", "to_l", "to_m", "jsn_l", "jsn_m"]
TASKS += ["scl_fl", "scl_fm", "scl_tl", "scl_tm", "att_tl", "att_tm"]
SIDES = {"1": "right", "2": "left"}
PREFERENCE = ("15", "37", "42")

plain = st.sampled_from("0123")
absent = st.sampled_from([" ", ".", ".A: Not Expected", "7"])
decimals = st.sampled_from(["0.4", "1.4", "1.6", "2.2"])


def cell(name: str) -> st.SearchStrategy[str]:
    return plain | decimals if name.startswith("XRJS") else plain


grades = st.tuples(*map(cell, BARE.split()))
partly = st.tuples(*(cell(name) | absent for name in BARE.split()))
readings = st.lists(
    st.tuples(
        st.sampled_from(["9000001", "9000002", "9000003"]),  # the third has no film
        st.sampled_from(list(SIDES)),
        st.sampled_from(PREFERENCE),
        grades | partly,
    ),
    min_size=1,
    max_size=14,
    unique_by=lambda row: row[:3],
)


def write_release(folder: Path, rows: list[tuple[str, str, str, tuple[str, ...]]]) -> None:
    names = "|".join(f"V00{name}" for name in BARE.split())
    lines = [f"ID|SIDE|READPRJ|{names}|V00BARCDBU"]
    for subject, side, project, cells in rows:
        lines.append(f"{subject}|{side}|{project}|{'|'.join(cells)}|01660{subject}")
    (folder / "kxr_sq_bu00.txt").write_text("\n".join(lines) + "\n")
    for subject in ("9000001", "9000002"):
        film = folder / "0.C.2" / subject / "20041102" / f"0{subject}" / "001"
        film.parent.mkdir(parents=True)
        film.touch()


def expect(cells: tuple[str, ...]) -> list[int | None]:
    """The grades of a row, decoded in another way than by the reader."""
    return [int(text[0]) if text[0] in "0123" else None for text in cells]


@settings(max_examples=40, deadline=None)
@given(rows=readings, mode=st.sampled_from(["paper", "full"]))
def test_every_row_is_kept_whole_or_counted(
    rows: list[tuple[str, str, str, tuple[str, ...]]], mode: str
) -> None:
    is_enough = all if mode == "paper" else any
    best: dict[tuple[str, str], tuple[str, list[int | None]]] = {}
    for subject, side, project, cells in rows:
        graded = expect(cells)
        knee = (subject, SIDES[side])
        if is_enough(grade is not None for grade in graded) and (
            knee not in best or project < best[knee][0]
        ):
            best[knee] = (project, graded)
    expected = {knee: found for knee, found in best.items() if knee[0] != "9000003"}
    with tempfile.TemporaryDirectory() as name:
        write_release(Path(name), rows)
        if not expected:
            with pytest.raises(TableError, match="Got none") as caught:
                read_oai(Path(name), mode=mode)  # type: ignore[arg-type]
            assert caught.value.code == "table.empty"
            return
        study = read_oai(Path(name), mode=mode)  # type: ignore[arg-type]
    found = {
        (row["subject_id"], row["side"]): (
            row["reading"],
            [None if pd.isna(row[task]) else int(row[task]) for task in TASKS],
        )
        for _, row in study.knees.iterrows()
    }
    assert found == expected
    assert len(study.knees) == len(expected)
    left = len(rows)
    for step in study.flow:
        left -= step.dropped
        assert step.left == left
    assert left == len(study.knees)
    without_film = sum(knee[0] == "9000003" for knee in best)
    assert len(study.unmatched_rows) == without_film
