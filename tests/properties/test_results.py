"""The result of a knee says the same in a row, in JSON and in a file."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from kneegrade.grading.grader import expected_grade
from kneegrade.grading.predictions import (
    SPACE_COLUMNS,
    SPUR_COLUMNS,
    read_predictions,
    table_columns,
    write_json,
)
from kneegrade.knees.measuring.sizes import Area, CompartmentSizes, JointSizes, Length
from kneegrade.pipeline.results import KneeKey, KneeResult, Status, TaskResult
from kneegrade.types import Flag, Side, SpacingSource, Task


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of six decimals, as results are rounded."""
    return st.floats(low, high).map(lambda number: round(number, 6))


words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=12)
names = st.from_regex(r"[A-Za-z0-9]{1,8}", fullmatch=True)
keys = st.builds(
    KneeKey,
    cohort=st.none() | names,
    subject_id=st.none() | names,
    visit_months=st.none() | st.integers(0, 400),
    reading=st.none() | names,
)


@st.composite
def task_results(draw: st.DrawFn, task: Task) -> TaskResult:
    weights = np.array(
        draw(st.lists(st.integers(0, 1000), min_size=task.n_grades, max_size=task.n_grades))
    )
    shares = (weights + 1) / (weights + 1).sum()
    return TaskResult(
        grade=draw(st.integers(0, task.n_grades - 1)),
        probabilities=tuple(round(float(p), 6) for p in shares),
        expected=round(float(expected_grade(shares)), 6),
        spread=draw(st.none() | numbers(0, 2)),
    )


@st.composite
def joints(draw: st.DrawFn) -> JointSizes:
    source = draw(st.sampled_from(list(SpacingSource)))
    known = source is not SpacingSource.UNKNOWN
    size = numbers(0, 1000)
    in_mm = size if known else st.none()
    lengths, areas = st.builds(Length, size, in_mm), st.builds(Area, size, in_mm)
    halves = st.builds(CompartmentSizes, lengths, lengths, areas, areas, areas)
    return JointSizes(
        lateral=draw(halves),
        medial=draw(halves),
        femorotibial_deg=draw(st.none() | numbers(91, 269)),
        plateau_width_mm=draw(in_mm),
        spacing_source=source,
    )


@st.composite
def results(draw: st.DrawFn, status: Status | None = None) -> KneeResult:
    """A result of any status; a graded one has at least one task."""
    status = status or draw(st.sampled_from(list(Status)))
    is_ok = status is Status.OK
    tasks = draw(st.sets(st.sampled_from(list(Task)), min_size=1)) if is_ok else set()
    sides = st.sampled_from(list(Side))
    return KneeResult(
        source=draw(words),
        key=draw(keys),
        side=draw(sides if status is not Status.FAILED else st.none() | sides),
        status=status,
        bundle_id=draw(names),
        flags=draw(st.frozensets(st.sampled_from(list(Flag)), max_size=5)),
        tasks={task: draw(task_results(task)) for task in tasks},
        joint=draw(st.none() | joints()) if is_ok else None,
        error_code="" if is_ok else draw(names),
        error="" if is_ok else draw(words),
    )


@given(results())
def test_a_row_says_what_its_result_does(result: KneeResult) -> None:
    row = result.to_row()
    assert KneeResult.of_row(row) == result
    kept = json.loads(json.dumps(row))
    assert KneeResult.of_row(kept) == result
    assert KneeResult.of_row(kept).to_row() == row


@given(results())
def test_a_row_has_the_columns_of_the_table_and_no_other(result: KneeResult) -> None:
    columns = set(table_columns(list(result.tasks), osteophyte_areas=True))
    measured = set() if result.joint is not None else {*SPACE_COLUMNS, *SPUR_COLUMNS}
    assert set(result.to_row()) == columns - measured


def result_of_cells(cells: dict[str, object], columns: list[str]) -> KneeResult:
    """The result of a row that was read."""
    known = {name: cell for name, cell in cells.items() if not pd.isna(cell)}
    return KneeResult.of_row(dict.fromkeys(columns) | known)


@settings(max_examples=25, deadline=None)
@given(st.lists(results(), min_size=1, max_size=3))
def test_results_come_back_from_a_file(made: list[KneeResult]) -> None:
    tasks = [task for task in Task if any(task in result.tasks for result in made)]
    columns = table_columns(tasks, osteophyte_areas=True)
    rows = [result.to_row() for result in made]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "p.json"
        write_json(rows, columns, {"bundle": "tiny"}, path)
        table = read_predictions(path)
    found = [result_of_cells(cells, columns) for cells in table.to_dict("records")]
    assert found == made
