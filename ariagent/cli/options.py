"""Common parts of the commands: options and errors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from ariagent import configfile
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.ours import STATE

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help=f"Settings file (YAML). Default: ${configfile.PATH_NAME}, else {configfile.DEFAULT_PATH}",
    ),
]

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state-directory", metavar="DIR", help=f"Folder for backups and the list of changes. Default: /{STATE}"
    ),
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def can_ask() -> bool:
    """Whether the command runs at a terminal, so that it can ask questions."""
    return sys.stdin.isatty()


@contextmanager
def failing() -> Iterator[None]:
    """Ends the command with ``fail`` if an AriagentError is raised in the context."""
    try:
        yield
    except AriagentError as error:
        fail(error)


def fail(error: AriagentError) -> NoReturn:
    """Print the error to standard error and exit: code 2 for settings and usage, else 1."""
    typer.echo(f"ariagent: {error.line}", err=True)
    raise typer.Exit(2 if isinstance(error, ConfigurationError) else 1)
