"""The contact sheet of an ROI store: every knee with its landmarks, the worst first."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kneegrade.errors import CODES
from kneegrade.knees.store import read_index, read_settings
from kneegrade.output import write_whole, writing_to
from kneegrade.templates import fill_template
from kneegrade.terms import N_TIBIAL
from kneegrade.types import Side, Task

PER_PAGE: Final = 300
"""Knees on a page."""


@dataclass(frozen=True)
class _Tile:
    roi_file: str
    name: str
    side: Side
    facts: str
    tibia: str
    femur: str
    refusal: str
    flags: Sequence[str]


def write_contact_sheet(store: Path) -> list[Path]:
    """Write ``sheet.html``, ``sheet-002.html`` ... into an ROI store, in place of earlier ones.

    Refused knees come first, then the others by the mean confidence of their landmarks, least
    first. A knee is named by its image and its row in the index, never by a participant's id.

    Parameters
    ----------
    store : Path

    Returns
    -------
    list of Path
        The pages; the first is there even where no knee was cut.

    Raises
    ------
    TableError
        ``store.not-found``.
    OutputError
        ``output.not-writable``.
    """
    rows = list(enumerate(read_index(store).to_dict("records")))
    size_px = read_settings(store).roi.size_px
    shown = [(n, row) for n, row in rows if row["status"] != "failed"]
    shown.sort(key=lambda pair: (pair[1]["status"] == "ok", pair[1]["confidence"]))
    failed = [(n, row["error_code"]) for n, row in rows if row["status"] == "failed"]
    pages = [shown[i : i + PER_PAGE] for i in range(0, len(shown), PER_PAGE)] or [[]]
    paths = [store / ("sheet.html" if n == 1 else f"sheet-{n:03}.html") for n in _numbers(pages)]
    for number, (path, page) in enumerate(zip(paths, pages, strict=True), start=1):
        text = fill_template(
            "kneegrade.apps.pages",
            "contact_sheet.html.jinja",
            tiles=[_tile(n, row) for n, row in page],
            number=number,
            pages=[other.name for other in paths],
            size_px=size_px,
            n_ok=sum(row["status"] == "ok" for _, row in shown),
            n_refused=sum(row["status"] == "refused" for _, row in shown),
            failed=failed,
            failed_codes=Counter(code for _, code in failed).most_common(),
        )
        _write(path, text)
    for stale in set(store.glob("sheet-*.html")) - set(paths):
        stale.unlink()
    return paths


def _numbers(pages: Sequence[Any]) -> range:
    return range(1, len(pages) + 1)


def _write(path: Path, text: str) -> None:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    with writing_to(path):
        write_whole(path, text)


def _tile(number: int, row: Mapping[str, Any]) -> _Tile:
    numbers = [float(value) for value in row["landmarks"]]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    kl = row.get(Task.KL.value)
    known = [] if kl is None or kl != kl else [f"KL {int(kl)}"]
    code = row["error_code"]
    return _Tile(
        roi_file=row["roi_file"],
        name=f"row {number}, {row['roi_file'][4:12]}",
        side=Side(row["side"]),
        facts=", ".join([*known, f"confidence {row['confidence']:.2f}"]),
        tibia=_path(points[:N_TIBIAL]),
        femur=_path(points[N_TIBIAL:]),
        refusal=f"{code}: {CODES.get(code, '')}" if code else "",
        flags=[flag for flag in row["flags"].split(";") if flag],
    )


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{col:.1f} {row:.1f}" for row, col in points)
