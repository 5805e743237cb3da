"""A journal survives the end of its writer at any byte."""

from pathlib import Path
from typing import Any

import pytest

from kneegrade.errors import OutputError
from kneegrade.journal import note, read_journal

HEAD = {"version": "1", "sizes": [1, 2]}
VALUES: list[Any] = [{"a": 0.1}, ["ü", None], {"text": "line\nbreak\u2028"}]


def write(path: Path, *values: Any) -> None:
    list(read_journal(path, HEAD))
    with path.open("a", encoding="utf-8") as journal:
        for value in values:
            note(journal, value)


def test_what_was_noted_is_read(tmp_path: Path) -> None:
    path = tmp_path / "j"
    assert list(read_journal(path, HEAD)) == []
    write(path, *VALUES)
    assert list(read_journal(path, HEAD)) == VALUES
    write(path, 5)
    assert list(read_journal(path, HEAD)) == [*VALUES, 5]


def test_cut_off_anywhere_it_holds_the_whole_lines_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, *VALUES)
    data = path.read_bytes()
    for n_bytes in range(len(data)):
        path.write_bytes(data[:n_bytes])
        n_whole = max(data[:n_bytes].count(b"\n") - 1, 0)
        assert list(read_journal(path, HEAD)) == VALUES[:n_whole]
        write(path, "more")
        assert list(read_journal(path, HEAD)) == [*VALUES[:n_whole], "more"]


@pytest.mark.parametrize(
    "content", [b"hello\n", b"[]\n", b'{"version": "2"}\n', b"\xff\n", b"{}\nhello\n"]
)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content + b"half a line")
    with pytest.raises(OutputError) as caught:
        list(read_journal(path, HEAD))
    assert caught.value.code == "output.other-run"
    assert path.read_bytes() == content + b"half a line"
