import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from kneegrade.errors import ImageError
from kneegrade.images import read as read_module
from kneegrade.images.read import find_images, read_radiograph
from kneegrade.types import Contrast, Flag, SpacingSource

SAMPLES = Path(pydicom.__file__).parent / "data/test_files"
RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


@pytest.fixture
def png() -> bytes:
    file = BytesIO()
    Image.fromarray(RAMP).save(file, "PNG")
    return file.getvalue()


def code_of(source: str | Path) -> str:
    with pytest.raises(ImageError) as caught:
        read_radiograph(source)
    assert str(source) not in str(caught.value)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("name", ["film.png", "film.dcm", "001", "film.jpg"])
def test_content_decides_not_the_name(tmp_path: Path, png: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(png)
    radiograph = read_radiograph(tmp_path / name, contrast=Contrast.ENHANCED)
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    assert radiograph.contrast is Contrast.ENHANCED


def test_dicom_under_another_name(tmp_path: Path) -> None:
    (tmp_path / "film.png").write_bytes((SAMPLES / "MR_small.dcm").read_bytes())
    assert read_radiograph(str(tmp_path / "film.png")).polarity_stated


@pytest.mark.parametrize("name", ["MR_small.dcm", "film.png"])
def test_spacing_of_the_caller(tmp_path: Path, png: bytes, name: str) -> None:
    (tmp_path / "film.png").write_bytes(png)
    folder = SAMPLES if name == "MR_small.dcm" else tmp_path
    radiograph = read_radiograph(folder / name, spacing_mm=0.2)
    assert radiograph.spacing_mm == (0.2, 0.2)
    assert radiograph.spacing_source is SpacingSource.CALLER
    assert Flag.SPACING_UNKNOWN not in radiograph.flags
    assert read_radiograph(folder / name, spacing_mm=(0.1, 0.3)).spacing_mm == (0.1, 0.3)


@pytest.mark.parametrize("spacing", [0, -0.1, float("nan"), float("inf"), (0.1, 0.0)])
def test_invalid_spacing(spacing: float | tuple[float, float]) -> None:
    with pytest.raises(ImageError) as caught:
        read_radiograph(SAMPLES / "MR_small.dcm", spacing_mm=spacing)
    assert caught.value.code == "image.spacing-invalid"


def test_bad_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "text.dcm").write_text("This is no picture. " * 20)
    os.mkfifo(tmp_path / "pipe")
    assert code_of(tmp_path / "absent.dcm") == "image.not-found"
    assert code_of(tmp_path) == "image.unreadable"
    assert code_of(tmp_path / "empty.dcm") == "image.empty"
    assert code_of(tmp_path / "text.dcm") == "image.unreadable"
    assert code_of(tmp_path / "pipe") == "image.unreadable"
    assert code_of("nul\0byte.png") in {"image.unreadable", "image.not-found"}
    monkeypatch.setattr(read_module, "MAX_FILE_BYTES", 100)
    assert code_of(tmp_path / "text.dcm") == "image.too-large"


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_member_of_an_archive(tmp_path: Path, png: bytes, method: int) -> None:
    archive = tmp_path / "films.ZIP"
    with zipfile.ZipFile(archive, "w", method) as opened:
        opened.writestr("deep/film.png", png)
    radiograph = read_radiograph(f"{archive}::deep/film.png")
    np.testing.assert_array_equal(radiograph.pixels, RAMP)
    np.testing.assert_array_equal(read_radiograph(Path(f"{archive}::deep/film.png")).pixels, RAMP)
    assert code_of(f"{archive}::deep/other.png") == "image.not-found"
    assert code_of(f"{tmp_path / 'absent.zip'}::film.png") == "image.not-found"


def test_bad_archives(tmp_path: Path, png: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "films.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("film.png", png)
        opened.writestr("empty.png", b"")
    assert code_of(f"{archive}::empty.png") == "image.empty"
    damaged = bytearray(archive.read_bytes())
    damaged[len(png) // 2] ^= 255
    (tmp_path / "damaged.zip").write_bytes(damaged)
    assert code_of(f"{tmp_path / 'damaged.zip'}::film.png") == "image.unreadable"
    (tmp_path / "text.zip").write_text("no archive")
    assert code_of(f"{tmp_path / 'text.zip'}::film.png") == "image.unreadable"
    monkeypatch.setattr(read_module, "MAX_FILE_BYTES", 100)
    assert code_of(f"{archive}::film.png") == "image.too-large"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.PNG",
        "a.dcm",
        "deep/c.tiff",
        "deep/001",
        "notes.txt",
        ".hidden.png",
        ".cache/d.png",
        "DICOMDIR",
        "IM0002",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dicom = (SAMPLES / "MR_small.dcm").read_bytes()
    for name in ("IM0001", "1.2.840.7", "DICOMDIR"):
        (tmp_path / name).write_bytes(dicom)
    return tmp_path


def test_folder_is_walked(folder: Path) -> None:
    found = [str(path.relative_to(folder)) for path in find_images([folder])]
    assert found == ["1.2.840.7", "IM0001", "a.dcm", "b.PNG", "deep/001", "deep/c.tiff"]


def test_files_stay_and_come_once(folder: Path) -> None:
    given = [folder / "notes.txt", str(folder / "absent.png"), folder / "b.PNG", folder / "b.PNG"]
    assert find_images(given) == sorted({Path(path) for path in given})
    assert find_images([folder, folder / "a.dcm"]) == find_images([folder])


def test_members_of_archives_stay() -> None:
    assert find_images(["films.zip::deep/film.png"]) == [Path("films.zip::deep/film.png")]


def test_globs(folder: Path) -> None:
    assert find_images([str(folder / "*.dcm")]) == [folder / "a.dcm"]
    assert find_images([str(folder / "**/*.tiff")]) == [folder / "deep/c.tiff"]
    assert find_images([str(folder / "de*")]) == [folder / "deep/001", folder / "deep/c.tiff"]
    (folder / "x[1].png").touch()
    assert find_images([folder / "x[1].png"]) == [folder / "x[1].png"]
    unmatched = folder / "*.webp"
    assert unmatched in find_images([unmatched, folder])


@pytest.mark.parametrize("paths", [[], ["."], ["*.nothing"]])
def test_nothing_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paths: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError) as caught:
        find_images(paths)
    assert caught.value.code == "input.nothing"
