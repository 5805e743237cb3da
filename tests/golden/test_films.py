"""Grades, landmarks, widths and flags of known films stay as they are, within rounding.

What moves them on purpose is blessed: ``pytest tests/golden --bless`` writes the files anew, and
the change is told under "Changed grades" in CHANGELOG.md, in the same commit.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from golden.films import Document, grade_films

from kneegrade.pipeline.grader import KneeGrader

HERE = Path(__file__).parent
DEMO = HERE.parents[1] / "demo"

# Processors differ in the last digits of a float32; no change of the program that anybody would
# call one hides below these.
BOUNDS = {"probabilities": 0.002, "landmarks_px": 0.1}
MEASURED_BOUNDS = {"_share": 0.0005, "_mm": 0.05, "_mm2": 0.5, "_deg": 0.1}


@pytest.fixture(scope="module")
def grader() -> KneeGrader:
    return KneeGrader(n_threads=1)


def test_demo_films(grader: KneeGrader, bless: bool) -> None:
    films = sorted((DEMO / "real").glob("*.jpg")) + sorted((DEMO / "films").iterdir())
    check(grade_films(grader, films), HERE / "demo-films.json", bless=bless)


@pytest.mark.real_data
def test_plain_films(grader: KneeGrader, real_data: Path, bless: bool) -> None:
    films = sorted((real_data / "knee-plain").glob("*.jpg"))
    assert films
    check(grade_films(grader, films), HERE / "plain-films.json", bless=bless)


def check(found: Document, golden_file: Path, *, bless: bool) -> None:
    if bless:
        golden_file.write_text(write_document(found), encoding="utf-8")
    golden = json.loads(golden_file.read_text(encoding="utf-8"))
    differences = [
        f"{name}, knee {number}: {difference}"
        for name in golden.keys() | found.keys()
        for number, difference in compare_film(found.get(name, []), golden.get(name, []))
    ]
    assert not differences, "\n".join(sorted(differences))


def compare_film(found: list[Document], golden: list[Document]) -> list[tuple[int, str]]:
    if len(found) != len(golden):
        return [(0, f"{len(found)} knees, {len(golden)} before")]
    return [
        (number, difference)
        for number, (new, old) in enumerate(zip(found, golden, strict=True), start=1)
        for difference in compare_values(new, old, ())
    ]


def compare_values(new: Any, old: Any, place: tuple[str, ...]) -> list[str]:
    if isinstance(new, dict) and isinstance(old, dict):
        return [
            difference
            for name in sorted(new.keys() | old.keys())
            for difference in compare_values(new.get(name), old.get(name), (*place, name))
        ]
    if isinstance(new, list) and isinstance(old, list) and place[0] != "flags":
        if len(new) != len(old):
            return [f"{'.'.join(place)}: {len(new)} values, {len(old)} before"]
        return [
            difference
            for at, (a, b) in enumerate(zip(new, old, strict=True))
            for difference in compare_values(a, b, (*place, str(at)))
        ]
    if isinstance(new, float) and isinstance(old, float):
        is_same = abs(new - old) <= bound_of(place)
    else:
        is_same = new == old
    return [] if is_same else [f"{'.'.join(place)}: {new!r}, {old!r} before"]


def bound_of(place: tuple[str, ...]) -> float:
    if place[0] in BOUNDS:
        return BOUNDS[place[0]]
    (bound,) = (b for ending, b in MEASURED_BOUNDS.items() if place[-1].endswith(ending))
    return bound


def write_document(document: Document) -> str:
    """JSON with one line for each knee, so that a change shows which knee it moves."""
    films = (
        f" {json.dumps(name)}: [\n  " + ",\n  ".join(map(json.dumps, knees)) + "\n ]"
        for name, knees in document.items()
    )
    return "{\n" + ",\n".join(films) + "\n}\n"


@pytest.mark.parametrize(
    ("place", "moved"),
    [
        (("probabilities", "kl", "0"), 0.003),
        (("landmarks_px", "0", "1"), 0.2),
        (("measured", "jsw_m_mm"), 0.1),
        (("measured", "jsa_l_share"), 0.001),
        (("measured", "fta_deg"), 0.2),
    ],
)
def test_moved_values_are_told(place: tuple[str, ...], moved: float) -> None:
    assert compare_values(0.5, 0.5, place) == []
    assert compare_values(0.5 + moved, 0.5, place)


def test_lost_knees_and_flags_are_told() -> None:
    knee = {"side": "left", "flags": ["blurred"]}
    assert compare_film([], [knee])
    assert compare_film([knee | {"flags": []}], [knee])
    assert compare_film([knee], [knee]) == []
