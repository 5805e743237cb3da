"""Options and fixtures of the whole suite."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Small networks on few cores: threads that wait for one another cost more than they save.
os.environ.setdefault("OMP_NUM_THREADS", "1")

BESIDE_THE_PROJECT = Path(__file__).parents[2] / "shared" / "data"


# The same examples in every run: a failure can be repeated.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--real-data",
        type=Path,
        default=BESIDE_THE_PROJECT if BESIDE_THE_PROJECT.is_dir() else None,
        metavar="DIR",
        help="folder with the openly licensed real films (knee-kl, knee-plain, not-knees)",
    )
    parser.addoption(
        "--bless",
        action="store_true",
        help="write the golden values anew (see CONTRIBUTING.md) instead of comparing with them",
    )


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """Folder of the openly licensed real films; the test is skipped where there is none."""
    folder: Path | None = request.config.getoption("--real-data")
    if folder is None:
        pytest.skip("needs the real films: pytest --real-data DIR (see CONTRIBUTING.md)")
    return folder.resolve()


@pytest.fixture(scope="session")
def bless(request: pytest.FixtureRequest) -> bool:
    """Whether the golden values are to be written anew."""
    wanted: bool = request.config.getoption("--bless")
    return wanted
