"""Phantoms' subjects with chosen knees."""

from collections.abc import Iterable
from dataclasses import replace

from kneegrade.phantoms.knees.severity import FEATURES, Severity
from kneegrade.phantoms.studies.population import PhantomSubject, PhantomVisit, Study, draw_subject
from kneegrade.types import Side, Task


def knee(within: float, **grades: int) -> Severity:
    """A knee of these grades, in their middle; the other features at ``within``, below 1."""
    values = dict.fromkeys(FEATURES, within)
    return Severity(values | {Task(name): grade + 0.5 for name, grade in grades.items()})


def make_subject(
    study: Study,
    number: int,
    months: Iterable[int],
    severities: Iterable[Severity],
    normal: Severity,
) -> PhantomSubject:
    """A subject whose right knee has these severities at the first visits; the left is normal."""
    visits = [
        PhantomVisit(month, {Side.RIGHT: severity, Side.LEFT: normal})
        for month, severity in zip(months, severities, strict=False)
    ]
    return replace(draw_subject(study, number, 0), visits=tuple(visits))
