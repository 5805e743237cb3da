"""The ways in which a DICOM file is refused: what is wrong, what was expected, what to do."""

from kneegrade.errors import ImageError
from kneegrade.images.formats import GIVE_A_PICTURE


def truncated(got: str) -> ImageError:
    """``image.truncated``."""
    return ImageError(
        "image.truncated",
        f"The file ends before its pixels do. Got {got}.",
        "Copy or export the image again.",
    )


def bad_header(got: str) -> ImageError:
    """``image.bad-header``."""
    return ImageError(
        "image.bad-header",
        f"The DICOM header must describe one grey picture. Got {got}.",
        "Export the image again.",
    )


def unreadable(got: str) -> ImageError:
    """``image.unreadable``."""
    return ImageError(
        "image.unreadable",
        f"The file cannot be read as a DICOM image. Got {got}.",
        GIVE_A_PICTURE,
    )


def no_pixels() -> ImageError:
    """``image.no-pixels``."""
    return ImageError(
        "image.no-pixels",
        "The DICOM file must hold an image. Got one without pixel data.",
        "Give the image itself, not a report, a directory or a presentation state.",
    )


def no_decoder(got: str) -> ImageError:
    """``image.no-decoder``."""
    return ImageError(
        "image.no-decoder",
        f"The pixels must be compressed in a way that is read here. Got {got}.",
        "Save the image uncompressed first, for example with dcmdjpeg of DCMTK.",
    )


def too_large_inflated(max_bytes: int) -> ImageError:
    """``image.too-large``."""
    return ImageError(
        "image.too-large",
        f"A radiograph's file has at most {max_bytes >> 20} MiB, inflated. Got more.",
        "Check the file.",
    )
