"""``cohort oai`` and ``cohort most`` on small releases: what they write and what they print."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from kneegrade.apps.cli.verbs.cohort import app
from kneegrade.cohorts.tables.counts import PAPER_TASKS, CountDifference
from kneegrade.cohorts.tables.table import find_missing_images, read_knee_table
from kneegrade.errors import KneegradeError
from kneegrade.types import Task

MOST_FEATURES = ("KL", "OSFL", "OSTL", "JSL", "OSFM", "OSTM", "JSM")
BLANK = ". . . . . . ."
MOST_KNEES = {  # knee and visit -> grades
    "MB00001": {"V0XR": "2 1 0 3 2 1 0", "V0XL": "0 0 0 0 0 0 0"},
    "MB00002": {"V0XR": "9 9 9 9 9 9 9", "V0XL": "1 0 0 0 0 0 1.9"},
    "MB00003": {"V0XR": "0 0 0 0 0 0 0", "V0XL": BLANK},  # no film
}
OAI_FEATURES = (
    "XRKL XROSFL XROSFM XROSTL XROSTM XRJSL XRJSM XRSCFL XRSCFM XRSCTL XRSCTM XRATTL XRATTM"
)
OAI_ROWS = [
    "9000001|1|15|2|1|0|0|1|1.6|0|0|0|0|0|0|0|016600000001",
    "9000001|2|15|0|0|0|0|0|0|0|0|0|0|0|0|0|016600000001",
    "9000002|1|15|3| | | | |1|1| | | | | | |016600000002",
    "9000003|1|15|0|0|0|0|0|0|0|0|0|0|0|0|0|016600000003",  # no film
]


def invoke(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def most(tmp_path: Path) -> Path:
    knees = [f"V{visit}X{leg}" for visit in "01235" for leg in "RL"]
    lines = ["\t".join(["MOSTID", *(k + f for k in knees for f in MOST_FEATURES)])]
    for subject, cells in MOST_KNEES.items():
        lines.append(
            "\t".join([subject, *(c for k in knees for c in cells.get(k, BLANK).split(" "))])
        )
    folder = tmp_path / "MOST"
    write(folder / "MOSTV01235XRAY.txt", "\n".join(lines) + "\n")
    for subject in ("MB00001", "MB00002", "MB00009"):
        write(folder / f"{subject}_ABCD" / "V0BASE" / "PA10" / "IM1")
    return folder


@pytest.fixture
def oai(tmp_path: Path) -> Path:
    folder = tmp_path / "OAI"
    names = [f"V00{name}" for name in OAI_FEATURES.split(" ")]
    head = "|".join(["ID", "SIDE", "READPRJ", *names, "V00BARCDBU"])
    write(folder / "kxr_sq_bu00.txt", "\n".join([head, *OAI_ROWS]) + "\n")
    lines = ["Folder,ParticipantID,StudyDate,Barcode,StudyDescription,SeriesDescription"]
    for n in (1, 2):
        place = f"900000{n}/20040101/0000000{n}"
        write(folder / "0.C.2" / place / "001")
        lines.append(
            f"0.C.2/{place},900000{n},20040101,01660000000{n},X,Bilateral PA Fixed Flexion Knee"
        )
    write(folder / "0.C.2" / "contents.csv", "\n".join(lines) + "\n")
    return folder


def reply_of(study: str, folder: Path, out: Path, *more: str) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(invoke(study, folder, "--out", out, "--json", *more))
    assert json.loads(out.with_suffix(".flow.json").read_text()) == reply
    return reply


def test_most_writes_table_and_flow(most: Path, tmp_path: Path) -> None:
    out = tmp_path / "tables" / "most.parquet"
    reply = reply_of("most", most, out)
    assert reply["options"] == {"mode": "paper", "code_1_9": "drop", "view": "PA10"}
    assert (reply["knees"], reply["subjects"]) == (2, 1)
    assert reply["rows_read"] == reply["knees"] + sum(step["dropped"] for step in reply["steps"])
    assert {step["reason"]: step["dropped"] for step in reply["steps"]}["no film found"] == 1
    assert reply["steps"][-1]["left"] == reply["knees"]
    assert len(reply["rows_without_picture"]) == 1
    assert reply["pictures_without_row"] == ["MB00009_ABCD/V0BASE/PA10/IM1"]
    first = ["most", 2, "0", 1, 1, 1, 2, 1, 1, 2]
    assert list(reply["table_1"][0].items()) == list(
        zip(["dataset", "knees", "grade", *PAPER_TASKS], first, strict=True)
    )
    table = read_knee_table(out)
    assert set(table["image_path"]) == {"../MOST/MB00001_ABCD/V0BASE/PA10/IM1"}
    assert find_missing_images(table, out) == []
    assert "no film found" in out.with_suffix(".flow.svg").read_text()


def test_most_options_reach_the_reader(most: Path, tmp_path: Path) -> None:
    out = tmp_path / "most.csv"
    assert reply_of("most", most, out, "--code-1-9", "floor")["knees"] == 3
    full = reply_of("most", most, out, "--mode", "full")
    assert full["knees"] == 3
    assert full["differs_from_published"] is None
    with pytest.raises(KneegradeError) as caught:
        invoke("most", most, "--out", out, "--view", "PA05")
    assert caught.value.code == "table.empty"


def test_the_name_of_the_table_is_checked_before_the_study_is_read(tmp_path: Path) -> None:
    with pytest.raises(KneegradeError) as caught:
        invoke("most", tmp_path / "absent", "--out", tmp_path / "most.xlsx")
    assert caught.value.code == "table.unreadable"


def test_most_prints_flow_table_and_comparison(most: Path, tmp_path: Path) -> None:
    text = invoke("most", most, "--out", tmp_path / "most.parquet")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0].startswith("2 knees of 1 people written to ")
    assert "1 2 no film found" in lines
    assert "Dataset Knees Grade KL FO L FO M TO L TO M JSN L JSN M" in lines
    assert "most 2 0 1 1 1 2 1 1 2" in lines
    assert "Differs from the published Table 1 in 30 of 30 counts:" in lines
    assert "all knees 11,743 2 -11,741" in lines
    assert "joint space narrowing, lateral, grade 3 243 1 -242" in lines
    assert "The published counts were made with --code-1-9 paper." in lines
    assert "cells with code 1.9: no grade: 1" in lines
    assert lines[-1].startswith("rows without an image: 1; images without a row: 1 (listed in")
    assert "MB0000" not in text


def test_full_mode_is_not_compared(most: Path, tmp_path: Path) -> None:
    text = invoke("most", most, "--out", tmp_path / "most.parquet", "--mode", "full")
    assert "Differs" not in text
    assert "Not compared with the published Table 1" in text


def test_a_table_that_agrees_says_so(
    most: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compare(table: pd.DataFrame, cohort: str) -> list[CountDifference]:
        assert (len(table), cohort) == (3, "most")
        return []

    monkeypatch.setattr("kneegrade.cohorts.tables.counts.compare_with_paper", compare)
    text = invoke("most", most, "--out", tmp_path / "most.parquet", "--code-1-9", "paper")
    assert "Equal to the published Table 1 in every count." in text
    assert "were made with" not in text


def test_oai_modes_and_decimals(oai: Path, tmp_path: Path) -> None:
    out = tmp_path / "oai.parquet"
    reply = reply_of("oai", oai, out)
    assert reply["knees"] == 2
    assert reply["differs_from_published"][0] == {
        "count": "all knees",
        "published": 19704,
        "found": 2,
    }
    assert sorted(read_knee_table(out)["jsn_l"]) == [0, 1]
    reply_of("oai", oai, out, "--jsn", "paper")
    assert sorted(read_knee_table(out)["jsn_l"]) == [0, 2]
    assert reply_of("oai", oai, out, "--mode", "full")["knees"] == 3


def test_oai_prints_the_other_tasks_apart(oai: Path, tmp_path: Path) -> None:
    text = invoke("oai", oai, "--out", tmp_path / "oai.parquet", "--mode", "full")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "Dataset Knees Grade Scl FL Scl FM Scl TL Scl TM Att TL Att TM" in lines
    assert "missing 0 1 1 1 1 0 0" in lines
    assert "missing 1 1 1 1 1 1" in lines


def test_crops_take_the_place_of_films(oai: Path, tmp_path: Path) -> None:
    crops = tmp_path / "crops"
    for name in ("9000001_00_x_R.png", "9000003_00_x_R.png", "9000004_00_x_L.png", "odd.png"):
        write(crops / name)
    out = tmp_path / "tables" / "oai.csv"
    reply = reply_of("oai", oai, out, "--crops", str(crops))
    assert reply["knees"] == 2
    assert any(note.startswith("1 PNG files in ") for note in reply["notes"])
    assert reply["pictures_without_row"] == ["../crops/9000004_00_x_L.png"]
    table = read_knee_table(out)
    assert sorted(table["image_path"]) == [
        "../crops/9000001_00_x_R.png",
        "../crops/9000003_00_x_R.png",
    ]
    assert set(table["spacing_mm"]) == {0.2}


@pytest.mark.parametrize(("study", "other"), [("oai", "most"), ("most", "oai")])
def test_the_wrong_release_writes_nothing(
    study: str, other: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(other)
    with pytest.raises(KneegradeError) as caught:
        invoke(study, folder, "--out", tmp_path / "tables" / "knees.parquet")
    assert caught.value.code == "cohort.layout-unknown"
    assert not (tmp_path / "tables").exists()


def test_flow_that_cannot_be_written(most: Path, tmp_path: Path) -> None:
    (tmp_path / "knees.flow.json").mkdir()
    with pytest.raises(KneegradeError) as caught:
        invoke("most", most, "--out", tmp_path / "knees.parquet")
    assert caught.value.code == "output.not-writable"


def describe(folder: Path, *tables: Path) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(invoke("describe", *tables, "--out", folder, "--json"))
    return reply


def test_describe_two_studies(oai: Path, most: Path, tmp_path: Path) -> None:
    one, two, out = tmp_path / "oai.parquet", tmp_path / "most.csv", tmp_path / "shown"
    invoke("oai", oai, "--out", one)
    invoke("most", most, "--out", two)
    reply = describe(out, one, two)
    assert [row["dataset"] for row in reply["table_1"]] == ["oai"] * 5 + ["most"] * 6
    forms = [
        f"grades-{name}.{form}" for name in ("kl", "lateral", "medial") for form in ("svg", "png")
    ]
    assert {path.name for path in out.iterdir()} == {
        *forms,
        *("table-1.csv", "table-1.md", "description.html"),
    }
    counts = pd.read_csv(out / "table-1.csv", dtype={"grade": str})
    assert counts.loc[counts["dataset"] == "most", "jsn_l"].tolist()[:4] == [1, 0, 0, 1]
    page = (out / "description.html").read_text()
    assert all(f'src="{name}"' in page for name in forms if name.endswith("svg"))
    assert "<td>oai</td>" in page
    text = invoke("describe", one, "--out", out, "--by", "reading")
    assert text.splitlines()[1].split()[:3] == ["15", "2", "0"]


def test_describe_kl_alone_draws_kl_alone(tmp_path: Path) -> None:
    own = write(tmp_path / "own.csv", "image_path,side,kl\na.png,R,1\nb.png,L,\n")
    reply = describe(tmp_path / "shown", own)
    assert [row["kl"] for row in reply["table_1"]] == [0, 1, 0, 0, 0, 1]
    assert set(reply["table_1"][0]) == {"dataset", "knees", "grade", Task.KL}
    assert not list((tmp_path / "shown").glob("grades-lateral*"))


@pytest.mark.parametrize(
    ("text", "times", "code"),
    [
        ("image_path,side,kl\na.png,R,1\n", 2, "table.key-duplicate"),
        ("image_path,side\na.png,R\n", 1, "table.column-missing"),
        ("image_path,side,kl\n", 1, "table.empty"),
    ],
)
def test_describe_errors_write_nothing(tmp_path: Path, text: str, times: int, code: str) -> None:
    own = write(tmp_path / "own.csv", text)
    with pytest.raises(KneegradeError) as caught:
        describe(tmp_path / "shown", *[own] * times)
    assert caught.value.code == code
    assert not (tmp_path / "shown").exists()
