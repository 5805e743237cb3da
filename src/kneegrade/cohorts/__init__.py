"""STUDY FILES -> KNEE TABLE: one row per reading of one knee. Needs the extra ``[study]``."""

from kneegrade.errors import MissingExtraError

try:
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError.for_extra("study", "A knee table") from error
