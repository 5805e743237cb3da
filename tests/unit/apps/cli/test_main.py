"""The command itself: verbs, exit codes, what goes to stderr."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import kneegrade
from made_films import draw_knee, write_picture
from tiny_bundle import write_tiny_bundle

from kneegrade import __version__
from kneegrade.errors import CODES, KneegradeError

VERBS = ("grade", "phantom", "cohort", "prepare", "train", "export", "evaluate", "info")
HEAVY = ("torch", "pandas", "cv2", "onnxruntime", "sklearn", "matplotlib", "pydicom", "jinja2")
PROGRAM = Path(sys.executable).parent / "kneegrade"


def test_help_names_every_verb() -> None:
    reply = kneegrade("--help")
    assert (reply.code, reply.err) == (0, "")
    assert all(verb in reply.out for verb in VERBS)
    assert "Research use only" in reply.out


@pytest.mark.parametrize("verb", [*VERBS, "cohort oai", "cohort kaggle", "phantom film"])
def test_every_verb_has_help(verb: str) -> None:
    reply = kneegrade(*verb.split(), "--help")
    assert (reply.code, reply.err) == (0, "")
    assert "Usage: kneegrade" in reply.out
    assert "<Any>" not in reply.out


def test_the_version() -> None:
    assert kneegrade("--version").out == f"kneegrade {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("grade", "--help"),
        ("train", "--help"),
        ("evaluate", "--help"),
        ("--version",),
    ],
)
def test_help_loads_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys\n"
        "from kneegrade.apps.cli.main import main\n"
        "try:\n    main()\n"
        f"finally:\n    sys.stderr.write(' '.join({{*{HEAVY}}} & {{*sys.modules}}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert (done.stderr, bool(done.stdout)) == ("", True)


@pytest.mark.parametrize("arguments", [(), ("grad",), ("--nothing",), ("prepare",), ("train", "x")])
def test_wrong_usage_is_2(arguments: tuple[str, ...]) -> None:
    reply = kneegrade(*arguments)
    assert reply.code == 2


def raise_from_info(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr("kneegrade.bundles.manifest.read_bundle", fail)


@pytest.mark.parametrize("code", sorted(CODES))
def test_every_error_is_one_line_with_code_and_hint(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_from_info(monkeypatch, KneegradeError(code, "It is wrong.", "Do it right."))
    reply = kneegrade("info")
    is_usage = code == "input.conflict" or code.startswith("phantom.")
    assert reply.code == (2 if is_usage else 3)
    assert (reply.out, reply.err) == ("", f"kneegrade: It is wrong. Do it right. [{code}]\n")


def test_our_bug_is_70_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    raise_from_info(monkeypatch, ZeroDivisionError("by us"))
    reply = kneegrade("info")
    assert (reply.code, reply.out) == (70, "")
    assert "This is a bug in kneegrade" in caplog.text
    assert "ZeroDivisionError: by us" in caplog.text


def test_an_interrupt_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    raise_from_info(monkeypatch, KeyboardInterrupt())
    reply = kneegrade("info")
    assert (reply.code, reply.out) == (130, "")
    assert reply.err == "kneegrade: interrupted; the same command continues.\n"


def listen_to_ctrl_c() -> None:
    """Undo what a shell does to jobs in the background, which ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
def test_ctrl_c_in_the_middle_of_a_batch_loses_nothing(tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    first = write_picture(folder / "000.png", draw_knee()).read_bytes()
    for number in range(1, 400):
        (folder / f"{number:03}.png").write_bytes(first)
    bundle = write_tiny_bundle(tmp_path / "bundle")
    command = [PROGRAM, "grade", folder, "--bundle", bundle, "--out", out]
    journal = out / "journal.jsonl"
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=listen_to_ctrl_c,
    ) as running:
        deadline = time.monotonic() + 60
        while not (journal.is_file() and journal.read_bytes().count(b"\n") > 2):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.kill(running.pid, signal.SIGINT)
        printed, log = running.communicate()
    assert running.returncode == 130
    assert (printed, log) == (b"", b"kneegrade: interrupted; the same command continues.\n")
    kept = journal.read_bytes()
    assert 2 < kept.count(b"\n") < 400
    assert kneegrade("grade", folder, "--bundle", bundle, "--out", out).code == 0
    assert journal.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])
    assert journal.read_bytes().count(b"\n") == 401
