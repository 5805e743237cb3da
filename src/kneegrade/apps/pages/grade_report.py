"""The page ``report.html`` of a batch: each knee's image beside its grades, in one file."""

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
)
from kneegrade.bundles.manifest import Bundle, Decoding
from kneegrade.knees.measuring.joint_space import FIXED
from kneegrade.knees.measuring.sizes import JointSizes, Length
from kneegrade.output import write_whole, writing_to
from kneegrade.pipeline.drawing import KneeDrawing, write_mm
from kneegrade.pipeline.results import KneeResult, Status, TaskResult
from kneegrade.templates import fill_template
from kneegrade.terms import SubjectUse
from kneegrade.types import Flag, Grades, Side, SpacingSource, Task

EMBEDDED_PICTURES: Final = 200
"""Only so many knees are shown with their image: with more the page would grow too large."""


@dataclass(frozen=True)
class ReportedKnee:
    """One knee of the page, or one file that gave none.

    Parameters
    ----------
    result : KneeResult
    picture_png : bytes or None
        The ROI in standard pose (lateral on the left) as an 8-bit grey PNG; None where there is
        none.
    drawing : KneeDrawing or None
        What is drawn over the image.
    truth : Grades or None
        The known grades: those that a synthetic film was drawn with, a reader's of any other film;
        empty where there is nothing to grade, as with a prosthesis. None where nothing is known.
    """

    result: KneeResult
    picture_png: bytes | None
    drawing: KneeDrawing | None
    truth: Grades | None


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
    widths: Sequence[tuple[str, str, str]]
    angle: str
    spacing: str
    beyond_embedded: bool
    kl: _TaskLine | None
    lines: Sequence[_TaskLine]
    is_synthetic: bool
    has_truth: bool
    made_with_nothing: bool
    flags: Sequence[Flag]


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
        own; neighbours of one file stand under its name, the right knee first. The images of
        the first `EMBEDDED_PICTURES` knees are embedded.
    bundle : Bundle
        What graded them. What its manifest does not state is left out of the page.
    version : str
        Version of kneegrade.
    attribution : str
        A line that is shown with the images, as their licence asks; or nothing.

    Raises
    ------
    OutputError
        ``output.not-writable``.
    """
    page = _render(knees, bundle, version, attribution)
    with writing_to(path):
        write_whole(path, page.encode("utf-8", errors="backslashreplace"))


def _render(knees: Sequence[ReportedKnee], bundle: Bundle, version: str, attribution: str) -> str:
    shown = [knee for knee in knees if knee.result.status is not Status.FAILED]
    shown.sort(key=lambda knee: is_synthetic(knee.result))
    cards = [(knee, _card(knee, number, bundle)) for number, knee in enumerate(shown)]
    films = [
        (name, sorted((card for _, card in of_film), key=lambda card: card.side == Side.LEFT))
        for name, of_film in groupby(cards, key=lambda pair: _name(pair[0].result))
    ]
    sections = [
        (synthetic, list(of_section))
        for synthetic, of_section in groupby(films, key=lambda film: film[1][0].is_synthetic)
    ]
    n_refused = sum(knee.result.status is Status.REFUSED for knee in shown)
    failed = [knee.result for knee in knees if knee.result.status is Status.FAILED]
    return fill_template(
        "kneegrade.apps.pages",
        "grade_report.html.jinja",
        sections=sections,
        attribution=attribution,
        n_graded=len(cards) - n_refused,
        n_refused=n_refused,
        failed=[(_name(result), result) for result in failed],
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


def is_synthetic(result: KneeResult) -> bool:
    """Whether the file says that it was drawn by a program; these come last."""
    return Flag.SYNTHETIC in result.flags


def _card(knee: ReportedKnee, number: int, bundle: Bundle) -> _Card:
    result, truth = knee.result, knee.truth or Grades()
    is_refused = result.status is Status.REFUSED
    synthetic = is_synthetic(result)
    lines = {
        task: _task_line(task, result.tasks.get(task), truth.get(task), bundle)
        for task in Task
        if not is_refused and (task in {spec.task for spec in bundle.tasks} or task in truth)
    }
    embed = knee.picture_png is not None and number < EMBEDDED_PICTURES
    return _Card(
        side=result.side or "",
        refusal=result.error,
        error_code=result.error_code,
        picture=base64.b64encode(knee.picture_png).decode() if knee.picture_png and embed else "",
        drawing=knee.drawing,
        widths=[] if result.joint is None else _write_widths(result.joint),
        angle="" if result.joint is None else _write_angle(result.joint),
        spacing="" if result.joint is None else SPACING_WORDS[result.joint.spacing_source],
        beyond_embedded=number >= EMBEDDED_PICTURES,
        kl=lines.pop(Task.KL, None),
        lines=list(lines.values()),
        is_synthetic=synthetic,
        has_truth=bool(truth),
        made_with_nothing=synthetic and knee.truth is not None and not truth,
        flags=sorted(result.flags),
    )


def _task_line(
    task: Task, result: TaskResult | None, truth: int | None, bundle: Bundle
) -> _TaskLine:
    bars = []
    for level, probability in enumerate(() if result is None else result.probabilities):
        percent = round(100 * probability, 1)
        is_reported = result is not None and level == result.grade
        bars.append(_Bar(level, percent, _write_percent(percent), is_reported))
    with_real_grades = bundle.training.get("tasks_with_real_grades")
    return _TaskLine(
        label=_sentence(task.label),
        grade=None if result is None else result.grade,
        bars=bars,
        expected="" if result is None else _write_expected(result),
        truth=truth,
        has_real_grades=with_real_grades is None or task.value in with_real_grades,
    )


def _write_expected(result: TaskResult) -> str:
    spread = "" if result.spread is None else f" ± {result.spread:.2f}"
    return f"{result.expected:.2f}{spread}"


def _write_widths(joint: JointSizes) -> list[tuple[str, str, str]]:
    """Each width in words, lateral and medial."""
    halves = (joint.lateral, joint.medial)
    smallest = [_write_width(half.minimum, joint.spacing_source) for half in halves]
    fixed = [_write_width(half.fixed, joint.spacing_source) for half in halves]
    return [("Smallest", smallest[0], smallest[1]), ("Fixed place", fixed[0], fixed[1])]


def _write_width(length: Length, source: SpacingSource) -> str:
    """``4.6 mm (5.8 %)``, or the share alone."""
    percent = f"{100 * length.share:.1f} %"
    return percent if length.mm is None else f"{write_mm(length.mm, source)} ({percent})"


def _write_angle(joint: JointSizes) -> str:
    """The femorotibial angle; empty where it was not measured."""
    return "" if joint.femorotibial_deg is None else f"{joint.femorotibial_deg:.1f}°"


def _name(result: KneeResult) -> str:
    """The source, and the knee table's key where there is one."""
    key = result.key
    visit = "" if key.visit_months is None else f"month {key.visit_months}"
    parts = (result.source, key.cohort, key.subject_id, visit, key.reading)
    return " · ".join(part for part in parts if part)


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
    """What the manifest states about the network's training and limits."""
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
