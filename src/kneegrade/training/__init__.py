"""KNEE TABLE AND ROIs -> BUNDLE. Needs the extra ``[train]``; the only place with torch."""

from kneegrade.errors import MissingExtraError

try:
    import pytorch_lightning  # noqa: F401
    import timm  # noqa: F401
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError.for_extra("train", "Training a network") from error
