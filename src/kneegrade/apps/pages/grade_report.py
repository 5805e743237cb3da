"""The page ``report.html`` of a batch: each knee's picture beside its grades, in one file."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from kneegrade.agreement_words import METRIC_LABELS, USE_SENTENCES, format_interval
from kneegrade.apps.pages.grade_report_words import (
    DECODING_WORDS,
    KL_CRITERIA,
    KL_WORDS,
    SPACING_WORDS,
    WIDTH_WORDS,
)
from kneegrade.bundles.manifest import Bundle, Decoding
from kneegrade.knees.drawing import KneeDrawing, write_mm
from kneegrade.knees.measuring.joint_space import FIXED
from kneegrade.output import write_whole, writing_to
from kneegrade.templates import fill_template
from kneegrade.terms import SubjectUse
from kneegrade.types import Flag, Side, SpacingSource, Task

EMBEDDED_PICTURES: Final = 200
"""Only the pictures of so many knees stand in the page, which would grow too big otherwise."""


@dataclass(frozen=True)
class ReportedKnee:
    """One row of the page.

    Parameters
    ----------
    row : mapping
        A row of the prediction table, see `kneegrade.grading.predictions`.
    picture_png : bytes or None
        The ROI in standard pose (lateral at the left) as an 8-bit grey PNG; None where there is
        none.
    drawing : KneeDrawing or None
        What is drawn over the picture.
    truth : mapping or None
        The known grades by task: what a synthetic film was made with, a reader's of any other
        film; empty where there is nothing to grade, as an implant. None where nothing is known.
    """

    row: Mapping[str, Any]
    picture_png: bytes | None
    drawing: KneeDrawing | None
    truth: Mapping[str, int] | None


@dataclass(frozen=True)
class _Bar:
    grade: int
    percent: float
    text: str
    is_reported: bool


@dataclass(frozen=True)
class _TaskLine:
    label: str
    grade: int | None
    bars: Sequence[_Bar]
    expected: str
    truth: int | None
    has_real_grades: bool


@dataclass(frozen=True)
class _Card:
    side: str
    refusal: str
    error_code: str
    picture: str
    drawing: KneeDrawing | None
    space: Sequence[tuple[str, str, str]]
    angle: str
    spacing: str
    beyond_embedded: bool
    kl: _TaskLine | None
    lines: Sequence[_TaskLine]
    is_synthetic: bool
    has_truth: bool
    made_with_nothing: bool
    flags: Sequence[tuple[str, str]]


def write_grade_report(
    path: Path,
    knees: Sequence[ReportedKnee],
    bundle: Bundle,
    *,
    version: str,
    attribution: str = "",
) -> None:
    """Write the page; it refers to nothing outside itself.

    Parameters
    ----------
    path : Path
        Replaced where it exists.
    knees : sequence of ReportedKnee
        In the order of the page, but that synthetic films come last, under a heading of their
        own; neighbours of one file stand under its name, the right knee first. The pictures of
        the first `EMBEDDED_PICTURES` knees are embedded.
    bundle : Bundle
        What graded them. What its manifest does not tell is left out of the page.
    version : str
        Version of kneegrade.
    attribution : str
        A line that stands with the pictures, as their licence asks; or nothing.

    Raises
    ------
    OutputError
        ``output.not-writable``.
    """
    page = _render(knees, bundle, version, attribution)
    with writing_to(path):
        write_whole(path, page.encode("utf-8", errors="backslashreplace"))


def _render(knees: Sequence[ReportedKnee], bundle: Bundle, version: str, attribution: str) -> str:
    shown = [knee for knee in knees if knee.row.get("status") in ("ok", "refused")]
    shown.sort(key=lambda knee: is_synthetic(knee.row))
    cards = [(knee, _card(knee, number, bundle)) for number, knee in enumerate(shown)]
    films = [
        (name, sorted((card for _, card in of_film), key=lambda card: card.side == Side.LEFT))
        for name, of_film in groupby(cards, key=lambda pair: _name(pair[0].row))
    ]
    sections = [
        (synthetic, list(of_section))
        for synthetic, of_section in groupby(films, key=lambda film: film[1][0].is_synthetic)
    ]
    n_refused = sum(knee.row["status"] == "refused" for knee in shown)
    failed = [knee.row for knee in knees if knee.row.get("status") not in ("ok", "refused")]
    return fill_template(
        "kneegrade.apps.pages",
        "grade_report.html.jinja",
        sections=sections,
        attribution=attribution,
        n_graded=len(cards) - n_refused,
        n_refused=n_refused,
        failed=[
            {name: _text(row.get(name)) for name in ("side", "error_code", "error")}
            | {"name": _name(row)}
            for row in failed
        ],
        bundle=bundle,
        version=version,
        n_embedded=EMBEDDED_PICTURES,
        kl_words=KL_WORDS,
        kl_criteria=KL_CRITERIA if Task.KL in {spec.task for spec in bundle.tasks} else (),
        fixed_places=" and ".join(f"{100 * share:.0f} %" for share in FIXED.values()),
        decodings=_decodings(bundle),
        network=_network(bundle),
        agreement=_agreement(bundle.agreement),
        about_agreement=_text(bundle.agreement.get("about")),
    )


def is_synthetic(row: Mapping[str, Any]) -> bool:
    """Whether the file of a row says that it was drawn by a program; these come last."""
    return Flag.SYNTHETIC.value in _text(row.get("flags")).split(";")


def _card(knee: ReportedKnee, number: int, bundle: Bundle) -> _Card:
    truth = knee.truth or {}
    graded_by_bundle = {spec.task for spec in bundle.tasks}
    is_refused = knee.row["status"] == "refused"
    synthetic = is_synthetic(knee.row)
    lines = {
        task: _task_line(task, knee.row, truth, bundle)
        for task in Task
        if not is_refused and (task in graded_by_bundle or task in truth)
    }
    embed = knee.picture_png is not None and number < EMBEDDED_PICTURES
    return _Card(
        side=_text(knee.row.get("side")),
        refusal=_text(knee.row.get("error")) if is_refused else "",
        error_code=_text(knee.row.get("error_code")),
        picture=base64.b64encode(knee.picture_png).decode() if knee.picture_png and embed else "",
        drawing=knee.drawing,
        space=_space(knee.row),
        angle=_write_angle(knee.row),
        spacing=_spacing(knee.row),
        beyond_embedded=number >= EMBEDDED_PICTURES,
        kl=lines.pop(Task.KL, None),
        lines=list(lines.values()),
        is_synthetic=synthetic,
        has_truth=bool(truth),
        made_with_nothing=synthetic and knee.truth is not None and not truth,
        flags=[(name, _meaning(name)) for name in _text(knee.row.get("flags")).split(";") if name],
    )


def _task_line(
    task: Task, row: Mapping[str, Any], truth: Mapping[str, int], bundle: Bundle
) -> _TaskLine:
    grade = _number(row.get(task.value))
    expected = _number(row.get(f"{task.value}_expected"))
    spread = _number(row.get(f"{task.value}_spread"))
    bars = []
    for level in range(task.n_grades):
        probability = _number(row.get(f"{task.value}_p{level}"))
        if probability is not None:
            percent = round(100 * probability, 1)
            bars.append(_Bar(level, percent, _write_percent(percent), level == grade))
    with_real_grades = bundle.training.get("tasks_with_real_grades")
    return _TaskLine(
        label=_sentence(task.label),
        grade=None if grade is None else int(grade),
        bars=bars,
        expected=(
            ""
            if expected is None
            else f"{expected:.2f}" + ("" if spread is None else f" ± {spread:.2f}")
        ),
        truth=truth.get(task.value),
        has_real_grades=with_real_grades is None or task.value in with_real_grades,
    )


def _space(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Each width in words, lateral and medial; empty where nothing was measured."""
    lines = [
        (words, _write_width(row, f"{name}_l"), _write_width(row, f"{name}_m"))
        for name, words in WIDTH_WORDS.items()
    ]
    return [line for line in lines if any(line[1:])]


def _write_width(row: Mapping[str, Any], name: str) -> str:
    """``4.6 mm (5.8 %)``, or one of both."""
    mm, share = (_number(row.get(f"{name}_{unit}")) for unit in ("mm", "share"))
    percent = "" if share is None else f"{100 * share:.1f} %"
    if mm is None:
        return percent
    source = _text(row.get("spacing_source"))
    known = SpacingSource(source) if source in set(SpacingSource) else SpacingSource.UNKNOWN
    written = write_mm(mm, known)
    return f"{written} ({percent})" if percent else written


def _write_angle(row: Mapping[str, Any]) -> str:
    """The femorotibial angle; empty where it was not measured."""
    degrees = _number(row.get("fta_deg"))
    return "" if degrees is None else f"{degrees:.1f}°"


def _spacing(row: Mapping[str, Any]) -> str:
    source = _text(row.get("spacing_source"))
    return SPACING_WORDS[SpacingSource(source)] if source in set(SpacingSource) else source


def _name(row: Mapping[str, Any]) -> str:
    """The source, and the knee table's key where the row has one."""
    visit = _text(row.get("visit_months"))
    key = [
        _text(row.get("cohort")),
        _text(row.get("subject_id")),
        f"month {visit}" if visit else "",
        _text(row.get("reading")),
    ]
    return " · ".join(part for part in (_text(row.get("source")), *key) if part)


def _meaning(flag: str) -> str:
    return Flag(flag).meaning if flag in set(Flag) else ""


def _write_percent(percent: float) -> str:
    if 0 < percent < 1:
        return "<1 %"
    return ">99 %" if 99 < percent < 100 else f"{percent:.0f} %"


def _decodings(bundle: Bundle) -> list[str]:
    """How the reported grades come about; where tasks differ, the commonest way is last."""
    tasks: dict[Decoding, list[str]] = {}
    for spec in bundle.tasks:
        tasks.setdefault(spec.decoding, []).append(spec.task.label)
    *rare, usual = sorted(tasks, key=lambda decoding: len(tasks[decoding]))
    return [
        *(f"for {'; '.join(tasks[decoding])} {DECODING_WORDS[decoding]}" for decoding in rare),
        f"otherwise {DECODING_WORDS[usual]}" if rare else DECODING_WORDS[usual],
    ]


def _network(bundle: Bundle) -> dict[str, Any]:
    """What the manifest tells about the network's making and limits."""
    training = bundle.training
    with_real_grades = training.get("tasks_with_real_grades")
    tasks = [spec.task for spec in bundle.tasks]
    data = [
        {"name": entry} if isinstance(entry, str) else entry for entry in training.get("data") or []
    ]
    return {
        "data": [
            {name: _text(entry.get(name)) for name in ("name", "licence", "attribution", "readers")}
            for entry in data
        ],
        "landmarks": _texts(bundle.locator.facts.get("data")),
        "with_real_grades": [t.label for t in tasks if t.value in (with_real_grades or [])],
        "without_real_grades": [
            t.label for t in tasks if with_real_grades is not None and t not in with_real_grades
        ],
        "not_validated_on": _texts(training.get("not_validated_on")),
        "never_assessed": _sentence(", ".join(_texts(training.get("never_assessed")))),
    }


def _agreement(agreement: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The measured agreement of each task: its knees, whether they were used, its figures."""
    measured = []
    for name, figures in (agreement.get("task") or {}).items():
        known = name in set(Task)
        use = _text(figures.get("subjects"))
        measured.append(
            {
                "label": _sentence(Task(name).label) if known else name,
                "n_knees": _text(figures.get("n_knees")),
                "n_subjects": _text(figures.get("n_subjects")),
                "use": USE_SENTENCES[SubjectUse(use)] if use in set(SubjectUse) else use,
                "metrics": [
                    (_sentence(label), _write_figure(figures["reported"][metric]))
                    for metric, label in METRIC_LABELS.items()
                    if metric in figures.get("reported", {})
                ],
            }
        )
    return measured


def _write_figure(figure: Mapping[str, Any]) -> str:
    return format_interval(*(_number(figure.get(name)) for name in ("estimate", "low", "high")))


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [_text(entry) for entry in value or []]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(value: Any) -> str:
    """Text or number as text; an absent value (None, NaN, NA) as nothing."""
    if isinstance(value, str):
        return str(value)
    return "" if _number(value) is None else str(value)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
