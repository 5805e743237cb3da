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
from kneegrade.images.read import read_file, read_radiograph
from kneegrade.types import Contrast, Flag, RadiographFile, SpacingSource

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


def test_what_is_known_about_a_file_goes_before_what_it_says(tmp_path: Path, png: bytes) -> None:
    path = tmp_path / "film.png"
    path.write_bytes(png)
    known = RadiographFile(str(path), (0.3, 0.2), SpacingSource.TABLE, Contrast.ENHANCED)
    radiograph = read_file(known)
    assert (radiograph.spacing_mm, radiograph.spacing_source) == ((0.3, 0.2), SpacingSource.TABLE)
    assert radiograph.contrast is Contrast.ENHANCED
    plain = read_file(RadiographFile(str(path)))
    assert (plain.spacing_mm, plain.spacing_source) == (None, SpacingSource.UNKNOWN)
    np.testing.assert_array_equal(plain.pixels, RAMP)


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
