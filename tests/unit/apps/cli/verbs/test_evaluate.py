import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from kneegrade.apps.cli.verbs.evaluate import evaluate
from kneegrade.errors import BundleError, TableError
from kneegrade.terms import SubjectUse

app = typer.Typer()
app.command()(evaluate)


@pytest.fixture
def tables(tmp_path: Path) -> list[str]:
    """Paths of a prediction table and a knee table of 20 subjects."""
    rng = np.random.default_rng(5)
    knees = pd.DataFrame(
        {
            "cohort": "own",
            "subject_id": [f"p{number}" for number in np.repeat(range(20), 2)],
            "visit_months": 0,
            "side": ["right", "left"] * 20,
            "reading": "",
            "image_path": [f"{number}.png" for number in range(40)],
            "kl": rng.integers(0, 5, size=40),
        }
    )
    predictions = knees.drop(columns="image_path").assign(
        source=knees["image_path"],
        status="ok",
        error_code="",
        error="",
        kl=np.clip(knees["kl"] + rng.integers(-1, 2, size=40), 0, 4),
        flags="",
        bundle_id="b1",
    )
    for grade in range(5):
        predictions[f"kl_p{grade}"] = np.where(predictions["kl"] == grade, 0.6, 0.1)
    paths = [tmp_path / "predictions.csv", tmp_path / "knees.csv"]
    predictions.to_csv(paths[0], index=False)
    knees.to_csv(paths[1], index=False)
    return [str(path) for path in paths]


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Bundles by name: the id of each. Every subject is ``selected`` to all of them."""
    known: dict[str, str] = {}

    def read_bundle(name: str) -> SimpleNamespace:
        if name not in known:
            raise BundleError("bundle.not-found", "There is no such bundle.", "Name another.")
        return SimpleNamespace(
            bundle_id=known[name], use_of_subject=lambda c, s: SubjectUse.SELECTED
        )

    monkeypatch.setattr("kneegrade.bundles.manifest.read_bundle", read_bundle)
    return known


def run(*arguments: str | Path) -> tuple[str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None:
        raise result.exception
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_figures_on_stdout_and_report_folder(
    tables: list[str], bundles: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "report"
    stdout, stderr = run(*tables, "--out", out, "--rounds", "30")
    kappa = json.loads((out / "metrics.json").read_text())["groups"]["unknown"]["tasks"]["kl"][
        "reported"
    ]["quadratic_kappa"]
    lines = [" ".join(line.split()) for line in stdout.splitlines()]
    assert "kl quadratic kappa {estimate:.3f} ({low:.3f}-{high:.3f})".format(**kappa) in lines
    assert "40 knees compared, 0 failed, 0 without a reader's grade, 0 not predicted" in lines
    assert any(line.startswith("not known whether the network was trained") for line in lines)
    assert sorted(path.name for path in out.iterdir()) == [
        "metrics.csv",
        "metrics.json",
        "report.html",
    ]
    assert "report.html" in stderr
    assert "report.html" not in stdout


def test_json_is_all_that_stdout_holds(
    tables: list[str], bundles: dict[str, str], tmp_path: Path
) -> None:
    stdout, _ = run(*tables, "--out", tmp_path, "--rounds", "30", "--seed", "3", "--json")
    metrics = json.loads(stdout)
    assert metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["bootstrap"] == {"by": "subject", "rounds": 30, "seed": 3, "coverage": 0.95}


@pytest.mark.parametrize(
    ("known", "option", "use"),
    [
        ({"default": "b1"}, [], "selected"),
        ({"default": "b2"}, [], "unknown"),
        ({"mine": "b1"}, ["--bundle", "mine"], "selected"),
    ],
)
def test_bundle_that_is_asked(
    known: dict[str, str],
    option: list[str],
    use: str,
    tables: list[str],
    bundles: dict[str, str],
    tmp_path: Path,
) -> None:
    bundles.update(known)
    stdout, _ = run(*tables, *option, "--out", tmp_path, "--rounds", "5", "--json")
    assert list(json.loads(stdout)["groups"]) == [use]


def test_errors_reach_the_caller(
    tables: list[str], bundles: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(BundleError) as caught:
        run(*tables, "--bundle", "nowhere", "--out", tmp_path / "out")
    assert caught.value.code == "bundle.not-found"
    with pytest.raises(TableError) as not_found:
        run(tables[0], tmp_path / "nothing.csv", "--out", tmp_path / "out")
    assert not_found.value.code == "table.not-found"
    assert not (tmp_path / "out").exists()


def test_tables_saved_again_by_a_spreadsheet_give_the_same_figures(
    tables: list[str], bundles: dict[str, str], tmp_path: Path
) -> None:
    before = run(*tables, "--out", tmp_path / "a", "--rounds", "5", "--json")[0]
    for name in tables:
        table = pd.read_csv(name, dtype={"subject_id": "string"}, keep_default_na=False)
        table["side"] = table["side"].str.upper().str[0]
        for path in {"source", "image_path"} & {*table.columns}:
            table[path] = "films\\" + table[path]
        if "status" in table:
            table["status"] = "Ok "
        text = table.rename(columns=str.title).to_csv(sep="\t", decimal=",", float_format="%.3f")
        Path(name).write_text(text, encoding="utf-16")
    assert run(*tables, "--out", tmp_path / "b", "--rounds", "5", "--json")[0] == before


def test_what_is_odd_about_predictions_is_said_once(
    tables: list[str],
    bundles: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    table = pd.read_csv(tables[0])
    table.loc[3, "status"] = "done"
    table.to_csv(tables[0], index=False)
    metrics = json.loads(run(*tables, "--out", tmp_path, "--rounds", "5", "--json")[0])
    assert (metrics["counts"]["n_failed"], metrics["counts"]["n_unknown_status"]) == (1, 1)
    assert "none of ok, refused, failed" in (tmp_path / "report.html").read_text()
    assert caplog.text.count("1 of 40 rows have a status") == 1
    table.assign(kl=7).to_csv(tables[0], index=False)
    with pytest.raises(TableError, match="Row 2, column 'kl'") as caught:
        run(*tables, "--out", tmp_path / "not")
    assert caught.value.code == "table.value-invalid"
    assert not (tmp_path / "not").exists()
