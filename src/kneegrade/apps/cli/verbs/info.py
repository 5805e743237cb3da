"""``kneegrade info``: versions, tasks, what a bundle holds; loads nothing heavy."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, Final

import typer

from kneegrade import __version__

LIBRARIES: Final = ("numpy", "pydicom", "opencv-python-headless", "onnxruntime", "pandas", "torch")
EXTRAS: Final = {
    "study": ("pyarrow", "Parquet files, knee tables, evaluation"),
    "train": ("torch", "training and export"),
}
"""A library that shows whether an extra is installed, and what the extra is for."""


def info(
    bundle: Annotated[str, typer.Option("--bundle", help="Name or folder of the bundle.")] = (
        "default"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show versions, and what a bundle grades and was trained on."""
    from kneegrade.bundles.manifest import read_bundle

    found = read_bundle(bundle)
    facts: dict[str, Any] = {
        "kneegrade": __version__,
        "python": platform.python_version(),
        "libraries": {name: _version_of(name) for name in LIBRARIES},
        "extras": {name: _version_of(library) is not None for name, (library, _) in EXTRAS.items()},
        "bundle": {
            "bundle_id": found.bundle_id,
            "folder": str(found.folder),
            "tasks": {spec.task.value: spec.decoding.value for spec in found.tasks},
            "members": len(found.members),
            "licence": found.licence,
            "training": found.training,
            "agreement": found.agreement,
        },
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    typer.echo(f"kneegrade {__version__} (Python {facts['python']})")
    for name, number in facts["libraries"].items():
        typer.echo(f"  {name} {number or 'not installed'}")
    for name, (_, purpose) in EXTRAS.items():
        state = "installed" if facts["extras"][name] else "not installed"
        typer.echo(f"extra [{name}] {state}: {purpose}")
    typer.echo(f"bundle {found.bundle_id} ({found.licence})")
    for spec in found.tasks:
        typer.echo(f"  {spec.task.value}: {spec.task.label}, reported as {spec.decoding.value}")
    typer.echo("Everything about it: MODEL_CARD.md in " + str(found.folder))
    typer.echo("Research use only. Not a medical device.")


def _version_of(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
