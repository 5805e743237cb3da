"""Files are whole or not there; a place that cannot be written to is told."""

from pathlib import Path

import pytest

from kneegrade.errors import OutputError
from kneegrade.output import write_whole, writing_to


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_whole(path, "a\n")
    write_whole(path, b"b\n")
    assert path.read_bytes() == b"b\n"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_what_is_stopped_halfway_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    write_whole(path, "old")

    def fail(part: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with (
        pytest.raises(OutputError, match=r"table\.csv' cannot be written to") as raised,
        writing_to(path),
    ):
        write_whole(path, "new")
    assert raised.value.code == "output.not-writable"
    assert path.read_text(encoding="utf-8") == "old"


def test_what_is_no_error_of_the_disk_goes_through(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ours"), writing_to(tmp_path):
        raise ValueError("ours")
