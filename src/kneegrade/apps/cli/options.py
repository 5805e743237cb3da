"""Options that several verbs have."""

from typing import Annotated

import typer

WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, help="Processes; all cores if it is not given.", show_default=False
    ),
]
