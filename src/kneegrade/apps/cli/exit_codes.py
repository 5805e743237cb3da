"""What a command ends with."""

from collections.abc import Collection
from typing import Final

DONE: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
NOTHING_DONE: Final = 3
OUR_BUG: Final = 70
INTERRUPTED: Final = 130


def exit_code_of(statuses: Collection[str], error_codes: Collection[str]) -> int:
    """Exit code of a batch.

    Parameters
    ----------
    statuses, error_codes : collection of str
        Of its rows. A knee that is refused counts as done.
    """
    if "internal.error" in error_codes:
        return OUR_BUG
    if "failed" not in statuses:
        return DONE
    return NOTHING_DONE if set(statuses) == {"failed"} else SOME_FAILED
