"""``kneegrade phantom``: nothing -> radiographs with known truth."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kneegrade import __version__
from kneegrade.apps.cli.options import WorkersOption
from kneegrade.errors import MissingExtraError, OutputError
from kneegrade.output import PART, writing_to
from kneegrade.types import Side, Task

if TYPE_CHECKING:
    from kneegrade.phantoms.films.film import PhantomFilm
    from kneegrade.phantoms.knees.severity import Severity

SCHEMA_VERSION: Final = 1
SMALLEST_MM: Final = 0.05
LARGEST_MM: Final = 2.0
NORMAL: Final = "normal"
IMPLANT: Final = "implant"

app = typer.Typer(
    help="Draw synthetic radiographs, with their true grades and landmarks.", no_args_is_help=True
)


class Sides(StrEnum):
    """Which knees a film shows."""

    RIGHT = "right"
    LEFT = "left"
    BOTH = "both"


class Release(StrEnum):
    """Whose formats a study is written in."""

    OAI = "oai"
    MOST = "most"


SeedOption = Annotated[int, typer.Option(min=0, help="The same seed draws the same knees.")]
SpacingOption = Annotated[
    float | None,
    typer.Option(
        "--spacing",
        min=SMALLEST_MM,
        max=LARGEST_MM,
        metavar="MM",
        help="Size of a pixel; the scanner's own if not given.",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")]
FilmOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help="The film, as DICOM. Its truth is written beside it, with the suffix .json.",
    ),
]
GradesOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[SIDE:]GRADES",
        help="Grades of a knee (of every knee, without SIDE): 'jsn_m=3,fo_m=2', 'kl=2', 'normal' "
        "or 'implant'. Grades that are not given are drawn to go with the rest. May be given once "
        "per side: --grades right:jsn_m=3 --grades left:normal.",
        show_default=False,
    ),
]
ScannerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Look of the film; drawn at random from the seed.", show_default=False
    ),
]
SizeOption = Annotated[
    str | None,
    typer.Option(
        metavar="ROWSxCOLS", help="Size of the film in mm, such as 350x430.", show_default=False
    ),
]


@app.command()
def film(
    seed: SeedOption,
    out: FilmOption,
    side: Annotated[Sides, typer.Option(help="Which knees the film shows.")] = Sides.BOTH,
    grades: GradesOption = None,
    scanner: ScannerOption = None,
    spacing: SpacingOption = None,
    size: SizeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw one radiograph and write it with its truth."""
    import numpy as np

    from kneegrade.phantoms.films.film import draw_film
    from kneegrade.phantoms.films.scanners import SCANNERS
    from kneegrade.phantoms.knees.shape import draw_body
    from kneegrade.phantoms.studies.population import Study, draw_subject

    sides = [s for s in Side if side in {Sides.BOTH.value, s.value}]
    if out.suffix.lower() == ".json":
        raise OutputError(
            "input.conflict",
            f"The film and its truth need two names. Got --out {str(out)!r}.",
            "Give --out a name that ends in .dcm: the truth is written beside it.",
        )
    if scanner is not None and scanner not in SCANNERS:
        raise typer.BadParameter(
            f"The scanners are {', '.join(SCANNERS)}. Got {scanner!r}.", param_hint="--scanner"
        )
    subject = draw_subject(Study.OAI, 1, seed)
    drawn = {s: subject.visits[0].severity[s] for s in sides}
    knees = drawn | _draw_asked(_parse_grades(grades or [], sides), seed)
    rng = np.random.default_rng(seed)
    drawn_name = str(rng.choice(list(SCANNERS)))
    name = scanner or drawn_name
    picture = draw_film(
        body=draw_body(sex=subject.sex, bmi=subject.bmi, rng=rng),
        knees=knees,
        scanner=SCANNERS[name],
        size_mm=None if size is None else _parse_size(size, len(sides)),
        spacing_mm=spacing,
        rng=rng,
    )
    truth = _describe_film(picture, seed, name)
    _write_film(out, picture, truth)
    if as_json:
        typer.echo(json.dumps({"film": str(out), "truth": str(out.with_suffix(".json"))} | truth))
        return
    rows, cols = picture.pixels.shape
    typer.echo(f"{out}: {rows} x {cols} px of {picture.spacing_mm:g} mm, scanner {name}")
    for each, knee in truth["knees"].items():
        shown = " ".join(f"{t}={g}" for t, g in knee.get("grades", {}).items())
        typer.echo(f"  {each}: {shown or IMPLANT}")


@app.command()
def study(
    like: Annotated[Release, typer.Option(help="Study whose formats and population to imitate.")],
    subjects: Annotated[int, typer.Option(help="Number of people, 1 or more.")],
    seed: SeedOption,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the study.")],
    spacing: SpacingOption = None,
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a whole study: films, tables and the truth; continues where it stopped."""
    try:
        from kneegrade.phantoms.studies.population import Study
        from kneegrade.phantoms.studies.study import TRUTH, write_study
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("kneegrade"):
            raise
        raise MissingExtraError.for_extra("study", "kneegrade phantom study") from error
    from kneegrade.apps.cli.progress import show_progress

    with show_progress("Drawing films") as on_progress:
        written = write_study(
            out,
            study=Study(like.value),
            n_subjects=subjects,
            seed=seed,
            spacing_mm=spacing,
            n_workers=workers,
            on_progress=on_progress,
        )
    summary = {
        "study": like.value,
        "subjects": written.n_subjects,
        "visits": written.n_visits,
        "films": written.n_films,
        "films_drawn_now": written.n_drawn,
        "folder": str(out),
        "truth": str(out / TRUTH),
    }
    if as_json:
        typer.echo(json.dumps(summary, indent=2))
        return
    typer.echo(
        f"{written.n_subjects} subjects, {written.n_visits} visits, {written.n_films} films in "
        f"{out} ({written.n_drawn} drawn now)"
    )


def _parse_grades(
    texts: Sequence[str], sides: Sequence[Side]
) -> dict[Side, dict[Task, int] | None]:
    """What is asked of each knee: grades, or None for an implant."""
    asked: dict[Side, dict[Task, int] | None] = {}
    for text in texts:
        before, colon, values = text.rpartition(":")
        try:
            named = [Side.parse(before)] if colon else list(sides)
            wanted = _parse_knee(values)
        except ValueError as error:
            raise OutputError(
                "phantom.grade-invalid",
                f"--grades takes something like right:jsn_m=3,fo_m=2. Got {text!r}: {error}",
                "See kneegrade phantom film --help.",
            ) from error
        for side in named:
            if side not in sides or side in asked:
                raise OutputError(
                    "input.conflict",
                    f"The {side.value} knee is not on the film, or was given twice. Got {text!r}.",
                    "Give --grades once for each knee that --side shows.",
                )
            asked[side] = wanted
    return asked


def _parse_knee(text: str) -> dict[Task, int] | None:
    """Read ``jsn_m=3,fo_m=2``, ``normal`` or ``implant``."""
    if text.strip().lower() == IMPLANT:
        return None
    if text.strip().lower() == NORMAL:
        return dict.fromkeys(Task, 0)
    pairs = [part.partition("=") for part in text.split(",")]
    return {Task(name.strip().lower()): int(grade) for name, _, grade in pairs}


def _draw_asked(
    asked: Mapping[Side, Mapping[Task, int] | None], seed: int
) -> "dict[Side, Severity | None]":
    from kneegrade.phantoms.studies.likely_knee import draw_likely_knee

    return {
        side: None if grades is None else draw_likely_knee(grades, seed=seed)
        for side, grades in asked.items()
    }


def _parse_size(text: str, n_knees: int) -> tuple[float, float]:
    from kneegrade.phantoms.films.film import check_film_size

    rows, _, cols = text.lower().partition("x")
    try:
        size = float(rows), float(cols)
        check_film_size(size, 1, n_knees=n_knees)
    except ValueError as error:
        raise OutputError(
            "phantom.size-invalid",
            f"--size is rows x columns in mm, such as 350x430. Got {text!r}: {error}",
            "Leave --size out for a film of the usual size.",
        ) from error
    return size


def _describe_film(picture: "PhantomFilm", seed: int, scanner: str) -> dict[str, Any]:
    """The truth of a film, for JSON."""
    from kneegrade.phantoms.studies.ordered_film import describe_knee

    rows, cols = picture.pixels.shape
    return {
        "schema_version": SCHEMA_VERSION,
        "synthetic": True,
        "kneegrade": __version__,
        "seed": seed,
        "scanner": scanner,
        "spacing_mm": picture.spacing_mm,
        "rows": rows,
        "cols": cols,
        "knees": {side.value: describe_knee(knee) for side, knee in picture.knees.items()},
    }


def _write_film(out: Path, picture: "PhantomFilm", truth: Mapping[str, Any]) -> None:
    """Write film and truth, each under a temporary name first."""
    from kneegrade.phantoms.films.dicom_film import write_dicom_film

    beside = out.with_suffix(".json")
    parts = [path.with_name(path.name + PART) for path in (out, beside)]
    with writing_to(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_dicom_film(parts[0], picture)
        parts[1].write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
        parts[0].replace(out)
        parts[1].replace(beside)
