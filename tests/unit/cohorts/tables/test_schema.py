"""The check of a knee table: what it takes, what it refuses and how it says so."""

from pathlib import Path

import pandas as pd
import pytest

from kneegrade.cohorts.tables.schema import KEY_COLUMNS, SCHEMA, SCHEMA_VERSION, check_knee_table
from kneegrade.errors import TableError
from kneegrade.types import Task

PAGE_TOP = f"""# The knee table

Version {SCHEMA_VERSION}. One row is one reading of one knee at one visit. Parquet (the number of
the version is in its metadata as `schema_version`) or CSV. Excel (`.xlsx`, the first sheet) and
[other text tables](#text-tables) are read too, not written.

Your own table needs `image_path` and `side` only. Where they are missing, `cohort` becomes `own`,
`visit_months` 0, `reading` empty, and `subject_id` the `image_path`: then two images count as two
people, so give `subject_id` before you train or evaluate. `kneegrade cohort table FILE --out TABLE`
checks a table and writes it in its normal form.

The key `{", ".join(KEY_COLUMNS)}` names a row and must not
repeat. Columns that are not listed here pass through. `<task>_raw` (such as `kl_raw`) holds what a
study wrote where it is not a grade.

| column | type | always | a cell holds | meaning |
| --- | --- | --- | --- | --- |"""

PAGE_END = """
An empty cell is missing; in a column of numbers so are `NA`, `NaN`, `null`, `none` and `.`. Errors
number rows as in a file whose header is row 1.

A spreadsheet changes ids: `0012` becomes 12, and a long number, once saved as CSV, `9.0E+06`.
Format the column as text before you fill it. The second is refused; for the first a note is printed
if most ids are longer.

A backslash in `image_path` is read as `/`, unless there is a file with exactly that name.

## Text tables

Every table that you give as text (`.csv`, `.tsv`, `.txt`), also to `--truth` and `evaluate`, may
use commas, semicolons, tabs or bars, have a first line `sep=;`, and be in UTF-8 or UTF-16
(Excel's "Unicode text"). Other text is read as Windows-1252, with a note: a name may come out
wrong, a grade cannot. Columns are found in any case, with blanks or hyphens for `_`; `0,5` is a
half; an unnamed first column of row numbers, as pandas writes it, is left out. A row that is not
as long as the header is refused.
"""

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
    assert (DOCS / "knee-table.md").read_text(encoding="utf-8") == write_page()


def write_page() -> str:
    """The page on the knee table that `SCHEMA` asks for."""
    lines = [PAGE_TOP]
    for column in SCHEMA:
        need = "yes" if column.required else ""
        lines.append(
            f"| `{column.name}` | {column.dtype} | {need} | {column.expected} | {column.meaning} |"
        )
    return "\n".join([*lines, PAGE_END])
