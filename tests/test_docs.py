"""The documentation tells the truth: commands run or at least parse, tables are complete."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from kneegrade import Flag, Task, __version__
from kneegrade.apps.cli.main import app
from kneegrade.bundles.manifest import DEFAULT_FOLDER
from kneegrade.errors import CODES
from kneegrade.grading.predictions import (
    FIRST_COLUMNS,
    LAST_COLUMNS,
    SPACE_COLUMNS,
    task_columns,
)
from kneegrade.images.archives import ARCHIVE_SUFFIXES
from kneegrade.images.formats import FORMATS, GIVE_A_PICTURE, PICTURE_SUFFIXES
from kneegrade.images.read import read_radiograph

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RECIPE = ROOT / "src" / "kneegrade" / "training" / "recipes" / "kl-lite0.toml"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS]
MOST_LINES = 149
REGISTRIES = ("pypi.org", "pythonhosted.org", "anaconda.org", "npmjs.com", "hub.docker.com")
HAS_BUNDLE = (DEFAULT_FOLDER / "bundle.json").is_file()

PIP_OPTIONS = {
    *("--no-deps", "--wheel-dir", "--constraint", "--dest", "--no-index", "--find-links"),
}

NO_BUNDLE = "the embedded bundle is not there yet"

needs_bundle = pytest.mark.skipif(not HAS_BUNDLE, reason=NO_BUNDLE)


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    lines = [line for block in blocks(page, "bash") for line in block.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def rows(page: Path) -> list[list[str]]:
    """Cells of every table row of a page, without back quotes."""
    lines = [line for line in read(page).splitlines() if line.startswith("|")]
    return [[cell.strip().replace("`", "") for cell in line.split("|")[1:-1]] for line in lines]


def verbs(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    command = command or typer.main.get_command(app)
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from verbs(child, (*path, name))


def check_kneegrade(words: list[str]) -> None:
    """Parse a call as the command would, without running it."""
    by_path = dict(verbs())
    path = tuple(words[:2]) if tuple(words[:2]) in by_path else tuple(words[:1])
    assert path in by_path, f"no such verb: {words}"
    by_path[path].make_context(" ".join(path), words[len(path) :])


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert set(words) <= targets


def check_pip(words: list[str]) -> None:
    extras = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    assert words[0] in {"install", "wheel", "download"}
    assert {word for word in words if word.startswith("--")} <= PIP_OPTIONS
    assert all(set(re.findall(r"\[(\w+)\]", word)) <= set(extras) for word in words)


def check_pytest(words: list[str]) -> None:
    options = read(ROOT / "tests" / "conftest.py")
    assert all(word in options for word in words if word.startswith("-"))
    folders = [word for word in words if word.startswith("tests")]
    assert all((ROOT / folder).is_dir() for folder in folders)


CHECKS = {
    "kneegrade": check_kneegrade,
    "make": check_make,
    "pip": check_pip,
    "pytest": check_pytest,
}


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "bash")], ids=lambda p: p.name)
def test_every_command_exists(page: Path) -> None:
    for program, *words in commands(page):
        CHECKS[Path(program).name](words)


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("grad x", "no such verb"),
        ("grade x --ouput y", "No such option"),
        ("grade x --input foot", "auto, crop or film"),
    ],
)
def test_a_wrong_command_is_noticed(call: str, wrong: str) -> None:
    with pytest.raises(Exception, match=wrong):
        check_kneegrade(call.split())


@needs_bundle
def test_the_commands_on_shipped_films_run(tmp_path: Path) -> None:
    (tmp_path / "demo").symlink_to(ROOT / "demo")
    (block,) = [block for block in blocks(README, "bash") if "demo/films" in block]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-euc", block], cwd=tmp_path, env={**os.environ, "PATH": path}, check=True
    )
    with (tmp_path / "results" / "predictions.csv").open(newline="") as file:
        graded = list(csv.DictReader(file))
    assert len(graded) == len(list((ROOT / "demo" / "films").iterdir()))
    refused = {row["source"] for row in graded if row["status"] != "ok"}
    assert refused == {"demo/films/09-implant-left.dcm"}
    assert {path.name for path in (tmp_path / "results").iterdir()} >= {
        *("predictions.json", "predictions.csv", "predictions.parquet", "report.html")
    }


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_runs(page: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(ROOT)
    for block in blocks(page, "python"):
        code = compile(block, page.name, "exec")
        if "KneeGrader" in block and not HAS_BUNDLE:
            pytest.skip(NO_BUNDLE)
        exec(code, {})
        assert capsys.readouterr().out.strip()


def test_every_verb_is_documented() -> None:
    text = "\n".join(map(read, [README, *DOCS]))
    missing = [path for path, _ in verbs() if f"kneegrade {' '.join(path)}" not in text]
    assert not missing


def test_every_option_that_is_named_exists() -> None:
    known = {option for _, command in verbs() for p in command.params for option in p.opts}
    known |= {"--help", "--version", "--verbose", "--real-data", "--bless"} | PIP_OPTIONS
    pattern = r"(?<!-)--[a-z][a-z0-9-]*"
    named = {option for page in PAGES for option in re.findall(pattern, read(page))}
    assert named
    assert named <= known


def test_every_code_and_flag_is_documented_and_no_other() -> None:
    documented = rows(ROOT / "docs" / "errors.md")
    assert {row[0]: row[1] for row in documented if "." in row[0]} == dict(CODES)
    assert all(row[2] for row in documented if row[0] in CODES)
    titles = {"code", "flag", "---"}
    flags = {row[0]: row[1] for row in documented if "." not in row[0] and row[0] not in titles}
    assert flags == {flag.value: flag.meaning for flag in Flag}


def test_every_format_and_suffix_is_documented() -> None:
    page = read(ROOT / "docs" / "grading.md")
    for name in (*FORMATS, *PICTURE_SUFFIXES, *ARCHIVE_SUFFIXES):
        assert name in page
    assert all(name in read(README) for name in FORMATS)
    assert GIVE_A_PICTURE.removesuffix(".") in read(ROOT / "docs" / "errors.md")


def test_the_recipe_is_documented_as_it_ships() -> None:
    shipped: dict[str, str] = {}
    for name, value in tomllib.loads(read(RECIPE)).items():
        is_table = isinstance(value, dict)
        for key, single in value.items() if is_table else [("", value)]:
            parts = single.values() if isinstance(single, dict) else single
            text = ", ".join(map(str, parts)) if isinstance(single, dict | list) else str(single)
            shipped[f"{name}.{key}" if is_table else name] = text.lower()
    documented = {row[0]: row[1] for row in rows(ROOT / "docs" / "training.md")}
    assert shipped.items() <= documented.items()


def test_every_column_is_documented() -> None:
    text = read(ROOT / "docs" / "grading.md")
    probabilities = [f"kl_p{grade}" for grade in range(1, Task.KL.n_grades - 1)]
    columns = {*FIRST_COLUMNS, *task_columns(Task.KL), *LAST_COLUMNS} - set(probabilities)
    columns |= {name for name in SPACE_COLUMNS if name.startswith("jsw_") and "fixed" not in name}
    columns |= {"fta_deg", "plateau_width_mm", "spacing_source"}
    assert not [name for name in columns if f"`{name}`" not in text]


@needs_bundle
def test_every_field_of_a_bundle_is_documented() -> None:
    manifest = json.loads(read(DEFAULT_FOLDER / "bundle.json"))
    fields = {f"input.{name}" for name in manifest["input"]} | set(manifest) - {"input"}
    text = read(ROOT / "docs" / "bundles.md")
    assert not [name for name in fields if f"`{name}`" not in text]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", read(page)):
        if link.startswith("http"):
            assert not any(registry in link for registry in REGISTRIES)
            continue
        target = page.parent / link
        assert target.exists() or (DEFAULT_FOLDER in target.parents and not HAS_BUNDLE), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_nothing_outside_the_project(page: Path) -> None:
    assert not re.search(r"\.\./shared|/work/|/tmp/|/home/", read(page))


def test_readme_is_short_and_says_what_it_does_not_do_first() -> None:
    lines = read(README).splitlines()
    assert len(lines) <= MOST_LINES
    first_screen = " ".join(" ".join(lines[:40]).split())
    for needed in (
        *("OAI or MOST", "Research use only", "not a medical device", "six OARSI grades"),
        *("patellofemoral", "fracture", "tumour", "implant", "refused"),
    ):
        assert needed.lower() in first_screen.lower()


@needs_bundle
def test_every_figure_of_the_readme_is_in_the_model_card() -> None:
    measured = read(README).partition("Measured (all")[2].partition("\n## ")[0]
    figures = set(re.findall(r"\d+\.\d+|\b\d{2,}\b", measured))
    assert {"0.800", "819", "0.842", "95.2"} <= figures
    card = set(re.findall(r"\d+\.\d+|\b\d+\b", read(DEFAULT_FOLDER / "MODEL_CARD.md")))
    assert figures <= card


def test_real_films_ship_with_the_line_that_their_licence_asks_for() -> None:
    folder = ROOT / "demo" / "real"
    line, *rest = read(folder / "ATTRIBUTION.txt").splitlines()
    assert "https://creativecommons.org/licenses/by/4.0/" in " ".join(rest)
    for page in (README, ROOT / "docs" / "clinicians.md"):
        assert "knees.png" in read(page)
        assert line in " ".join(read(page).replace("\n> ", " ").split())
    assert "head -n 1 demo/real/ATTRIBUTION.txt" in read(ROOT / "Makefile")
    films = [path for path in folder.iterdir() if path.suffix != ".txt"]
    assert len(films) == 3
    assert all(Flag.SYNTHETIC not in read_radiograph(film).flags for film in films)


def test_every_place_a_change_goes_to_exists() -> None:
    table = (
        read(ROOT / "CONTRIBUTING.md").partition("## Where a change goes")[2].partition("\n## ")[0]
    )
    places = {
        place
        for line in table.splitlines()
        if line.startswith("|")
        for place in re.findall(r"`([\w./-]+(?:/|\.\w+))`", line.split("|")[2])
    }
    assert len(places) > 20
    assert not [
        place
        for place in places
        if not (ROOT / place).exists() and not (ROOT / "src" / "kneegrade" / place).exists()
    ]


def test_every_picture_of_the_docs_is_drawn_by_a_command() -> None:
    script = read(ROOT / "docs" / "make_pictures.py")
    pictures = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in {".png", ".jpg"}}
    assert pictures == set(re.findall(r"(?m)\b([a-z]+\.png)\b", script))
    pages = "\n".join(map(read, [README, *DOCS]))
    assert all(f"{name})" in pages for name in pictures)


def test_version_and_changed_grades() -> None:
    assert f"\nversion: {__version__}\n" in read(ROOT / "CITATION.cff")
    versions = read(ROOT / "CHANGELOG.md").split("\n## ")[1:]
    assert versions[0].startswith(__version__)
    assert all(version.split("\n### ")[1].startswith("Changed grades") for version in versions)
