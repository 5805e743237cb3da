"""Whatever is handed to ``kneegrade grade``: a documented code, a hint, and nothing else lost."""

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from command import kneegrade, read_rows
from made_films import FILM_MM, draw_knee, write_picture
from pydicom.uid import ExplicitVRLittleEndian
from tiny_bundle import write_tiny_bundle

from kneegrade.errors import CODES
from kneegrade.phantoms.films.dicom_film import write_dicom_film

HUGE = 30_000
MEMORY_BOUND_MIB = 600
MEASURED = """
import sys
from pathlib import Path
from kneegrade.apps.cli.main import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    sys.stderr.write(peak + "\\n")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that is graded."""
    return write_picture(tmp_path_factory.mktemp("good") / "good.png", draw_knee())


def change_dicom(path: Path, change: Callable[[pydicom.Dataset], None]) -> None:
    """Write a drawn film as plain DICOM, then break it."""
    knee = draw_knee(size_mm=FILM_MM)
    write_dicom_film(path, knee, transfer_syntax=ExplicitVRLittleEndian)
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)


def drop_pixels(dataset: pydicom.Dataset) -> None:
    del dataset.PixelData


def double_frames(dataset: pydicom.Dataset) -> None:
    dataset.NumberOfFrames = 2
    dataset.PixelData *= 2


def promise_much(dataset: pydicom.Dataset) -> None:
    dataset.Rows = dataset.Columns = HUGE
    dataset.PixelData = bytes(8)


def halve_pixels(dataset: pydicom.Dataset) -> None:
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]


def hide_name(dataset: pydicom.Dataset) -> None:
    dataset.PatientName, dataset.PatientID = "DOE^JANE", "MRN0042"
    dataset.PixelData = b""


def huge_png(path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", HUGE, HUGE, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


def huge_jpeg(path: Path) -> None:
    data = write_picture(path, draw_knee()).read_bytes()
    frame = data.index(b"\xff\xc0") + 5
    path.write_bytes(data[:frame] + struct.pack(">HH", HUGE, HUGE) + data[frame + 4 :])


def huge_tiff(path: Path) -> None:
    data = bytearray(write_picture(path, draw_knee()).read_bytes())
    at = struct.unpack_from("<I", data, 4)[0]
    for entry in range(struct.unpack_from("<H", data, at)[0]):
        place = at + 2 + 12 * entry
        if struct.unpack_from("<H", data, place)[0] in {256, 257}:
            struct.pack_into("<HII", data, place + 2, 4, 1, HUGE)
    path.write_bytes(data)


def photograph(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    cv2.imwrite(str(path), noise)


def cut_in_half(path: Path) -> None:
    data = write_picture(path, draw_knee()).read_bytes()
    path.write_bytes(data[: len(data) // 2])


def one_grey(path: Path) -> None:
    cv2.imwrite(str(path), np.full((200, 200), 90, np.uint8))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty.dcm": (Path.touch, "image.empty"),
    "empty.png": (Path.touch, "image.empty"),
    "text.dcm": (lambda path: path.write_text("This is no film.\n" * 99), "image.unreadable"),
    "text.png": (lambda path: path.write_text("This is no film.\n" * 99), "image.unreadable"),
    "no-pixels.dcm": (lambda path: change_dicom(path, drop_pixels), "image.no-pixels"),
    "multi-frame.dcm": (lambda path: change_dicom(path, double_frames), "image.multi-frame"),
    "cut.dcm": (lambda path: change_dicom(path, halve_pixels), "image.truncated"),
    "huge.dcm": (lambda path: change_dicom(path, promise_much), "image.too-large"),
    "huge.png": (huge_png, "image.too-large"),
    "huge.jpg": (huge_jpeg, "image.too-large"),
    "huge.tif": (huge_tiff, "image.too-large"),
    "photograph.jpg": (photograph, "image.colour"),
    "one-pixel.png": (
        lambda path: cv2.imwrite(str(path), np.zeros((1, 1), np.uint8)),
        "image.too-small",
    ),
    "blank.png": (one_grey, "image.blank"),
    "cut.jpg": (cut_in_half, "image.truncated"),
    "cut.png": (cut_in_half, "image.truncated"),
    "cut.tif": (cut_in_half, "image.unreadable"),
    "not-there.dcm": (lambda path: None, "image.not-found"),
}
FILES = list(BAD)


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_beside_a_good_one(name: str, bundle: Path, good: Path, tmp_path: Path) -> None:
    make, code = BAD[name]
    make(tmp_path / name)
    out = tmp_path / "out"
    reply = kneegrade("grade", tmp_path / name, good, "--bundle", bundle, "--out", out)
    assert reply.code == 1
    rows = {Path(row["source"]).name: row for row in read_rows(out)}
    assert rows.keys() == {name, "good.png"}
    assert rows["good.png"]["status"] == "ok"
    assert rows["good.png"]["kl"] in set("01234")
    bad = rows[name]
    assert (bad["status"], bad["error_code"]) == ("failed", code)
    assert code in CODES
    assert "\n" not in bad["error"]
    assert bad["error"].count(". ") >= 1, "what is wrong, then a hint"
    assert bad["kl"] == bad["kl_p0"] == ""
    assert f"{code}: " in reply.out
    assert reply.err.count("\n") == 1, "nothing but where it was written to"
    page = (out / "report.html").read_text(encoding="utf-8")
    assert code in page
    alone = kneegrade("grade", tmp_path / name, "--bundle", bundle, "--out", tmp_path / "alone")
    assert alone.code == 3


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads its memory from /proc")
def test_all_of_them_in_one_batch_and_bounded_memory(
    bundle: Path, good: Path, tmp_path: Path
) -> None:
    """A real process: what a user sees on stderr, and how much memory it took."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in FILES:
        BAD[name][0](folder / name)
    (folder / "good.png").write_bytes(good.read_bytes())
    command = [sys.executable, "-c", MEASURED, "grade", folder, folder / "not-there.dcm"]
    done = subprocess.run(
        [*map(str, command), "--bundle", str(bundle), "--out", str(tmp_path / "out"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1
    predictions = json.loads(done.stdout)["predictions"]
    codes = {Path(row["source"]).name: row.get("error_code") for row in predictions}
    assert codes == {name: BAD[name][1] for name in FILES} | {"good.png": None}
    written, peak = done.stderr.splitlines()
    assert written.startswith("Written: ")
    assert int(peak.split()[1]) / 1024 < MEMORY_BOUND_MIB


def test_no_patient_in_any_output(bundle: Path, good: Path, tmp_path: Path) -> None:
    change_dicom(tmp_path / "a.dcm", hide_name)
    out = tmp_path / "out"
    reply = kneegrade(
        "--verbose", "grade", tmp_path / "a.dcm", good, "--bundle", bundle, "--out", out
    )
    assert reply.code == 1
    texts = [reply.out, reply.err]
    texts += [
        path.read_text(encoding="utf-8")
        for path in out.iterdir()
        if path.suffix != ".parquet" and path.is_file()
    ]
    assert len(texts) == 6
    assert not [text for text in texts if "JANE" in text or "MRN0042" in text]


def test_a_header_value_never_reaches_the_log(bundle: Path, tmp_path: Path) -> None:
    """pydicom logs values that break the standard; a number may hold a name by mistake."""

    def misplace(dataset: pydicom.Dataset) -> None:
        dataset["InstanceNumber"]._value = "JANE DOE"
        dataset["SeriesNumber"]._value = "MRN 42"
        dataset.PixelData += bytes(64)

    change_dicom(tmp_path / "a.dcm", misplace)
    assert b"JANE DOE" in (tmp_path / "a.dcm").read_bytes()
    done = run_command("grade", tmp_path / "a.dcm", "--bundle", bundle, "--out", tmp_path / "out")
    assert done.returncode == 0
    assert done.stderr.splitlines()[0].startswith("Written: ")
    assert len(done.stderr.splitlines()) == 1


def run_command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).parent / "kneegrade"
    return subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, text=True, check=False
    )


# what stops everything: one line on stderr


def test_a_folder_with_nothing_in_it(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    (tmp_path / "in" / "notes.txt").write_text("no film")
    done = run_command("grade", tmp_path / "in", "--bundle", bundle, "--out", tmp_path / "out")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith("[input.nothing]\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["file/out", "file", "/proc/kneegrade"])
def test_an_output_folder_that_cannot_be_written(
    place: str, bundle: Path, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    reply = kneegrade("grade", good, "--bundle", bundle, "--out", tmp_path / place)
    assert (reply.code, reply.out) == (3, "")
    assert reply.err.count("\n") == 1
    assert "--out" in reply.err
    assert reply.err.endswith("[output.not-writable]\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(bundle: Path, good: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    reply = kneegrade("grade", good, "--bundle", bundle, "--out", tmp_path / "locked")
    assert (reply.code, reply.err.count("\n")) == (3, 1)
    assert "[output.not-writable]" in reply.err


def test_a_bundle_that_was_changed(good: Path, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    with (bundle / "member-0.onnx").open("ab") as file:
        file.write(b"more")
    reply = kneegrade("grade", good, "--bundle", bundle, "--out", tmp_path / "out")
    assert (reply.code, reply.out) == (3, "")
    assert reply.err.count("\n") == 1
    assert reply.err.endswith("[bundle.hash-mismatch]\n")
    assert not (tmp_path / "out").exists()


def test_a_bundle_that_is_not_there(good: Path, tmp_path: Path) -> None:
    reply = kneegrade("grade", good, "--bundle", tmp_path, "--out", tmp_path / "out")
    assert (reply.code, reply.err.count("\n")) == (3, 1)
    assert reply.err.endswith("[bundle.not-found]\n")


@pytest.mark.parametrize(
    ("text", "code"),
    [(None, "table.not-found"), ("image_path,kl\na.png,2\n", "table.column-missing")],
)
def test_a_table_that_cannot_be_used(
    text: str | None, code: str, bundle: Path, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "knees.csv").write_text(text)
    done = run_command(
        "grade", "--knees", tmp_path / "knees.csv", "--bundle", bundle, "--out", tmp_path / "out"
    )
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(f"[{code}]\n")
    assert not (tmp_path / "out").exists()


# pictures of something else


@pytest.mark.real_data
def test_a_chest_is_not_graded(real_data: Path, bundle: Path, tmp_path: Path) -> None:
    chests = sorted((real_data / "not-knees").glob("chest*.jpg"))[:8]
    assert len(chests) == 8
    reply = kneegrade(
        "grade", *chests, "--side", "right", "--bundle", bundle, "--out", tmp_path / "out"
    )
    rows = read_rows(tmp_path / "out")
    assert len(rows) == len(chests)
    for row in rows:
        assert row["status"] in {"refused", "failed"}, row["source"]
        assert row["error_code"].startswith("knee.")
        assert row["kl"] == row["kl_p0"] == ""
    assert reply.code in {0, 1, 3}
