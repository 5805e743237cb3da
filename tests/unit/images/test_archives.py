import gzip
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from kneegrade.errors import ImageError
from kneegrade.images import read as read_module
from kneegrade.images.archives import read_member, split_member
from kneegrade.images.read import read_radiograph

FILM = (Path(pydicom.__file__).parent / "data/test_files/MR_small.dcm").read_bytes()
LIMIT = 1 << 30


def make_tar(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    file = BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as opened:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, BytesIO(data))
    return file.getvalue()


def code_of(source: str) -> str:
    with pytest.raises(ImageError) as caught:
        read_radiograph(source)
    assert source not in str(caught.value)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("name", ["00123456.tar.gz", "film.TGZ", "films.tar", "film.tar.gz"])
@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("member", ["001", "./001", "20040909/00123456/001"])
def test_film_in_a_tar(tmp_path: Path, name: str, mode: str, member: str) -> None:
    (tmp_path / name).write_bytes(make_tar({member: FILM}, mode))
    (tmp_path / "001").write_bytes(FILM)
    packed = read_radiograph(f"{tmp_path / name}::001")
    plain = read_radiograph(tmp_path / "001")
    np.testing.assert_array_equal(packed.pixels, plain.pixels)
    assert packed.source_id == plain.source_id
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "001"])


def test_whole_name_goes_before_the_end_of_one(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(make_tar({"left/001": b"left", "001": b"first", "right/001": b"right"}))
    assert read_member(archive, "001", max_bytes=LIMIT) == b"first"
    assert read_member(archive, "right/001", max_bytes=LIMIT) == b"right"
    archive.write_bytes(make_tar({"left/001": b"left", "right/001": b"right"}))
    assert code_of(f"{archive}::001") == "image.not-found"
    archive.write_bytes(make_tar({"left/1001": b"left"}))
    assert code_of(f"{archive}::001") == "image.not-found"
    archive.write_bytes(make_tar({"001": b"old", "002": b"", "./001": b"new"}))
    assert read_member(archive, "001", max_bytes=LIMIT) == b"new"


def test_a_name_written_on_windows(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("left/001", b"left")
        opened.writestr("right/001", b"right")
        opened.writestr("right\\001", b"its own")
    (tmp_path / "a.tar").write_bytes(make_tar({"left/001": b"left", "right/001": b"right"}))
    for name in ("a.zip", "a.tar"):
        assert read_member(tmp_path / name, "left\\001", max_bytes=LIMIT) == b"left"
    assert read_member(archive, "right\\001", max_bytes=LIMIT) == b"its own"


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_tar(tmp_path: Path, mode: str, share: float) -> None:
    noise = np.random.default_rng(1).bytes(100_000)
    data = make_tar({"001": noise}, mode)
    archive = tmp_path / "film.tar.gz"
    archive.write_bytes(data[: int(len(data) * share)])
    assert code_of(f"{archive}::001") == "image.truncated"


def test_tar_cut_within_the_name_of_a_later_member(tmp_path: Path) -> None:
    archive = tmp_path / "films.tar"
    archive.write_bytes(make_tar({"001": b"x", "002": b"y"}, "w")[: 1024 + 100])
    assert code_of(f"{archive}::002") == "image.truncated"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_zip(tmp_path: Path, share: float) -> None:
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("film.dcm", FILM)
    data = archive.read_bytes()
    archive.write_bytes(data[: int(len(data) * share)])
    assert code_of(f"{archive}::film.dcm") == "image.truncated"


def test_damaged_archives(tmp_path: Path) -> None:
    archive = tmp_path / "film.tar.gz"
    for data in (b"no archive at all " * 50, gzip.compress(b"no archive " * 500)):
        archive.write_bytes(data)
        assert code_of(f"{archive}::001") == "image.unreadable"
    noise = np.random.default_rng(1).bytes(10_000)
    flipped = bytearray(make_tar({"001": noise}))
    flipped[len(flipped) // 2] ^= 255
    archive.write_bytes(flipped)
    assert code_of(f"{archive}::001") == "image.unreadable"
    archive.write_bytes(b"")
    assert code_of(f"{archive}::001") == "image.empty"
    archive.write_bytes(make_tar({"001": b""}))
    assert code_of(f"{archive}::001") == "image.empty"
    assert code_of(f"{tmp_path / 'absent.tar.gz'}::001") == "image.not-found"
    (tmp_path / "folder.tar").mkdir()
    assert code_of(f"{tmp_path / 'folder.tar'}::001") == "image.not-found"


def test_links_and_folders_in_a_tar_are_no_films(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(FILM)
    with tarfile.open(tmp_path / "film.tar", "w") as opened:
        for name, kind in (("001", tarfile.SYMTYPE), ("2/001", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, str(tmp_path / "secret")
            opened.addfile(info)
        info = tarfile.TarInfo("3/001")
        info.type = tarfile.DIRTYPE
        opened.addfile(info)
    assert code_of(f"{tmp_path / 'film.tar'}::001") == "image.not-found"


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_module, "MAX_FILE_BYTES", 1 << 20)
    bomb = make_tar({"001": bytes(10 << 20)})
    assert len(bomb) < 1 << 20
    (tmp_path / "film.tar.gz").write_bytes(bomb)
    assert code_of(f"{tmp_path / 'film.tar.gz'}::001") == "image.too-large"
    (tmp_path / "film.tar").write_bytes(make_tar({"001": bytes(10 << 20), "002": FILM}, "w"))
    assert code_of(f"{tmp_path / 'film.tar'}::001") == "image.too-large"
    assert read_radiograph(f"{tmp_path / 'film.tar'}::002").pixels.size


def test_nested_long_names_end_in_an_error(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1
    header = info.tobuf(tarfile.GNU_FORMAT) + b"x".ljust(512, b"\0")
    (tmp_path / "film.tar").write_bytes(header * 5000)
    assert code_of(f"{tmp_path / 'film.tar'}::001") == "image.unreadable"


def test_raster_in_a_tar(tmp_path: Path) -> None:
    ramp = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    file = BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    (tmp_path / "knees.tar.gz").write_bytes(make_tar({"deep/knee.png": file.getvalue()}))
    radiograph = read_radiograph(tmp_path / "knees.tar.gz::deep/knee.png")
    np.testing.assert_array_equal(radiograph.pixels, ramp)


def test_which_names_mean_a_member() -> None:
    assert split_member("a/b.tar.gz::001") == (Path("a/b.tar.gz"), "001")
    assert split_member("b.Zip::deep/x::y.png") == (Path("b.Zip"), "deep/x::y.png")
    for name in ("a/b.tar.gz", "a.tar.gz::", "a.7z::001", "a::001", "::001"):
        assert split_member(name) is None
