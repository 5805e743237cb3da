import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def knees() -> pd.DataFrame:
    """Both knees of 30 subjects at one visit, graded by one team."""
    rng = np.random.default_rng(3)
    subjects = [f"00{number}" for number in range(30)]
    return pd.DataFrame(
        {
            "cohort": "oai",
            "subject_id": np.repeat(subjects, 2),
            "visit_months": pd.array([0] * 60, dtype="Int16"),
            "side": ["right", "left"] * 30,
            "reading": "bu",
            "image_path": [f"films/{s}-{side}.png" for s in subjects for side in ("r", "l")],
            "kl": pd.array(rng.integers(0, 5, size=60), dtype="Int8"),
            "jsn_m": pd.array(rng.integers(0, 4, size=60), dtype="Int8"),
        }
    )


@pytest.fixture
def predictions(knees: pd.DataFrame) -> pd.DataFrame:
    """A prediction for every knee, within one grade of the truth, with probabilities."""
    rng = np.random.default_rng(4)
    grades = np.clip(knees["kl"].to_numpy(int) + rng.integers(-1, 2, size=60), 0, 4)
    probabilities = 0.7 * np.eye(5)[grades] + 0.3 * rng.dirichlet(np.ones(5), size=60)
    table = knees.drop(columns=["image_path", "jsn_m"]).assign(
        source=knees["image_path"], status="ok", error_code=None, kl=grades, bundle_id="b1"
    )
    return table.assign(**{f"kl_p{grade}": probabilities[:, grade] for grade in range(5)})
