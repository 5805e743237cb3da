"""``kneegrade``: the command, its verbs and its exit codes.

0 all done; 1 some inputs failed, the rest is written; 2 wrong usage; 3 nothing could be done; 70
our bug. Results go to stdout, everything else to stderr.
"""

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kneegrade import __version__
from kneegrade.apps.cli.exit_codes import INTERRUPTED, NOTHING_DONE, OUR_BUG, USAGE
from kneegrade.apps.cli.verbs.cohort import app as cohort_app
from kneegrade.apps.cli.verbs.evaluate import evaluate
from kneegrade.apps.cli.verbs.export import export
from kneegrade.apps.cli.verbs.grade import grade
from kneegrade.apps.cli.verbs.info import info
from kneegrade.apps.cli.verbs.phantom import app as phantom_app
from kneegrade.apps.cli.verbs.prepare import prepare
from kneegrade.apps.cli.verbs.train import train
from kneegrade.errors import KneegradeError

USAGE_CODES = frozenset(
    {
        "input.conflict",
        *("phantom.grade-invalid", "phantom.size-invalid", "phantom.subjects-invalid"),
    }
)


class _Verbs(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run the verb; say so where the user stops it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("kneegrade: interrupted; the same command continues.", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="kneegrade",
    cls=_Verbs,
    help="Reads knee radiographs: Kellgren-Lawrence grades and joint space widths; OARSI grades "
    "with a bundle trained on them. Research use only.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(grade)
app.add_typer(cohort_app, name="cohort")
app.add_typer(phantom_app, name="phantom")
for verb in (prepare, train, export, evaluate, info):
    app.command()(verb)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kneegrade {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Log what is done, on stderr.")
    ] = False,
) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(message)s")
    # pydicom's log quotes header values, which may be a patient's; it sets its own level later.
    quiet = logging.getLogger("pydicom")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False


def main() -> None:
    """Run the command; turn errors into one line and an exit code."""
    try:
        app(prog_name="kneegrade")
    except KneegradeError as error:
        typer.echo(f"kneegrade: {error}", err=True)
        sys.exit(USAGE if error.code in USAGE_CODES else NOTHING_DONE)
    except Exception:
        logging.getLogger(__name__).exception("This is a bug in kneegrade. Please report it.")
        sys.exit(OUR_BUG)
