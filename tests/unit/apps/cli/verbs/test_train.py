"""The verb ``train``: what it hands on and what it prints."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command import kneegrade

FACTS = {"recipe": "tiny", "knees": {"trained": 30, "selected": 10}}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `fit_run` was called with; it does nothing."""
    seen: list[dict[str, Any]] = []

    def fit_run(text: str, store: Path, folder: Path, **options: Any) -> SimpleNamespace:
        seen.append({"text": text, "store": store, "folder": folder} | options)
        return SimpleNamespace(facts=FACTS)

    monkeypatch.setattr("kneegrade.training.grader.run.fit_run", fit_run)
    return seen


def test_a_shipped_recipe(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    reply = kneegrade("train", "kl-lite0", "--rois", tmp_path / "rois", "--out", tmp_path / "run")
    assert (reply.code, reply.err) == (0, "")
    assert "Trained on 30 knees, held out 10" in reply.out
    assert str(tmp_path / "run" / "heldout.parquet") in reply.out
    assert 'name = "kl-lite0"' in calls[0].pop("text")
    assert calls == [
        {
            "store": tmp_path / "rois",
            "folder": tmp_path / "run",
            "fold": None,
            "n_workers": 1,
            "show_progress": False,
        }
    ]


def test_your_own_recipe_and_a_fold(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text("mine = 1\n")
    reply = kneegrade(
        *("train", recipe, "--rois", tmp_path, "--out", tmp_path / "run"),
        *("--fold", "2", "--workers", "0", "--json"),
    )
    assert json.loads(reply.out) == FACTS
    assert calls[0]["text"] == "mine = 1\n"
    assert (calls[0]["fold"], calls[0]["n_workers"]) == (2, 0)


@pytest.mark.parametrize(
    ("recipe", "code"), [("nothing", "recipe.not-found"), ("kl-lite0", "store.not-found")]
)
def test_errors_are_one_line(recipe: str, code: str, tmp_path: Path) -> None:
    reply = kneegrade("train", recipe, "--rois", tmp_path, "--out", tmp_path / "run")
    assert (reply.code, reply.out, reply.err.count("\n")) == (3, "", 1)
    assert reply.err.endswith(f"[{code}]\n")
    assert not (tmp_path / "run").exists()
