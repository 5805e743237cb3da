import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_results import make_failed, make_joint, make_result

from kneegrade.errors import MissingExtraError, TableError
from kneegrade.grading import predictions
from kneegrade.grading.predictions import (
    FIRST_COLUMNS,
    LAST_COLUMNS,
    SPACE_COLUMNS,
    SPUR_COLUMNS,
    Row,
    read_predictions,
    read_with_notes,
    table_columns,
    task_columns,
    write_csv,
    write_json,
    write_parquet,
)
from kneegrade.pipeline.results import KneeKey, TaskResult
from kneegrade.types import Flag, Side, SpacingSource, Task

TASKS = (Task.KL, Task.JSN_M)
COLUMNS = table_columns(TASKS)


@pytest.fixture
def rows() -> list[Row]:
    """A knee of a study, a loose file, and a file that gave no knee."""
    kl = TaskResult(2, (0.1, 0.2, 0.4, 0.2, 0.1), 2.0, 0.25)
    narrowing = TaskResult(0, (0.333333, 0.333333, 0.333333, 0.0), 1.0)
    tasks = {Task.KL: replace(kl, spread=None), Task.JSN_M: narrowing}
    loose = replace(make_result("b, c.png"), side=Side.LEFT, tasks=tasks)
    knee = replace(
        loose,
        source="films/a.dcm",
        key=KneeKey("oai", "0012", 24, "bu"),
        tasks={Task.KL: kl, Task.JSN_M: narrowing},
        flags=frozenset({Flag.SPACING_UNKNOWN, Flag.VIEW_UNKNOWN}),
    )
    return [result.to_row() for result in (knee, loose, make_failed("d.dcm"))]


def write(rows: list[Row], path: Path, columns: Sequence[str] = COLUMNS) -> Path:
    if path.suffix == ".csv":
        write_csv(rows, columns, path)
    elif path.suffix == ".json":
        write_json(rows, columns, {"bundle": "tiny"}, path)
    else:
        write_parquet(rows, columns, path)
    return path


def code_of(path: Path) -> str:
    with pytest.raises(TableError) as caught:
        read_predictions(path)
    assert caught.value.hint
    return caught.value.code


def test_columns_in_order() -> None:
    assert task_columns(Task.JSN_M) == [
        "jsn_m",
        *(f"jsn_m_p{grade}" for grade in range(4)),
        "jsn_m_expected",
        "jsn_m_spread",
    ]
    assert table_columns(TASKS) == [
        *FIRST_COLUMNS,
        *task_columns(Task.KL),
        *task_columns(Task.JSN_M),
        *SPACE_COLUMNS,
        *LAST_COLUMNS,
    ]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_osteophyte_areas_are_columns_where_they_are_asked_for(tmp_path: Path, suffix: str) -> None:
    columns = table_columns(TASKS, osteophyte_areas=True)
    assert [name for name in columns if name not in COLUMNS] == list(SPUR_COLUMNS)
    assert [name for name in columns if name not in SPUR_COLUMNS] == COLUMNS
    row = make_result(tasks=TASKS, joint=make_joint()).to_row()
    plain = read_predictions(write([row], tmp_path / f"p{suffix}"))
    assert not set(SPUR_COLUMNS) & set(plain.columns)
    path = write([row], tmp_path / f"q{suffix}", columns)
    table = read_predictions(path)
    assert set(table.columns) == set(columns)
    assert table[list(SPUR_COLUMNS)].iloc[0].to_dict() == {n: row[n] for n in SPUR_COLUMNS}
    if suffix == ".csv":
        path.write_text(path.read_text().replace("60.0", "much"))
        assert code_of(path) == "table.value-invalid"


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_a_knee_of_unknown_spacing_has_shares_alone(tmp_path: Path, suffix: str) -> None:
    row = make_result(tasks=TASKS, joint=make_joint(SpacingSource.UNKNOWN)).to_row()
    table = read_predictions(write([row], tmp_path / f"p{suffix}"))
    in_mm = [name for name in SPACE_COLUMNS if name.endswith(("_mm", "_mm2"))]
    assert len(in_mm) == 7
    assert table[in_mm].isna().all(axis=None)
    assert table["jsw_m_share"][0] == row["jsw_m_share"]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_there_and_back(tmp_path: Path, rows: list[Row], suffix: str) -> None:
    table = read_predictions(write(rows, tmp_path / f"p{suffix}"))
    assert list(table["source"]) == ["films/a.dcm", "b, c.png", "d.dcm"]
    assert list(table["status"]) == ["ok", "ok", "failed"]
    assert list(table["error_code"]) == ["", "", "image.empty"]
    assert list(table["flags"]) == ["spacing-unknown;view-unknown", "", ""]
    assert table["subject_id"][0] == "0012"
    assert list(table["side"].fillna("-")) == ["left", "left", "-"]
    assert table["visit_months"].dtype == "Int16"
    assert table["visit_months"][0] == 24
    assert table["subject_id"].isna().tolist() == [False, True, True]
    assert table["kl"].dtype == "Int8"
    assert table["kl"].fillna(-1).tolist() == [2, 2, -1]
    np.testing.assert_allclose(table["kl_p2"], [0.4, 0.4, np.nan])
    np.testing.assert_allclose(table["kl_spread"], [0.25, np.nan, np.nan])
    assert table["jsn_m_expected"].dtype == "float64"


def test_the_three_forms_hold_the_same(tmp_path: Path, rows: list[Row]) -> None:
    csv, parquet, plain = (
        read_predictions(write(rows, tmp_path / f"p{suffix}"))
        for suffix in (".csv", ".parquet", ".json")
    )
    assert list(csv.columns) == table_columns(TASKS)
    pd.testing.assert_frame_equal(csv, parquet)
    pd.testing.assert_frame_equal(csv, plain)


def test_loose_files_come_back_from_json_with_all_text_columns(tmp_path: Path) -> None:
    row = make_result(tasks=TASKS).to_row()
    table = read_predictions(write([row], tmp_path / "p.json"))
    assert list(table.columns) == table_columns(TASKS)
    assert list(table[["error_code", "error", "flags"]].iloc[0]) == ["", "", ""]
    assert table[["cohort", "subject_id", "visit_months"]].isna().all(axis=None)


def test_json_says_what_it_is(tmp_path: Path, rows: list[Row]) -> None:
    document = json.loads(write(rows, tmp_path / "p.json").read_text(encoding="utf-8"))
    assert (document["schema_version"], document["bundle"]) == (1, "tiny")
    assert len(document["predictions"]) == 3
    assert not {None, ""} & {value for row in document["predictions"] for value in row.values()}


def test_json_refuses_what_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json([{"kl_p0": float("nan")}], ["kl_p0"], {}, tmp_path / "p.json")


def test_csv_is_plain(tmp_path: Path, rows: list[Row]) -> None:
    data = write(rows, tmp_path / "p.csv").read_bytes()
    assert b"\r" not in data
    assert data.count(b"\n") == 4
    assert b'"b, c.png"' in data


def test_a_table_without_a_row(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        assert len(read_predictions(write([], tmp_path / f"p{suffix}"))) == 0


def test_no_table_there(tmp_path: Path) -> None:
    assert code_of(tmp_path / "p.csv") == "table.not-found"
    assert code_of(tmp_path) == "table.not-found"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("p.parquet", b"PAR1 but not really"),
        ("p.parquet", b""),
        ("p.json", b"{"),
        ("p.json", b"[1, 2]"),
        ("p.json", b"{}"),
        ("p.json", b'{"predictions": 3}'),
        ("p.csv", b"\xff\xfe\x00"),
    ],
)
def test_a_file_that_is_no_table(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert code_of(tmp_path / name) == "table.unreadable"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("source,status,kl\na,ok,severe\n", "Row 2, column 'kl'"),
        ("source,status,kl\na,ok,300\n", "Row 2, column 'kl'"),
        ("source;status;kl\na;ok;4\nb;ok;5\n", "Row 3, column 'kl': expected a whole number 0-4"),
        ("source,status,kl\na,ok,1.5\n", "Row 2, column 'kl'"),
        ("source,status,kl_p0\na,ok,high\n", "Row 2, column 'kl_p0'"),
        ("source,status,kl_p0\na,ok,40\n", "Row 2, column 'kl_p0'"),
        ("source,status,kl_expected\na,ok,-1\n", "column 'kl_expected'"),
        ("source,status,visit_months\na,ok,baseline\n", "column 'visit_months'"),
        ("source,status,side\na,ok,up\n", "column 'side': expected right or left"),
        ("source,status,subject_id\na,ok,9\x01\n", "column 'subject_id'"),
    ],
)
def test_a_cell_that_is_out_of_its_scale(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "p.csv"
    path.write_text(text)
    assert code_of(path) == "table.value-invalid"
    with pytest.raises(TableError) as caught:
        read_predictions(path)
    assert words in caught.value.message
    assert caught.value.message.startswith("p.csv: ")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_bytes(b"")
    assert code_of(tmp_path / "p.csv") == "table.empty"


HAND_MADE = """\ufeffsep=;
Source;Side;STATUS;KL;kl_p0;kl_p1;kl_p2;kl_p3;kl_p4;
films\\a.png;L;OK ;3,0;0;0,1;0,2;0,7;0;
b.png;Right;Ok;1;0,5;0,5;0;0;0;
c.png;;Failed;;;;;;;
d.png;r;done;2;0;0;1;0;0;
e.png;r;;2;;;;;;
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_table_made_by_hand(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "p.csv"
    path.write_bytes(HAND_MADE.encode(encoding))
    table, notes = read_with_notes(path)
    assert table["source"].tolist() == ["films\\a.png", *(f"{name}.png" for name in "bcde")]
    assert table["side"].fillna("-").tolist() == ["left", "right", "-", "right", "right"]
    assert table["status"].tolist() == ["ok", "ok", "failed", "done", ""]
    assert table["kl"].fillna(-1).tolist() == [3, 1, -1, 2, 2]
    assert table["kl_p1"].fillna(-1).tolist() == [0.1, 0.5, -1, 0, -1]
    assert [note for note in notes if "status" in note and "rows" in note] == [
        "2 of 5 rows have a status that is not one of ok, refused, failed, first in row 5: they "
        "count as failed."
    ]
    assert "Column 'KL' was read as 'kl'." in notes


@pytest.mark.parametrize(
    ("cells", "got"), [("0,0.1,0.2,0.3,0", "a sum of 0.6"), ("0,0.5,0.5,,0", "an empty cell")]
)
@pytest.mark.parametrize("status", ["ok", "refused"])
def test_probabilities_that_are_none(tmp_path: Path, cells: str, got: str, status: str) -> None:
    path = tmp_path / "p.csv"
    head = f"source,status,kl,{','.join(f'kl_p{grade}' for grade in range(5))}"
    path.write_text(f"{head}\na,ok,0,0.99,0.005,0,0,0\nb,failed,,,,,,\nc,{status},2,{cells}\n")
    if status == "refused":
        assert len(read_predictions(path)) == 3
        return
    with pytest.raises(TableError, match="Row 4, columns kl_p0 to kl_p4") as caught:
        read_predictions(path)
    assert caught.value.code == "table.value-invalid"
    assert got in caught.value.message


def test_what_was_let_pass_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "p.csv"
    path.write_text("source,Status\na,ok\n")
    read_predictions(path)
    assert caplog.messages == ["p.csv: Column 'Status' was read as 'status'."]


@pytest.mark.parametrize("text", ["source,kl\na,1\n", "status,kl\nok,1\n"])
def test_a_table_of_something_else(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.csv").write_text(text)
    assert code_of(tmp_path / "p.csv") == "table.column-missing"


def test_without_the_extra(
    tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CSV and JSON are written all the same; Parquet and reading say what to install."""
    csv = write(rows, tmp_path / "p.csv")
    monkeypatch.setitem(sys.modules, "pandas", None)
    write(rows, tmp_path / "q.csv")
    write(rows, tmp_path / "q.json")
    attempts: list[Callable[[], object]] = [
        lambda: write(rows, tmp_path / "q.parquet"),
        lambda: read_predictions(csv),
    ]
    for attempt in attempts:
        with pytest.raises(MissingExtraError) as caught:
            attempt()
        assert caught.value.code == "extra.missing"
    assert not (tmp_path / "q.parquet").exists()


def test_the_module_needs_no_pandas() -> None:
    assert not hasattr(predictions, "pd")
