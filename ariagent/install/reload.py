"""Has a running Asterisk take what an installation changed, in an order that does no harm."""

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
    # The dialplan before the queues: a member whose extension is not there yet stays Invalid.
    "extensions.conf": DIALPLAN,
    "queues.conf": QUEUES,
}
"""In this order."""


def reload(console: Console, names: Iterable[str], progress: Progress) -> None:
    """``names``: the files that changed, as ``queues.conf``. Raises AsteriskError where Asterisk cannot be asked."""
    changed = set(names)
    for name, command in RELOADS.items():
        if name in changed:
            progress(command)
            console.ask(command)


def close_seats(console: Console, app: str) -> None:
    """The seats take no calls before the service has run. From then on it sets their state; Asterisk remembers it."""
    if f"'Custom:{app}'" not in console.ask("devstate list"):
        console.ask(f"devstate change Custom:{app} UNAVAILABLE")


def forget_seats(console: Console, app: str) -> None:
    """Take the seats' state out of Asterisk's memory."""
    console.ask(f"database del CustomDevstate {app}")


def load(console: Console, modules: Iterable[str], progress: Progress) -> list[str]:
    """Load modules that do not run yet; returns those that did not load.

    They are loaded before ``modules.conf`` names them: some modules end Asterisk when they do not load at its start.
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
        missing = left  # one that needs another one loads once that runs
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
