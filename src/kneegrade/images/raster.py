"""PNG, JPEG, TIFF, WebP and BMP: grey images whose spacing only the caller may know."""

import contextlib
import hashlib
import re
import warnings
from io import BytesIO
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kneegrade.arrays import FloatImage
from kneegrade.errors import ImageError
from kneegrade.images.checks import check_not_blank, check_size, grey_from_colour
from kneegrade.images.formats import RASTER_FORMATS
from kneegrade.types import Contrast, Flag, Radiograph

SYNTHETIC_TEXT: Final = "SYNTHETIC RADIOGRAPH: drawn by a program, not of a patient."
"""The mark of a drawn image: in a PNG's text, a JPEG's comment, a TIFF's ImageDescription."""

_PILLOW_FORMATS: Final = tuple(name.upper() for name in RASTER_FORMATS)
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_START: Final = b"\xff\xd8\xff"
_PILLOW_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,
    ZeroDivisionError,
    NotImplementedError,
)
"""What Pillow raises on damaged files: OSError covers most, SyntaxError is a broken PNG chunk."""
_TAG_PHOTOMETRIC: Final = 262
_TAG_DESCRIPTION: Final = 270
_TAG_ORIENTATION: Final = 274
_TAG_XMP: Final = 700
_SYNTHETIC: Final = re.compile(
    re.escape(SYNTHETIC_TEXT) + "|digitalsourcetype/(trained)?algorithmicMedia", re.IGNORECASE
)
"""Our mark, or that of XMP: the IPTC's digital source types of what a program made as a whole."""


class _Facts(NamedTuple):
    """What Pillow says of an image besides its pixels."""

    orientation: int
    lossy: bool
    white_is_zero: bool
    synthetic: bool


def read_raster(data: bytes, *, contrast: Contrast) -> Radiograph:
    """Read a grey image.

    An orientation written in the file (EXIF, TIFF) is obeyed, as every viewer does: the image is
    read as the person who saved it saw it. Bone is taken to be bright as it stands.

    Parameters
    ----------
    data : bytes
        The whole file.
    contrast : Contrast

    Raises
    ------
    ImageError
        ``image.unreadable``, ``.truncated``, ``.multi-frame``, ``.too-large``, ``.too-small``,
        ``.colour``, ``.blank``.
    """
    facts = _check_with_pillow(data)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise _unreadable("OpenCV cannot decode it")
    grey = _grey(pixels)
    if facts.white_is_zero and pixels.dtype == np.uint16:  # OpenCV turns 8 bits itself, not 16
        grey = np.float32(65535) - grey
    grey = _turn(grey, facts.orientation)
    check_not_blank(grey)
    flags = {Flag.VIEW_UNKNOWN, Flag.SPACING_UNKNOWN}
    if facts.lossy:
        flags.add(Flag.LOSSY_COMPRESSION)
    if facts.synthetic:
        flags.add(Flag.SYNTHETIC)
    return Radiograph(
        pixels=grey,
        source_id=hashlib.sha256(data).hexdigest(),
        contrast=contrast,
        flags=frozenset(flags),
    )


def _check_with_pillow(data: bytes) -> _Facts:
    """Check header, then data.

    Pillow reads the size without decoding, and notices missing data where OpenCV fills in.
    """
    if data.startswith(_PNG_START) and len(data) >= 24:  # Pillow asks for pixels before it says so
        check_size(int.from_bytes(data[20:24]), int.from_bytes(data[16:20]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # images of 90 million pixels and odd EXIF
        try:
            picture = Image.open(BytesIO(data), formats=_PILLOW_FORMATS)
            n_frames = getattr(picture, "n_frames", 1)
        except Image.DecompressionBombError as error:
            raise ImageError(
                "image.too-large",
                "The header announces more pixels than any radiograph has.",
                "Check the file, or shrink the image.",
            ) from error
        except UnidentifiedImageError as error:
            starts_and_ends = ((_PNG_START, b"IEND"), (_JPEG_START, b"\xff\xd9"))
            if any(data.startswith(start) and end not in data for start, end in starts_and_ends):
                raise _truncated("no end") from error
            raise _unreadable("a damaged header") from error
        except _PILLOW_ERRORS as error:
            raise _unreadable(type(error).__name__) from error
        if n_frames > 1:
            raise ImageError(
                "image.multi-frame",
                f"A file must hold one image. Got {n_frames}.",
                "Save each image to a file of its own.",
            )
        check_size(picture.height, picture.width)
        try:
            picture.load()
            orientation = int(picture.getexif().get(_TAG_ORIENTATION, 1))
        except _PILLOW_ERRORS as error:
            raise _truncated(type(error).__name__) from error
        synthetic = _is_marked_synthetic(picture)
    if picture.format == "TIFF":  # OpenCV obeys the orientation of a TIFF itself
        tags = getattr(picture, "tag_v2", {})
        return _Facts(1, False, tags.get(_TAG_PHOTOMETRIC) == 0, synthetic)
    lossy = picture.format == "JPEG" or (picture.format == "WEBP" and b"VP8L" not in data)
    return _Facts(orientation, lossy, False, synthetic)


def _is_marked_synthetic(picture: Image.Image) -> bool:
    """Tell whether a text of the file says that a program drew it; broken ones say nothing."""
    texts = list(picture.info.values())
    for tag in (_TAG_DESCRIPTION, _TAG_XMP):
        with contextlib.suppress(*_PILLOW_ERRORS):
            texts.append(picture.getexif().get(tag))
    return any(
        _SYNTHETIC.search(text.decode("latin-1") if isinstance(text, bytes) else text)
        for text in texts
        if isinstance(text, bytes | str)
    )


def _grey(pixels: NDArray[Any]) -> FloatImage:
    """One channel of finite numbers from what OpenCV returns: grey, BGR or BGRA."""
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        if pixels[:, :, 3].min() != np.iinfo(pixels.dtype).max:
            raise _unreadable("it is partly transparent")
        pixels = pixels[:, :, :3]
    if pixels.ndim == 3:
        if not np.issubdtype(pixels.dtype, np.unsignedinteger):
            raise _unreadable(f"channels of type {pixels.dtype}")
        return grey_from_colour(pixels, float(np.iinfo(pixels.dtype).max))
    grey = pixels.astype(np.float32)
    if not np.isfinite(grey).all():
        raise _unreadable("pixels that are not numbers")
    return grey


def _turn(pixels: FloatImage, orientation: int) -> FloatImage:
    """Show the image as EXIF's Orientation (1-8) asks; anything else means 1."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.T
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    return pixels


def _truncated(what: str) -> ImageError:
    return ImageError(
        "image.truncated",
        f"The file ends before its pixels do, or they are damaged. Got: {what}.",
        "Copy or export the image again.",
    )


def _unreadable(what: str) -> ImageError:
    return ImageError(
        "image.unreadable",
        "The image cannot be read; a grey "
        f"{', '.join(RASTER_FORMATS[:-1])} or {RASTER_FORMATS[-1]} was expected. Got: {what}.",
        "Open it in a viewer and save it again as PNG.",
    )
