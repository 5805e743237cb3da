"""From the published folders of a study to figures in a report, verb by verb."""

import json
import re
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command import Reply, kneegrade, read_rows
from made_films import draw_knee, write_picture
from made_landmarks import PEOPLE, landmark_recipe_text, write_made_landmarks

from kneegrade.bundles.manifest import read_bundle
from kneegrade.bundles.subjects import hash_subject
from kneegrade.cohorts.tables.table import read_knee_table
from kneegrade.training.grader.lightning_module import GradingModule
from kneegrade.training.locator.recipe import Stage
from kneegrade.training.recipe_fields import RECIPES_FOLDER
from kneegrade.types import Side

pytestmark = pytest.mark.slow

KNEES_PER_GRADE = {"train": 6, "val": 4}
SMALL = {
    "name": '"tiny"',
    "size_px": "64",
    "backbone": '"test_efficientnet"',
    "start": '"random"',
    "dropout": "0.0",
    "epochs": "4",
    "batch_size": "4",
    "learning_rate": "5e-2",
    "ema_decay": "0.5",
    "precision": '"32-true"',
}


@dataclass(frozen=True)
class Study:
    """Where each verb of the walk writes."""

    folder: Path

    def __getattr__(self, name: str) -> Path:
        return self.folder / name

    @property
    def recipe(self) -> Path:
        return self.folder / "tiny.toml"

    @property
    def table(self) -> Path:
        return self.folder / "tables" / "knees.parquet"

    def prepare(self) -> Reply:
        return kneegrade(
            "prepare", self.table, "--out", self.rois, "--size", "64", "--workers", "1"
        )

    def train(self) -> Reply:
        return kneegrade(
            "train", self.recipe, "--rois", self.rois, "--out", self.run, "--workers", "0"
        )

    def grade(self, split: str) -> Reply:
        return kneegrade(
            *("grade", "--knees", self.table, "--split", split),
            *("--bundle", self.bundle, "--out", self.folder / f"graded-{split}"),
        )

    def evaluate(self, split: str) -> Reply:
        predictions = self.folder / f"graded-{split}" / "predictions.parquet"
        return kneegrade(
            *("evaluate", predictions, self.table, "--bundle", self.bundle),
            *("--out", self.folder / f"report-{split}"),
        )


def draw_study(folder: Path) -> None:
    """Both knees of subjects that stand in one split each, as the open set is published."""
    subject = 9000000
    for split, n_knees in KNEES_PER_GRADE.items():
        for kl in range(5):
            for number in range(n_knees):
                subject += number % 2 == 0
                side = Side.RIGHT if number % 2 else Side.LEFT
                knee = draw_knee(side, kl=kl, seed=subject)
                letter = side.value[0].upper()
                write_picture(folder / split / str(kl) / f"{subject}{letter}.png", knee)


def write_small_recipe(path: Path) -> None:
    text = (RECIPES_FOLDER / "kl-lite0.toml").read_text(encoding="utf-8")
    for name, value in SMALL.items():
        text, n_found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        assert n_found == 1
    path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that was read, prepared, trained on and exported."""
    study = Study(tmp_path_factory.mktemp("study"))
    draw_study(study.published)
    write_small_recipe(study.recipe)
    replies = [
        kneegrade(
            *("cohort", "kaggle", study.published),
            *("--out", study.table, "--contrast", "plain"),
        ),
        study.prepare(),
        study.train(),
        kneegrade("export", study.run, "--rois", study.rois, "--out", study.bundle),
        study.grade("val"),
    ]
    assert [(reply.code, reply.err) for reply in replies[:-1]] == [(0, "")] * 4
    assert replies[-1].code == 0, replies[-1].err
    return study


def printed_figures(text: str) -> dict[str, str]:
    """Measure -> value and interval, as ``evaluate`` prints them."""
    lines = [
        re.split(r" {1,}(?=-?\d+\.\d{3})", line.strip(), maxsplit=1) for line in text.splitlines()
    ]
    return {parts[0].removeprefix("kl "): parts[1] for parts in lines if len(parts) == 2}


def figures_of_card(bundle: Path) -> dict[str, str]:
    """The same of the model card's table, without the decodings that are not reported."""
    text = (bundle / "MODEL_CARD.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| kl \| (?:reported|probabilities) \| (.+) \| (.+) \|$", text)
    return dict(rows)


@pytest.fixture(scope="module")
def locator(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study's grading run, exported with a locator of its own that was trained for a blink."""
    own = Study(tmp_path_factory.mktemp("locator"))
    table = write_made_landmarks(own.films)
    for stage in Stage:
        recipe = own.folder / f"{stage.value}.toml"
        recipe.write_text(landmark_recipe_text(stage, epochs="1"), encoding="utf-8")
        options = ("--landmarks", table, "--out", own.folder / stage.value, "--workers", "0")
        reply = kneegrade("train", recipe, *options)
        assert reply.code == 0, reply.err
        assert "heldout.csv" in reply.out
    reply = kneegrade(
        *("export", study.run, "--rois", study.rois, "--out", own.bundle),
        *("--locator-film", own.film, "--locator-knee", own.knee),
    )
    assert reply.code == 0, reply.err
    return own


def test_a_bundle_has_the_locator_that_was_trained(study: Study, locator: Study) -> None:
    bundle = read_bundle(locator.bundle)
    assert (bundle.locator.film_size_px, bundle.locator.knee_size_px) == (64, 64)
    assert bundle.locator.facts["largest_logit_difference"] < 1e-3
    people = {hash_subject("own", subject) for subject in PEOPLE}
    graded = json.loads((study.run / "subjects.json").read_text(encoding="utf-8"))
    known = {*people, *graded["trained"], *graded["selected"]}
    assert bundle.subjects.trained | bundle.subjects.selected == known
    without = read_bundle(study.bundle)
    embedded = read_bundle("default").locator
    assert without.locator.film.read_bytes() == embedded.film.read_bytes()
    assert without.locator.facts == embedded.facts
    reply = kneegrade("info", "--bundle", locator.bundle, "--json")
    assert reply.code == 0


def test_a_locator_trained_for_a_blink_loses_nothing_in_silence(
    locator: Study, tmp_path: Path
) -> None:
    picture = write_picture(tmp_path / "a.png", draw_knee())
    kneegrade("grade", picture, "--bundle", locator.bundle, "--out", tmp_path / "out")
    (row,) = read_rows(tmp_path / "out")
    assert row["status"] != "ok" or row["kl"] in set("01234")
    assert (row["status"] == "ok") == (row["error_code"] == "")


@pytest.mark.parametrize(
    "options",
    [
        ("--rois", "{study}/rois", "--landmarks", "{own}/films/landmarks.csv"),
        ("--rois", "{study}/rois"),
        (),
        ("--start", "{own}/knee"),
    ],
)
def test_a_landmark_recipe_takes_landmark_tables_alone(
    study: Study, locator: Study, options: tuple[str, ...]
) -> None:
    given = [option.format(study=study.folder, own=locator.folder) for option in options]
    reply = kneegrade("train", locator.folder / "knee.toml", "--out", locator.none, *given)
    assert (reply.code, reply.err.count("\n")) == (2, 1)
    assert reply.err.endswith("[input.conflict]\n")
    assert not locator.none.exists()


def test_a_locator_needs_both_runs_and_each_of_its_stage(study: Study, locator: Study) -> None:
    export = ("export", study.run, "--rois", study.rois, "--out", locator.none)
    reply = kneegrade(*export, "--locator-film", locator.film)
    assert (reply.code, reply.err.endswith("[input.conflict]\n")) == (2, True)
    assert not locator.none.exists()


def test_the_table_holds_every_knee(study: Study) -> None:
    table = read_knee_table(study.table)
    assert table["split"].value_counts().to_dict() == {"train": 30, "val": 20}
    assert set(table["contrast"]) == {"plain"}, "as --contrast said"


def test_the_bundle_says_what_it_was_made_with(study: Study) -> None:
    manifest = json.loads((study.bundle / "bundle.json").read_text(encoding="utf-8"))
    assert manifest["input"]["size_px"] == 64
    assert manifest["parity"]["largest_probability_difference"] < 1e-4
    subjects = json.loads((study.bundle / "subjects.json").read_text(encoding="utf-8"))
    trained, selected = set(subjects["trained"]), set(subjects["selected"])
    locator = manifest["locator"]["facts"]["subjects"]
    assert len(trained - set(locator["trained"])) == 15
    assert len(selected - set(locator["selected"])) == 10
    reply = kneegrade("info", "--bundle", study.bundle, "--json")
    assert json.loads(reply.out)["bundle"]["agreement"] == manifest["agreement"]


def test_grades_of_val_are_the_ones_that_training_held_out(study: Study) -> None:
    from kneegrade.grading.predictions import read_predictions

    graded = read_predictions(study.folder / "graded-val" / "predictions.parquet")
    held_out = read_predictions(study.run / "heldout.parquet")
    key = ["subject_id", "side"]
    both = graded.merge(held_out, on=key, suffixes=("", "_held_out"), validate="one_to_one")
    assert len(both) == len(graded) == len(held_out) == 20
    for name in [f"kl_p{grade}" for grade in range(5)]:
        np.testing.assert_allclose(both[name], both[f"{name}_held_out"], atol=1e-4)
    assert (both["kl"] == both["kl_held_out"]).all()


def test_evaluate_prints_the_figures_of_the_model_card(study: Study) -> None:
    reply = study.evaluate("val")
    assert reply.code == 0
    assert "used to select or calibrate" in reply.out
    printed = printed_figures(reply.out)
    assert {"quadratic kappa", "balanced accuracy", "accuracy", "MAE"} <= printed.keys()
    assert "(" in printed["quadratic kappa"], "an interval"
    assert printed == figures_of_card(study.bundle)
    manifest = json.loads((study.bundle / "bundle.json").read_text(encoding="utf-8"))
    report = json.loads((study.folder / "report-val" / "metrics.json").read_text(encoding="utf-8"))
    found = report["groups"]["selected"]["tasks"]["kl"]["reported"]
    expected = manifest["agreement"]["task"]["kl"]["reported"]
    for metric, figure in expected.items():
        assert found[metric] == pytest.approx(figure, abs=1e-4), metric


def test_evaluate_reports_no_agreement_on_what_was_trained_on(study: Study) -> None:
    assert study.grade("train").code == 0
    reply = study.evaluate("train")
    assert reply.code == 0
    assert "trained on: no agreement is reported (30 knees, 15 subjects)" in reply.out
    assert printed_figures(reply.out) == {}


def test_no_verb_does_its_work_again(study: Study) -> None:
    folders = [study.rois, study.run, study.folder / "graded-val"]

    def state() -> dict[str, int]:
        written = {"index.parquet", "report.html"}
        return {
            str(path): path.stat().st_mtime_ns
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file() and path.name not in written and "predictions" not in path.name
        }

    before, rows = state(), read_rows(study.folder / "graded-val")
    assert len(before) > 70
    assert [study.prepare().code, study.train().code, study.grade("val").code] == [0, 0, 0]
    assert state() == before
    assert read_rows(study.folder / "graded-val") == rows


def test_another_recipe_or_size_is_refused(study: Study, tmp_path: Path) -> None:
    reply = kneegrade("prepare", study.table, "--out", study.rois, "--size", "96")
    assert (reply.code, reply.err.count("\n")) == (3, 1)
    assert "[store.other-settings]" in reply.err
    other = tmp_path / "tiny.toml"
    other.write_text(study.recipe.read_text().replace("epochs = 4", "epochs = 5"))
    reply = kneegrade("train", other, "--rois", study.rois, "--out", study.run)
    assert (reply.code, reply.err.count("\n")) == (3, 1)
    assert "[run.other-recipe]" in reply.err
    assert not (study.run / "last.ckpt").exists()


def test_a_picture_that_went_missing_is_told_and_costs_nothing_else(
    study: Study, tmp_path: Path
) -> None:
    copy = Study(tmp_path)
    shutil.copytree(study.published, copy.published)
    gone = sorted((copy.published / "val" / "2").iterdir())[0]
    assert kneegrade("cohort", "kaggle", copy.published, "--out", copy.table).code == 0
    gone.unlink()
    reply = copy.prepare()
    assert reply.code == 1
    assert "49 knees in" in reply.out
    assert "1 image.not-found" in reply.out


def test_ctrl_c_in_training_says_how_to_go_on(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Study(tmp_path)
    begin = GradingModule.on_train_epoch_start

    def press_ctrl_c(module: GradingModule) -> None:
        begin(module)
        if module.current_epoch == 2:
            raise KeyboardInterrupt

    arguments = ("train", study.recipe, "--rois", study.rois, "--out", copy.run, "--workers", "0")
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(GradingModule, "on_train_epoch_start", press_ctrl_c)
        try:
            reply = kneegrade(*arguments)
        finally:
            signal.signal(signal.SIGINT, before)  # Lightning turns it off
    assert (reply.code, reply.out) == (130, "")
    assert reply.err == "kneegrade: interrupted; the same command continues.\n"
    assert (copy.run / "last.ckpt").is_file()
    assert kneegrade(*arguments).code == 0
    assert (copy.run / "run.json").is_file()


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--out", "file/bundle"), "output.not-writable"),
        (("--out", "bundle", "--notes", "gone.md"), "bundle.invalid"),
        (("--out", "bundle", "--data", "gone.toml"), "bundle.invalid"),
        (("--out", "bundle", "--data", "file"), "bundle.invalid"),
        (("--out", "bundle", "--data", "no.toml"), "bundle.invalid"),
    ],
)
def test_what_stops_an_export_before_it_writes(
    options: tuple[str, ...],
    code: str,
    study: Study,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("no.toml").write_text("= no")
    reply = kneegrade("export", study.run, "--rois", study.rois, *options)
    assert (reply.code, reply.out, reply.err.count("\n")) == (3, "", 1)
    assert reply.err.endswith(f"[{code}]\n")
    assert not Path("bundle").exists()
