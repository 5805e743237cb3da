import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_bundle import write_manifest, write_tiny_bundle

from kneegrade.bundles.manifest import (
    Decoding,
    EnhancementSpec,
    InputSpec,
    TaskSpec,
    hash_file,
    read_bundle,
)
from kneegrade.bundles.subjects import hash_subject
from kneegrade.errors import BundleError
from kneegrade.terms import SubjectUse
from kneegrade.types import Task

FILES = [
    "member-0.onnx",
    "locator-film.onnx",
    "locator-knee.onnx",
    "subjects.json",
    "MODEL_CARD.md",
]


def read_manifest(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    return manifest


def code_of(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_bundle(folder)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_a_good_bundle_is_read_whole(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b", tasks=(Task.KL, Task.JSN_M), n_members=2)
    bundle = read_bundle(folder)
    assert (bundle.name, bundle.version, bundle.licence) == ("tiny", "0.1", "Apache-2.0")
    assert bundle.tasks == (
        TaskSpec(Task.KL, 1.0, Decoding.EXPECTED),
        TaskSpec(Task.JSN_M, 1.0, Decoding.EXPECTED),
    )
    assert bundle.input == InputSpec(32, 1.25, True, EnhancementSpec(8, 5.0, 29.0), (1.0, 99.0))
    assert bundle.members == (folder / "member-0.onnx", folder / "member-1.onnx")
    assert bundle.average == "probability"
    assert bundle.locator == replace(
        read_bundle("default").locator,
        film=folder / "locator-film.onnx",
        knee=folder / "locator-knee.onnx",
    )


def test_no_enhancement_is_none(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path)
    manifest = read_manifest(folder)
    manifest["input"]["enhancement"] = None
    write_manifest(folder, manifest)
    assert read_bundle(str(folder)).input.enhancement is None


def test_the_id_changes_with_the_manifest(tmp_path: Path) -> None:
    first = read_bundle(write_tiny_bundle(tmp_path / "a"))
    again = read_bundle(write_tiny_bundle(tmp_path / "b"))
    other = read_bundle(write_tiny_bundle(tmp_path / "c", average="logit"))
    assert first.bundle_id == again.bundle_id
    assert first.bundle_id != other.bundle_id
    assert first.bundle_id.startswith("tiny-0.1-")


def test_what_a_subject_was_used_for(tmp_path: Path) -> None:
    subjects = {"trained": [hash_subject("oai", "1")], "selected": [hash_subject("oai", "2")]}
    bundle = read_bundle(write_tiny_bundle(tmp_path, subjects=subjects))
    assert bundle.use_of_subject("oai", "1") is SubjectUse.TRAINED
    assert bundle.use_of_subject("most", "1") is SubjectUse.UNSEEN


def test_a_hash_is_plain_sha256(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    assert hash_file(tmp_path / "f") == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize("name", ["nothing-here", "defaults", ""])
def test_no_bundle_there(tmp_path: Path, name: str) -> None:
    assert code_of(tmp_path / name) == "bundle.not-found"


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_tiny_bundle(tmp_path)
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert code_of(folder) == "bundle.hash-mismatch"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_tiny_bundle(tmp_path)
    (folder / name).unlink()
    assert code_of(folder) == "bundle.hash-mismatch"


@pytest.mark.parametrize("form", ["../outside.onnx", "{absolute}", "sub/../../outside.onnx", ".."])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, form: str) -> None:
    """Even where its hash is right."""
    outside = tmp_path / "outside.onnx"
    folder = write_tiny_bundle(tmp_path / "bundle")
    (folder / "member-0.onnx").rename(outside)
    (folder / "sub").mkdir()
    name = form.format(absolute=outside)
    manifest = read_manifest(folder)
    manifest["files"][name] = manifest["files"].pop("member-0.onnx")
    manifest["members"] = [name]
    write_manifest(folder, manifest)
    assert code_of(folder) == "bundle.hash-mismatch"


@pytest.mark.parametrize("member", ["../outside.onnx", "member-9.onnx", "unlisted.onnx"])
def test_a_member_without_a_hash_is_refused(tmp_path: Path, member: str) -> None:
    folder = write_tiny_bundle(tmp_path / "bundle")
    (folder / "unlisted.onnx").write_bytes((folder / "member-0.onnx").read_bytes())
    (tmp_path / "outside.onnx").write_bytes((folder / "member-0.onnx").read_bytes())
    write_manifest(folder, read_manifest(folder) | {"members": [member]})
    assert code_of(folder) == "bundle.invalid"


@pytest.mark.parametrize("version", [0, 1, 3, "2", None])
def test_another_schema_version(tmp_path: Path, version: object) -> None:
    assert code_of(write_tiny_bundle(tmp_path, schema_version=version)) == "bundle.unsupported"


@pytest.mark.parametrize(
    "change",
    [
        {"files": ["member-0.onnx"]},
        {"files": None},
        {"members": []},
        {"members": 3},
        {"average": "median"},
        {"tasks": {}},
        {"tasks": ["kl"]},
        {"tasks": {"kneecap": {"temperature": 1.0, "decoding": "expected"}}},
        {"tasks": {"kl": {"temperature": 1.0, "decoding": "loudest"}}},
        {"tasks": {"kl": {"temperature": 0.0, "decoding": "expected"}}},
        {"tasks": {"kl": {"temperature": -1.0, "decoding": "expected"}}},
        {"tasks": {"kl": {"decoding": "expected"}}},
        {"input": None},
        {"input": {"size_px": 32}},
    ],
    ids=str,
)
def test_a_manifest_that_makes_no_sense(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write_tiny_bundle(tmp_path)
    write_manifest(folder, read_manifest(folder) | change)
    assert code_of(folder) == "bundle.invalid"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size_px", 0),
        ("size_px", "wide"),
        ("clip_percentiles", [1.0]),
        ("clip_percentiles", [99.0, 1.0]),
        ("enhancement", {"tiles": 8}),
        ("enhancement", {"tiles": 8, "clip_limit": 5.0, "local_contrast": 29.0, "colour": 1}),
    ],
    ids=str,
)
def test_an_input_that_makes_no_sense(tmp_path: Path, name: str, value: object) -> None:
    folder = write_tiny_bundle(tmp_path)
    manifest = read_manifest(folder)
    manifest["input"][name] = value
    write_manifest(folder, manifest)
    assert code_of(folder) == "bundle.invalid"


@pytest.mark.parametrize(
    "name", ["name", "version", "tasks", "input", "members", "files", "locator"]
)
def test_a_manifest_without_an_entry(tmp_path: Path, name: str) -> None:
    folder = write_tiny_bundle(tmp_path)
    manifest = read_manifest(folder)
    del manifest[name]
    write_manifest(folder, manifest)
    assert code_of(folder) == "bundle.invalid"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("film", "unlisted.onnx"),
        ("knee", "../locator-knee.onnx"),
        ("knee", None),
        ("film_size_px", 0),
        ("knee_size_px", "wide"),
        ("knee_field_of_view_plateau_widths", -1.4),
        ("clip_percentiles", [1.0]),
        ("clip_percentiles", [99.0, 1.0]),
        ("facts", 3),
    ],
    ids=str,
)
def test_a_locator_that_makes_no_sense(tmp_path: Path, name: str, value: object) -> None:
    folder = write_tiny_bundle(tmp_path)
    (folder / "unlisted.onnx").write_bytes((folder / "locator-film.onnx").read_bytes())
    manifest = read_manifest(folder)
    manifest["locator"][name] = value
    write_manifest(folder, manifest)
    assert code_of(folder) == "bundle.invalid"


@pytest.mark.parametrize(
    "name",
    [
        *("film", "knee", "film_size_px", "knee_size_px"),
        *("knee_field_of_view_plateau_widths", "clip_percentiles", "facts"),
    ],
)
def test_a_locator_without_an_entry(tmp_path: Path, name: str) -> None:
    folder = write_tiny_bundle(tmp_path)
    manifest = read_manifest(folder)
    del manifest["locator"][name]
    write_manifest(folder, manifest)
    assert code_of(folder) == "bundle.invalid"


@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b"3", b"\xff\xfe", b"null"])
def test_a_manifest_that_is_no_manifest(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "bundle.json").write_bytes(text)
    assert code_of(tmp_path) == "bundle.invalid"
