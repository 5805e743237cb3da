"""The verb ``info``."""

import json
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from command import kneegrade
from tiny_bundle import write_tiny_bundle

from kneegrade import __version__
from kneegrade.types import Task


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_tiny_bundle(
        tmp_path / "bundle",
        tasks=(Task.KL, Task.JSN_M),
        n_members=2,
        training={"network": "tiny"},
        agreement={"about": "nothing"},
    )


def test_it_tells_versions_and_the_bundle(bundle: Path) -> None:
    reply = kneegrade("info", "--bundle", bundle)
    assert (reply.code, reply.err) == (0, "")
    assert f"kneegrade {__version__}" in reply.out
    assert f"numpy {version('numpy')}" in reply.out
    assert "extra [study] installed: Parquet files" in reply.out
    assert "kl: Kellgren-Lawrence, reported as expected" in reply.out
    assert "jsn_m: joint space narrowing, medial" in reply.out
    assert str(bundle) in reply.out
    assert "Research use only. Not a medical device." in reply.out


def test_json(bundle: Path) -> None:
    facts = json.loads(kneegrade("info", "--bundle", bundle, "--json").out)
    assert facts["kneegrade"] == __version__
    assert facts["libraries"]["numpy"] == version("numpy")
    found = facts["bundle"]
    assert found["bundle_id"].startswith("tiny-0.1-")
    assert found["tasks"] == {"kl": "expected", "jsn_m": "expected"}
    assert (found["members"], found["licence"]) == (2, "Apache-2.0")
    assert (found["training"], found["agreement"]) == ({"network": "tiny"}, {"about": "nothing"})


def test_a_library_that_is_not_there(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version_without_torch(name: str) -> str:
        if name == "torch":
            raise PackageNotFoundError
        return "1.0"

    monkeypatch.setattr("kneegrade.apps.cli.verbs.info.version", version_without_torch)
    assert "torch not installed" in kneegrade("info", "--bundle", bundle).out
    facts = json.loads(kneegrade("info", "--bundle", bundle, "--json").out)
    assert (facts["libraries"]["torch"], facts["libraries"]["numpy"]) == (None, "1.0")


def test_it_loads_nothing_heavy(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "cv2", "onnxruntime", "pandas", "pydicom"):
        monkeypatch.setitem(sys.modules, name, None)
    assert kneegrade("info", "--bundle", bundle).code == 0


def test_no_such_bundle(tmp_path: Path) -> None:
    reply = kneegrade("info", "--bundle", tmp_path)
    assert (reply.code, reply.out, reply.err.count("\n")) == (3, "", 1)
    assert reply.err.endswith("[bundle.not-found]\n")
