"""The verb ``export``: what it hands on and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import kneegrade
from tiny_bundle import write_tiny_bundle

from kneegrade.bundles.manifest import Bundle, read_bundle


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `export_bundle` was called with; it writes a bundle of two members."""
    seen: list[dict[str, Any]] = []

    def export_bundle(runs: list[Path], store: Path, folder: Path, **options: Any) -> Bundle:
        seen.append({"runs": runs, "store": store, "folder": folder} | options)
        return read_bundle(write_tiny_bundle(folder, n_members=2))

    monkeypatch.setattr("kneegrade.training.bundling.export.export_bundle", export_bundle)
    return seen


def test_runs_become_a_bundle(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    reply = kneegrade(
        *("export", tmp_path / "run-0", tmp_path / "run-1"),
        *("--rois", tmp_path / "rois", "--out", out, "--version", "7"),
        *("--data", tmp_path / "card.toml", "--notes", tmp_path / "notes.md"),
    )
    assert (reply.code, reply.err) == (0, "")
    assert reply.out == f"Bundle {read_bundle(out).bundle_id} with 2 networks: {out}\n"
    assert calls == [
        {
            "runs": [tmp_path / "run-0", tmp_path / "run-1"],
            "store": tmp_path / "rois",
            "folder": out,
            "locator": None,
            "version": "7",
            "data_card": tmp_path / "card.toml",
            "notes": tmp_path / "notes.md",
        }
    ]


@pytest.mark.usefixtures("calls")
def test_json_is_the_manifest(tmp_path: Path) -> None:
    reply = kneegrade("export", "run", "--rois", "rois", "--out", tmp_path / "bundle", "--json")
    assert json.loads(reply.out) == json.loads((tmp_path / "bundle" / "bundle.json").read_bytes())


def test_no_run_is_wrong_usage(tmp_path: Path) -> None:
    assert kneegrade("export", "--rois", "rois", "--out", tmp_path / "bundle").code == 2


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    reply = kneegrade("export", tmp_path, "--rois", tmp_path, "--out", out)
    assert (reply.code, reply.out, reply.err.count("\n")) == (3, "", 1)
    assert reply.err.endswith("[run.not-found]\n")
    assert not out.exists()
