"""A bar where a person looks on."""

import pytest

from kneegrade.apps.cli.progress import show_progress


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_bar_on_a_terminal_only(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if is_terminal else "0")
    with show_progress("Grading") as on_progress:
        for done in range(1, 4):
            on_progress(done, 3)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert ("Grading" in printed.err) == is_terminal
    assert ("3/3" in printed.err) == is_terminal
