"""A phantom study goes the way of a release: files on disk -> knee table, beside its truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kneegrade.cohorts.most.read import read_most
from kneegrade.cohorts.oai.read import read_oai
from kneegrade.cohorts.releases.flow import StudyKnees
from kneegrade.images.read import read_radiograph
from kneegrade.phantoms.knees.severity import NARROWING, OSTEOPHYTES
from kneegrade.phantoms.studies.population import Study
from kneegrade.phantoms.studies.study import write_study
from kneegrade.types import Task

READERS = {Study.OAI: read_oai, Study.MOST: read_most}
KEY = ["subject_id", "visit_months", "side"]


@pytest.fixture(scope="module", params=list(Study))
def study(request, tmp_path_factory) -> tuple[Path, StudyKnees, pd.DataFrame]:
    folder = tmp_path_factory.mktemp(request.param.value)
    write_study(folder, study=request.param, n_subjects=14, seed=3, spacing_mm=2.0, n_workers=2)
    truth = pd.read_csv(folder / "truth.csv", dtype={"subject_id": "string"})
    return folder, READERS[request.param](folder, mode="full"), truth


def test_every_row_that_was_read_is_kept_or_counted(study):
    _, read, _ = study
    assert read.n_read == len(read.knees) + sum(step.dropped for step in read.flow)
    assert len(read.knees) > 60
    assert [step.left for step in read.flow][-1:] in ([len(read.knees)], [])


def test_each_knee_has_the_film_that_shows_it(study):
    folder, read, truth = study
    shown = truth.dropna(subset=["image_path"]).astype({"visit_months": "int64"})
    pairs = set(zip(*(shown[name] for name in (*KEY, "image_path")), strict=True))
    knees = read.knees.astype({"visit_months": "int64"})
    for row in knees[[*KEY, "image_path"]].itertuples(index=False):
        assert tuple(row) in pairs
    first = folder / knees["image_path"].iloc[0]
    assert min(read_radiograph(str(first)).pixels.shape) > 100


def test_what_readers_wrote_is_near_the_truth_but_not_the_truth(study):
    _, read, truth = study
    known = truth.drop_duplicates(KEY).astype({"visit_months": "int64"})
    joined = read.knees.astype({"visit_months": "int64"}).merge(known, on=KEY, suffixes=("", "_t"))
    assert len(joined) == len(read.knees)
    for task in (Task.KL, *OSTEOPHYTES, *NARROWING):
        both = joined[[task.value, f"{task.value}_t"]].dropna().to_numpy(dtype=float)
        away = np.abs(both[:, 0] - both[:, 1])
        assert away.mean() < 0.6, task
    assert (joined["kl"] != joined["kl_t"]).any()


def test_no_replaced_knee_is_in_the_table(study):
    _, read, truth = study
    replaced = truth[truth["replaced"] == 1].astype({"visit_months": "int64"})
    keys = set(zip(*(replaced[name] for name in KEY), strict=True))
    table = read.knees.astype({"visit_months": "int64"})
    assert not keys & set(zip(*(table[name] for name in KEY), strict=True))
