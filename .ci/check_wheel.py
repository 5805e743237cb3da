"""Check that the package installs and grades where there is no checkout.

Usage: python .ci/check_wheel.py   (or: make wheel)

Builds the sdist, and the wheel from it; checks that every file of src/kneegrade is in the wheel;
installs the wheel without extras, offline from a folder of wheels as docs/engineering.md describes,
into a new virtual environment, and grades films with it.
"""

import csv
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
FILMS = {
    "demo/real/OP114.jpg": "ok",
    "demo/films/01-normal-right.dcm": "ok",
    "demo/films/09-implant-left.dcm": "refused",
}


def _run(*command: str | Path, cwd: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([str(word) for word in command], cwd=cwd, env=environment, check=True)


def _make_environment(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def _pip(python: Path, verb: str, *words: str | Path) -> None:
    quiet = ("--quiet", "--disable-pip-version-check")
    _run(python, "-m", "pip", verb, *quiet, *words, cwd=python.parent)


def _unpack_sdist(sdist: Path, folder: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


def _source_files() -> set[str]:
    """Every file that the package ships, as the wheel names it."""
    files = (path for path in (ROOT / "src" / "kneegrade").rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT / "src").as_posix()
        for path in files
        if "__pycache__" not in path.parts
    }


def _check_contents(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    missing, unknown = _source_files() - names, names - _source_files()
    if missing or unknown:
        sys.exit(f"Not in the wheel: {sorted(missing)}. Not in the source: {sorted(unknown)}.")


def _check_grades(python: Path, folder: Path) -> None:
    extras = "import importlib.util as u, sys; sys.exit(any(map(u.find_spec, ('pandas', 'torch'))))"
    _run(python, "-c", extras, cwd=folder)
    films = [ROOT / film for film in FILMS]
    _run(python.parent / "kneegrade", "grade", *films, "--out", "results", cwd=folder)
    with (folder / "results" / "predictions.csv").open(newline="") as file:
        found = {Path(row["source"]).name: row["status"] for row in csv.DictReader(file)}
    if found != {Path(film).name: status for film, status in FILMS.items()}:
        sys.exit(f"The wheel graded otherwise than expected: {found}.")
    if not (folder / "results" / "report.html").is_file():
        sys.exit("The wheel wrote no report.html.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        builder = _make_environment(work / "builder")
        _pip(builder, "install", *settings["build-system"]["requires"])
        _run(builder, "-m", "hatchling", "build", "-t", "sdist", "-d", work / "sdist", cwd=ROOT)
        (sdist,) = (work / "sdist").iterdir()
        source = _unpack_sdist(sdist, work / "unpacked")
        _run(builder, "-m", "hatchling", "build", "-t", "wheel", "-d", work / "wheel", cwd=source)
        (wheel,) = (work / "wheel").iterdir()
        _check_contents(wheel)
        house = work / "wheelhouse"
        _pip(builder, "download", "--constraint", CONSTRAINTS, "--dest", house, wheel)
        python = _make_environment(work / "installed")
        _pip(python, "install", "--no-index", "--find-links", house, "kneegrade")
        (work / "elsewhere").mkdir()
        _check_grades(python, work / "elsewhere")
        sizes = f"{wheel.stat().st_size / 1e6:.0f} MB, sdist {sdist.stat().st_size / 1e6:.0f} MB"
        sys.stdout.write(f"The wheel ({sizes}) holds every file, installs and grades.\n")
