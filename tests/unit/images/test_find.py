import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from kneegrade.errors import ImageError
from kneegrade.images import find as find_module
from kneegrade.images.find import FoundImages, find_images
from kneegrade.images.read import read_radiograph

SAMPLES = Path(pydicom.__file__).parent / "data/test_files"
DICOM = (SAMPLES / "MR_small.dcm").read_bytes()
FILES = {
    "1.2.840.7": DICOM,
    "IM0001": DICOM,
    "IM0002": b"",
    "DICOMDIR": (SAMPLES / "dicomdirtests/DICOMDIR").read_bytes(),
    "Knee.AP": DICOM,
    "b.PNG": b"",
    "a.dcm": b"no DICOM",
    "c.IMA": DICOM,
    "no-preamble.img": DICOM[132:],
    "deep/001": b"",
    "deep/c.tiff": b"",
    "notes.txt": b"no film",
    "more.TXT": b"",
    "random.bin": b"\x08\0" + bytes(range(200)),
    ".hidden.png": DICOM,
    ".cache/d.png": DICOM,
}
PICTURES = [
    *("1.2.840.7", "IM0001", "Knee.AP", "a.dcm", "b.PNG", "c.IMA", "deep/001", "deep/c.tiff"),
    "no-preamble.img",
]


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fill(tmp_path / "in", FILES)


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, BytesIO(data))
    return path


def names_in(folder: Path, found: FoundImages) -> list[str]:
    return [source.removeprefix(f"{folder}{os.sep}") for source in found.sources]


# folders


def test_content_decides_in_a_folder(folder: Path) -> None:
    found = find_images([folder])
    assert names_in(folder, found) == PICTURES
    assert found.passed_over == {".txt": 2, ".bin": 1, "": 2}
    assert found.passed_over_line == (
        "Skipped 5 files that are not images: 2 .txt, 1 .bin, 2 without a suffix."
    )


def test_the_line_on_what_was_passed_over_is_short() -> None:
    assert FoundImages((), {}).passed_over_line == ""
    one = FoundImages((), {".txt": 1}).passed_over_line
    assert one == "Skipped 1 file that is not an image: 1 .txt."
    many = FoundImages((), {f".a{number}": 1 for number in range(9)}).passed_over_line
    assert many.endswith("1 .a5, 3 of other kinds.")


def test_no_name_of_a_person_is_taken_for_a_suffix(tmp_path: Path) -> None:
    fill(tmp_path, {"x.png": b"", "Scan of.Jane Doe 1961": b"", "y.ÄÖ": b"", "z.20040909": b""})
    assert find_images([tmp_path]).passed_over == {"": 3}


def test_links_are_walked_and_loops_end(folder: Path, tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", {"f.dcm": DICOM, "deep/g": DICOM, "n.txt": b""})
    (folder / "0-link").symlink_to(elsewhere)
    (folder / "1-link").symlink_to(elsewhere / "deep")
    (folder / "0-loop").symlink_to(folder)
    (elsewhere / "back").symlink_to(folder)
    (folder / "0-itself").symlink_to(folder / "0-itself")
    (folder / "0-film").symlink_to(folder / "deep" / "c.tiff")
    (folder / "nowhere").symlink_to(tmp_path / "nowhere")
    (folder / "nowhere.dcm").symlink_to(tmp_path / "nowhere.dcm")
    found = find_images([folder])
    linked = ["0-link/deep/g", "0-link/f.dcm", "nowhere.dcm"]
    assert names_in(folder, found) == sorted([*PICTURES, *linked])
    assert found.passed_over == {".txt": 3, ".bin": 1, "": 4}
    assert find_images([folder, elsewhere, folder]).passed_over == found.passed_over


def test_pipes_are_not_opened(tmp_path: Path) -> None:
    fill(tmp_path, {"IM0001": DICOM})
    os.mkfifo(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.zip")
    found = find_images([tmp_path])
    assert names_in(tmp_path, found) == ["IM0001", "pipe.zip"]
    assert found.passed_over == {"": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_what_cannot_be_judged_stands_for_itself(folder: Path) -> None:
    (folder / "notes.txt").chmod(0)
    (folder / "deep").chmod(0)
    try:
        names = names_in(folder, find_images([folder]))
    finally:
        (folder / "deep").chmod(0o755)
    assert names == sorted(["deep", "notes.txt", *(set(PICTURES) - {"deep/001", "deep/c.tiff"})])


def test_names_that_are_no_utf_8(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"kn\xefe.png")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    (source,) = find_images([tmp_path]).sources
    assert os.fsencode(source).endswith(b"kn\xefe.png")


# what is named


def test_files_stay_and_come_once(folder: Path) -> None:
    given = [folder / "notes.txt", str(folder / "absent.png"), folder / "b.PNG", folder / "b.PNG"]
    assert find_images(given).sources == tuple(map(str, given[:3])), "in the order given"
    assert find_images([folder, folder / "a.dcm"]) == find_images([folder])
    first = find_images([folder / "b.PNG", folder])
    assert first.sources[0] == str(folder / "b.PNG")
    assert sorted(first.sources) == sorted(find_images([folder]).sources)


def test_members_of_archives_stay() -> None:
    for name in ("films.zip::deep/film.png", "b.tar.gz::001"):
        assert find_images([name]).sources == (name,)


def test_globs(folder: Path) -> None:
    assert names_in(folder, find_images([folder / "*.dcm"])) == ["a.dcm"]
    assert names_in(folder, find_images([folder / "**/*.tiff"])) == ["deep/c.tiff"]
    assert names_in(folder, find_images([folder / "de*"])) == ["deep/001", "deep/c.tiff"]
    (folder / "x[1].png").touch()
    assert names_in(folder, find_images([folder / "x[1].png"])) == ["x[1].png"]
    unmatched = folder / "*.webp"
    assert "*.webp" in names_in(folder, find_images([unmatched, folder]))


@pytest.mark.parametrize("paths", [[], ["."], ["*.nothing"]])
def test_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError) as caught:
        find_images(paths)
    assert caught.value.code == "input.nothing"
    (tmp_path / "notes.txt").touch()
    with pytest.raises(
        ImageError, match=r"not an image: 1 \.txt\." if paths == ["."] else "Got none"
    ):
        find_images(paths)


# results of kneegrade itself

RESULTS = {
    "journal.jsonl": b"{}",
    "predictions.json": b"{}",
    "report.html": b"",
    "knees/knee-0123456789abcdef.png": b"",
    "knees/knee-0123456789abcdee.png.part": b"",
}


@pytest.mark.parametrize("out", ["", "kneegrade-output", "deep/out"])
def test_results_in_the_folder_are_left_out(
    folder: Path, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = find_images([folder])
    fill(folder / out, RESULTS)
    assert find_images([folder]) == before
    monkeypatch.chdir(folder)
    assert find_images(["."]).sources == tuple(PICTURES)
    fill(folder / out, {"knees/own.png": b""})
    assert len(find_images(["."]).sources) == len(PICTURES) + 1


def test_knees_that_are_asked_for_stay(tmp_path: Path) -> None:
    out = fill(tmp_path / "out", RESULTS)
    assert len(find_images([out / "knees"]).sources) == 1
    assert len(find_images([out / "knees/*.png"]).sources) == 1
    (out / "journal.jsonl").unlink()
    assert len(find_images([out]).sources) == 1, "nothing says that kneegrade wrote it"


# archives


@pytest.fixture(params=["films.zip", "films.TAR", "films.tar.gz", "films.tgz"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    nested = make_zip(tmp_path / "nested.zip", {"film.dcm": DICOM}).read_bytes()
    more = {"nested.zip": nested, "__MACOSX/._a.dcm": DICOM, "/top/x": DICOM, "../../up": DICOM}
    path = tmp_path / "in" / request.param
    path.parent.mkdir()
    if request.param.endswith("zip"):
        yield make_zip(path, FILES | more | RESULTS)
    else:
        yield make_tar(path, FILES | more | RESULTS, "w" if "TAR" in request.param else "w:gz")


def test_an_archive_is_walked_like_a_folder(archive: Path) -> None:
    found = find_images([archive])
    members = {source.partition("::")[2] for source in found.sources}
    assert members == {*PICTURES, "/top/x", "../../up"}
    assert found.passed_over == {".txt": 2, ".bin": 1, ".zip": 1, "": 2}
    assert find_images([archive.parent]) == found
    assert find_images([archive, f"{archive}::IM0001"]) == found
    assert find_images([archive.parent / "films*"]) == found
    expected = read_radiograph(SAMPLES / "MR_small.dcm").source_id
    for name in ("IM0001", "/top/x", "../../up"):
        assert read_radiograph(f"{archive}::{name}").source_id == expected


def test_an_archive_under_another_name_is_none(archive: Path) -> None:
    archive.rename(archive.parent / "films.docx")
    fill(archive.parent, {"film.png": b""})
    found = find_images([archive.parent])
    assert names_in(archive.parent, found) == ["film.png"]
    assert found.passed_over == {".docx": 1}


def test_a_picture_called_like_an_archive_is_one(tmp_path: Path) -> None:
    fill(tmp_path, {"film.zip": DICOM})
    assert find_images([tmp_path]).sources == (str(tmp_path / "film.zip"),)
    assert read_radiograph(tmp_path / "film.zip").pixels.size


def row_of(path: Path) -> ImageError:
    """The error of an archive that is found as one source."""
    fill(path.parent, {"film.dcm": DICOM})
    assert find_images([path.parent]).sources == tuple(sorted(map(str, path.parent.iterdir())))
    assert find_images([path]).sources == (str(path),)
    with pytest.raises(ImageError) as caught:
        read_radiograph(path)
    return caught.value


@pytest.mark.parametrize("share", [0, 0.3, 0.7])
def test_a_cut_archive_is_one_error(archive: Path, share: float) -> None:
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share) // 512 * 512 + 100 * bool(share)])
    assert row_of(archive).code == ("image.truncated" if share else "image.empty")


def test_a_damaged_archive_is_one_error(archive: Path) -> None:
    archive.write_text("<html>404 not found</html>" * 99)
    assert row_of(archive).code == "image.unreadable"


def test_a_header_damaged_in_the_middle_of_a_tar(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "films.tar", {"1.dcm": b"1", "2.dcm": b"2", "3.dcm": b"3"})
    data = bytearray(path.read_bytes())
    data[2 * 512 + 150] ^= 1  # the checksum of the second member
    path.write_bytes(data)
    assert row_of(path).code == "image.unreadable"


def test_an_encrypted_archive_is_one_error(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "films.zip", {"1.dcm": DICOM, "2.dcm": DICOM})
    data = bytearray(path.read_bytes())
    for start, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(start)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(start, at + 4)
    path.write_bytes(data)
    error = row_of(path)
    assert error.code == "image.unreadable"
    assert "password" in error.message
    with pytest.raises(ImageError, match="password"):
        read_radiograph(f"{path}::1.dcm")


def test_one_damaged_member_is_one_error(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "films.zip", {"1": DICOM, "2": DICOM})
    data = bytearray(path.read_bytes())
    data[40:60] = b"\xff" * 20
    path.write_bytes(data)
    assert find_images([path]).sources == (f"{path}::1", f"{path}::2")
    with pytest.raises(ImageError) as caught:
        read_radiograph(f"{path}::1")
    assert caught.value.code == "image.unreadable"
    assert read_radiograph(f"{path}::2").pixels.size


def test_a_member_without_a_name(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "films.zip", {"1.dcm": DICOM, "X": DICOM})
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    name_bytes, extra_bytes = entry + 28, entry + 30
    data[name_bytes], data[extra_bytes] = 0, 1
    path.write_bytes(data)
    assert f"{path}::1.dcm" in find_images([path]).sources


def test_an_archive_without_a_picture(tmp_path: Path) -> None:
    empty = make_zip(tmp_path / "empty.zip", {})
    texts = make_tar(tmp_path / "texts.tar", {"a.txt": b"a", "b.txt": b"b"})
    for paths in ([empty, texts], [tmp_path]):
        with pytest.raises(ImageError, match=r"3 files that are not images: 2 \.txt, 1 \.zip\."):
            find_images(paths)
    with pytest.raises(ImageError) as caught:
        read_radiograph(empty)
    assert "archive" in caught.value.message


def test_a_bomb_is_not_inflated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find_module, "MAX_FILE_BYTES", 1 << 20)
    zeros = bytes(20 << 20)
    packed = make_tar(tmp_path / "bomb.tar.gz", {"1.dcm": zeros}, "w:gz")
    assert find_images([packed]).sources == (str(packed),)
    zipped = make_zip(tmp_path / "bomb.zip", {"1.dcm": zeros})
    assert find_images([zipped]).sources == (f"{zipped}::1.dcm",)


def test_an_archive_behind_two_links_comes_once(archive: Path, tmp_path: Path) -> None:
    found = find_images([archive.parent])
    (archive.parent / "again.zip").symlink_to(archive)
    assert find_images([archive.parent]) == found
    shutil.copy(archive, tmp_path / f"copy-{archive.name}")
    assert len(find_images([archive.parent, tmp_path]).sources) > len(found.sources)


def test_every_member_of_a_large_tar_gz_is_read(tmp_path: Path) -> None:
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    films = {}
    for number in range(20):
        file = BytesIO()
        Image.fromarray(ramp + number).save(file, "PNG")
        films[f"{number:02}.png"] = file.getvalue()
    path = make_tar(tmp_path / "films.tar.gz", films, "w:gz")
    ids = {read_radiograph(source).source_id for source in find_images([path]).sources}
    assert len(ids) == 20
    make_tar(path, {"00.png": films["07.png"]}, "w:gz")
    os.utime(path, ns=(1, 1))
    assert read_radiograph(f"{path}::00.png").source_id in ids
    with pytest.raises(ImageError):
        read_radiograph(f"{path}::01.png")
