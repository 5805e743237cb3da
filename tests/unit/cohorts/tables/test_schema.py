"""The check of a knee table: what it takes, what it refuses and how it says so."""

from pathlib import Path

import pandas as pd
import pytest

from kneegrade.cohorts.tables.schema import KEY_COLUMNS, SCHEMA, check_knee_table, describe_schema
from kneegrade.errors import TableError
from kneegrade.types import Task

DOCS = Path(__file__).parents[4] / "docs"


def knee_rows(**columns: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "cohort": "own",
            "subject_id": ["0012", "0012", "0700"],
            "visit_months": 0,
            "side": ["R", "left", "Right"],
            "reading": "",
            "image_path": ["a.png", "b.png", "set.zip::c.png"],
            "kl": [0, 4, None],
        }
    )
    return table.assign(**columns)


def test_normal_form() -> None:
    table = check_knee_table(
        knee_rows(
            contrast=["Plain", None, "ENHANCED"], spacing_mm=["0.143", "NA", 0.2], mine=[3, 1, 2]
        )
    )
    assert list(table.columns) == [
        *KEY_COLUMNS,
        "image_path",
        "kl",
        "contrast",
        "spacing_mm",
        "mine",
    ]
    assert table["subject_id"].tolist() == ["0012", "0012", "0700"]
    assert table["side"].tolist() == ["right", "left", "right"]
    assert table["contrast"].tolist() == ["plain", "unknown", "enhanced"]
    assert table["spacing_mm"].tolist()[::2] == [0.143, 0.2]
    assert table["spacing_mm"].isna().tolist() == [False, True, False]
    assert table["mine"].tolist() == [3, 1, 2]
    types = {name: str(table[name].dtype) for name in ("subject_id", "visit_months", "kl")}
    assert types == {"subject_id": "string", "visit_months": "Int16", "kl": "Int8"}


def test_ids_that_became_numbers_are_text_again() -> None:
    table = check_knee_table(knee_rows(subject_id=[9001695.0, 9001695.0, 9001897.0]))
    assert table["subject_id"].tolist() == ["9001695", "9001695", "9001897"]


def test_input_is_left_alone() -> None:
    raw = knee_rows()
    before = raw.copy()
    check_knee_table(raw)
    pd.testing.assert_frame_equal(raw, before)


@pytest.mark.parametrize(
    ("column", "value", "expected", "got"),
    [
        ("kl", 1.9, "0-4", "'1.9'"),
        ("kl", 7, "0-4", "'7'"),
        ("kl", -1, "0-4", "'-1'"),
        ("kl", True, "0-4", "'True'"),
        ("kl", "two", "0-4", "'two'"),
        ("kl", "1_0", "0-4", "'1_0'"),
        ("fo_l", 4, "0-3", "'4'"),
        ("jsn_m", "1.4", "0-3", "'1.4'"),
        ("side", "X", "right or left", "'X'"),
        ("side", None, "right or left", "an empty cell"),
        ("side", " ", "right or left", "an empty cell"),
        ("contrast", "foo", "plain, enhanced or unknown", "'foo'"),
        ("spacing_mm", -0.1, "0.001-5", "'-0.1'"),
        ("spacing_mm", 0, "0.001-5", "'0'"),
        ("spacing_mm", float("inf"), "0.001-5", "'inf'"),
        ("spacing_mm", "1,143.5", "0.001-5", "'1,143.5'"),
        ("spacing_source", "ruler", "calibrated", "'ruler'"),
        ("visit_months", 12.5, "0-32767", "'12.5'"),
        ("visit_months", None, "0-32767", "an empty cell"),
        ("age", -3, "0-130", "'-3'"),
        ("cohort", None, "text", "an empty cell"),
        ("subject_id", "12\n13", "text", "not shown"),
        ("image_path", "", "text", "an empty cell"),
        ("image_path", "secret\n.png", "text", "not shown"),
        ("sex", ["F"], "text", "['F']"),
    ],
)
def test_wrong_value(column: str, value: object, expected: str, got: str) -> None:
    table = knee_rows()
    cells = table[column].astype(object).tolist() if column in table else [None] * 3
    cells[1] = value
    with pytest.raises(TableError) as caught:
        check_knee_table(table.assign(**{column: pd.Series(cells, dtype=object)}))
    assert caught.value.code == "table.value-invalid"
    message = caught.value.message
    assert f"Row 3, column {column!r}" in message
    assert expected in message
    assert got in message
    assert "secret" not in message


@pytest.mark.parametrize("column", [*KEY_COLUMNS, "image_path"])
def test_missing_column(column: str) -> None:
    with pytest.raises(TableError, match=column) as caught:
        check_knee_table(knee_rows().drop(columns=column))
    assert caught.value.code == "table.column-missing"


def test_same_key_twice() -> None:
    table = knee_rows(subject_id="0012", side=["L", "R", "right"])
    with pytest.raises(TableError, match=r"rows 3 and 4; 2 rows") as caught:
        check_knee_table(table)
    assert caught.value.code == "table.key-duplicate"
    assert "0012" not in str(caught.value)
    assert len(check_knee_table(table.assign(reading=["a", "a", "b"]))) == 3


def test_no_rows() -> None:
    with pytest.raises(TableError) as caught:
        check_knee_table(knee_rows().iloc[:0])
    assert caught.value.code == "table.empty"


def test_column_twice() -> None:
    table = pd.concat([knee_rows(), knee_rows()[["kl"]]], axis=1)
    with pytest.raises(TableError) as caught:
        check_knee_table(table)
    assert caught.value.code == "table.unreadable"


def test_every_task_has_a_column_with_its_scale() -> None:
    ranges = {column.name: (column.low, column.high) for column in SCHEMA}
    assert {task: ranges[task.value] for task in Task} == {
        task: (0, 4 if task is Task.KL else 3) for task in Task
    }


def test_page_is_made_from_the_schema() -> None:
    assert (DOCS / "knee-table.md").read_text(encoding="utf-8") == describe_schema()
