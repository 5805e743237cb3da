import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from kneegrade.errors import OutputError
from kneegrade.evaluation.report import write_report
from kneegrade.evaluation.subject_use import UseOfSubject, add_subject_use
from kneegrade.evaluation.tables import compute_agreement, join_truth
from kneegrade.terms import SubjectUse


def report(
    predictions: pd.DataFrame, knees: pd.DataFrame, folder: Path, use: UseOfSubject | None
) -> str:
    joined = add_subject_use(join_truth(predictions, knees), use)
    agreement = compute_agreement(joined, rounds=20, seed=1)
    metrics = write_report(joined, agreement, folder, rounds=20, seed=1)
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    pd.testing.assert_frame_equal(pd.read_csv(folder / "metrics.csv"), agreement, check_dtype=False)
    return (folder / "report.html").read_text()


def visible(page: str) -> str:
    return " ".join(re.sub(r"<style>.*</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def test_page_tells_use_readers_and_counts(
    predictions: pd.DataFrame, knees: pd.DataFrame, tmp_path: Path
) -> None:
    page = report(
        predictions[:40], knees, tmp_path / "new" / "folder", lambda c, s: SubjectUse.SELECTED
    )
    text = visible(page)
    for expected in (
        "Research use only. Not a medical device.",
        "one reading team, the reading bu",
        "used to select or calibrate",
        "Knees compared 40",
        "In the knee table, not predicted 20",
        "40 knees of 20 subjects",
        "20 rounds",
    ):
        assert expected in text
    metrics = json.loads((tmp_path / "new" / "folder" / "metrics.json").read_text())
    kappa = metrics["groups"]["selected"]["tasks"]["kl"]["reported"]["quadratic_kappa"]
    assert "quadratic kappa {estimate:.3f} ({low:.3f}-{high:.3f})".format(**kappa) in text
    assert page.count("data:image/svg+xml;base64,") == 2
    assert sum(map(sum, metrics["groups"]["selected"]["tasks"]["kl"]["confusion"])) == 40


def test_no_agreement_on_knees_trained_on(
    predictions: pd.DataFrame, knees: pd.DataFrame, tmp_path: Path
) -> None:
    page = report(predictions, knees, tmp_path, lambda c, s: SubjectUse.TRAINED)
    assert "trained on: no agreement is reported" in visible(page)
    assert "60 knees of 30 subjects" in visible(page)
    assert re.search(r"\d\.\d{3}", visible(page)) is None
    assert "data:image" not in page
    assert json.loads((tmp_path / "metrics.json").read_text())["groups"]["trained"]["tasks"] == {}


def test_unknown_is_labelled(
    predictions: pd.DataFrame, knees: pd.DataFrame, tmp_path: Path
) -> None:
    text = visible(report(predictions, knees, tmp_path, None))
    assert "not known whether the network was trained on these subjects" in text


def test_page_is_escaped_and_refers_to_nothing_outside(
    predictions: pd.DataFrame, knees: pd.DataFrame, tmp_path: Path
) -> None:
    evil = "<script>alert(1)</script>"
    page = report(
        predictions.assign(reading=evil, bundle_id=evil), knees.assign(reading=evil), tmp_path, None
    )
    tags: list[str] = []
    sources: list[str | None] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            sources.extend(value for name, value in attrs if name in {"src", "href"})

    Reader().feed(page)
    assert "script" not in tags
    assert "link" not in tags
    assert sources
    assert all(source and source.startswith("data:") for source in sources)
    assert not any(subject in visible(page) for subject in set(knees["subject_id"]))


def test_figures_that_are_not_defined_stay_valid_json(
    predictions: pd.DataFrame, knees: pd.DataFrame, tmp_path: Path
) -> None:
    page = report(predictions.assign(kl=1), knees.assign(kl=1), tmp_path, None)
    assert "quadratic kappa not defined" in visible(page)
    assert "NaN" not in (tmp_path / "metrics.json").read_text()


def test_a_folder_that_cannot_be_written(
    predictions: pd.DataFrame, knees: pd.DataFrame, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        report(predictions, knees, tmp_path / "file", None)
    assert caught.value.code == "output.not-writable"
