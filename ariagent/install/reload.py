"""Reloads a running Asterisk after an installation, in a safe order."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from ariagent.errors import AsteriskError
from ariagent.install.console import Console

Progress = Callable[[str], None]

DIALPLAN = "dialplan reload"
QUEUES = "queue reload all"
RELOADS = {
    "http.conf": "module reload http",
    "manager.conf": "module reload manager",
    "ari.conf": "module reload res_ari.so",
    # The dialplan before the queues: a member whose extension does not exist yet stays Invalid.
    "extensions.conf": DIALPLAN,
    "queues.conf": QUEUES,
}
"""File -> console command, in the order of the reloads."""


def reload(console: Console, names: Iterable[str], progress: Progress) -> None:
    """Reload ``names``, the changed files, as ``queues.conf``. Raises AsteriskError if the console does not answer."""
    changed = set(names)
    for name, command in RELOADS.items():
        if name in changed:
            progress(command)
            console.ask(command)


def close_seats(console: Console, app: str) -> None:
    """Close the seats until the service runs for the first time. Then the service sets their state, and Asterisk keeps
    it."""
    if f"'Custom:{app}'" not in console.ask("devstate list"):
        console.ask(f"devstate change Custom:{app} UNAVAILABLE")


def forget_seats(console: Console, app: str) -> None:
    """Remove the seats' state from Asterisk's database."""
    console.ask(f"database del CustomDevstate {app}")


def load(console: Console, modules: Iterable[str], progress: Progress) -> list[str]:
    """Load the modules that do not run yet; returns those that did not load.

    They are loaded before ``modules.conf`` names them: if some modules fail to load at Asterisk's start, it exits.
    """
    missing = [name for name in modules if not is_running(console, name)]
    while missing:
        for name in missing:
            progress(f"module load {name}.so")
            with suppress(AsteriskError):
                console.ask(f"module load {name}.so")
        left = [name for name in missing if not is_running(console, name)]
        if len(left) == len(missing):
            break
        missing = left  # a module that needs another one loads in the next round
    return missing


def is_running(console: Console, module: str) -> bool:
    """Whether a module is loaded and runs."""
    shown = console.ask(f"module show like {module}.so")
    return any(line.split()[:1] == [f"{module}.so"] and " Running" in line for line in shown.splitlines())


def log_files(console: Console, folder: Path) -> list[Path]:
    """The log files that Asterisk writes warnings and errors to."""
    found = []
    for line in console.ask("logger show channels").splitlines():
        words = line.split()
        if len(words) > 2 and words[1] == "File" and words[2] == "Enabled":
            path = Path(words[0])
            found.append(path if path.is_absolute() else folder / path)
    return [path for path in found if path.exists()]
