"""Table 1 for any knee table."""

from xml.etree import ElementTree

import pandas as pd
import pytest

from kneegrade.errors import TableError
from kneegrade.evaluation.grade_counts import (
    compute_table_1,
    format_html,
    format_markdown,
    list_heads,
    list_rows,
)


@pytest.fixture
def two_studies() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "cohort": ["oai"] * 4 + ["most"] * 2,
            "reading": ["15", "15", "37", "rel-15", "most", "most"],
            "kl": [0, 4, 4, 1, 2, 2],
            "jsn_m": [0, 3, None, 0, 1, 1],
            "scl_fl": [None] * 6,
        }
    )
    return table.astype({"kl": "Int8", "jsn_m": "Int8", "scl_fl": "Int8"})


def test_counts_by_dataset_and_grade(two_studies: pd.DataFrame) -> None:
    counts = compute_table_1(two_studies)
    assert list(counts.columns) == ["dataset", "knees", "grade", "kl", "jsn_m"]
    assert list(counts["dataset"].unique()) == ["oai", "oai re-reads", "most"]
    oai = counts[counts["dataset"] == "oai"].set_index("grade")
    assert oai.index.tolist() == ["0", "1", "2", "3", "4", "missing"]
    assert oai["kl"].tolist() == [1, 0, 0, 0, 2, 0]
    assert oai["jsn_m"].drop("4").tolist() == [1, 0, 0, 1, 1]
    assert oai.loc["4", "jsn_m"] is pd.NA
    most = counts[counts["dataset"] == "most"]
    assert most["grade"].tolist() == ["0", "1", "2", "3", "4"]
    assert (most["knees"] == 2).all()


def test_every_knee_is_in_one_row_of_each_task(two_studies: pd.DataFrame) -> None:
    counts = compute_table_1(two_studies)
    sums = counts.groupby("dataset", sort=False)[["kl", "jsn_m"]].sum()
    knees = counts.groupby("dataset", sort=False)["knees"].first()
    assert sums["kl"].tolist() == sums["jsn_m"].tolist() == knees.tolist() == [3, 1, 2]


def test_by_another_column(two_studies: pd.DataFrame) -> None:
    counts = compute_table_1(
        two_studies.assign(reading=["15", "15", None, "", "x", "x"]), by="reading"
    )
    assert list(counts["dataset"].unique()) == ["15", "no reading", "x"]


@pytest.mark.parametrize(("without", "by"), [(["kl", "jsn_m"], "cohort"), ([], "split")])
def test_nothing_to_count(two_studies: pd.DataFrame, without: list[str], by: str) -> None:
    with pytest.raises(TableError) as caught:
        compute_table_1(two_studies.drop(columns=without), by=by)
    assert caught.value.code == "table.column-missing"


def test_markdown(two_studies: pd.DataFrame) -> None:
    table = two_studies.assign(cohort="a|b", reading="", kl=2)
    lines = format_markdown(compute_table_1(table)).splitlines()
    assert lines[0] == "| Dataset | Knees | Grade | KL | JSN M |"
    assert lines[2] == "| a\\|b | 6 | 0 | 0 | 2 |"
    assert lines[3] == "|  |  | 1 | 0 | 2 |"
    assert lines[6] == "|  |  | 4 | 0 | - |"
    assert lines[7] == "|  |  | missing | 0 | 1 |"


def test_html_is_headed_in_two_rows_and_escaped(two_studies: pd.DataFrame) -> None:
    text = format_html(
        compute_table_1(two_studies.assign(cohort="<b>&", reading="", fo_l=1, fo_m=1))
    )
    root = ElementTree.fromstring(text)
    first, second = root.findall("./thead/tr")
    assert [cell.text for cell in first] == ["Dataset", "Knees", "Grade", "KL", "FO", "JSN"]
    assert [cell.get("colspan") for cell in first][4:] == ["2", None]
    assert [cell.text for cell in second] == [None, None, None, None, "L", "M", "M"]
    assert [cell.text for cell in root.findall("./tbody/tr")[0]][:3] == ["<b>&", "6", "0"]


def test_html_of_kl_alone_is_headed_in_one_row(two_studies: pd.DataFrame) -> None:
    root = ElementTree.fromstring(format_html(compute_table_1(two_studies[["cohort", "kl"]])))
    assert len(root.findall("./thead/tr")) == 1


def test_large_numbers_are_grouped_and_heads_name_feature_and_place() -> None:
    table = pd.DataFrame({"cohort": "own", "kl": [1] * 1200, "att_tm": [0] * 1200})
    counts = compute_table_1(table)
    assert list_heads(counts)[3:] == [("KL", ""), ("Att", "TM")]
    assert list_rows(counts)[:2] == [
        ["own", "1,200", "0", "0", "1,200"],
        ["", "", "1", "1,200", "0"],
    ]
