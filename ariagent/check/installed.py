"""Whether Asterisk runs with what ``ariagent install`` wrote, by its console.

Asked right after an installation, and at any time later, also after a restart of Asterisk. Only root and Asterisk's own
user may use the console.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ariagent import __version__
from ariagent.check.report import Result, failed, ok, warning
from ariagent.install.choices import Choices
from ariagent.install.console import Console
from ariagent.install.ours import FOLDER
from ariagent.install.reload import is_running, log_files

CONTEXTS = (
    "ariagent-internal",
    "ariagent-queue",
    "ariagent-direct",
    "ariagent-seat",
    "ariagent-human",
    "ariagent-handoff",
)
_ABSENT = "There is no existence of"
_LOOK = (
    "Run `ariagent install --apply`, which has Asterisk read its files again. "
    "If that does not help, look at Asterisk's log"
)
_TROUBLE = re.compile(
    r"\b(?:WARNING|ERROR)\b.*\b(config|pbx_config|pbx|app_queue|res_sorcery_config|sorcery|manager|http|res_ari\w*|loader)\.c"
)


def check_installed(console: Console, choices: Choices) -> Iterator[Result]:
    """Every part of the installation, as Asterisk has it now. Raises AsteriskError where it cannot be asked."""
    yield from _dialplan(console, choices)
    yield from _queues(console, choices)
    yield judge_http(console.ask("http show status"))
    yield _user("ARI user", console.ask(f"ari show user {choices.ari_user}"), choices.ari_user, "not found", "ari.conf")
    yield _user(
        "manager user",
        console.ask(f"manager show user {choices.ami_user}"),
        choices.ami_user,
        "There is no manager called",
        "manager.conf",
    )


def _dialplan(console: Console, choices: Choices) -> Iterator[Result]:
    name = "dialplan"
    missing = [context for context in CONTEXTS if _ABSENT in console.ask(f"dialplan show {context}")]
    if missing:
        found = f"Asterisk's dialplan has no context {', '.join(missing)}"
        yield failed(name, found, _LOOK)
        return
    yield judge_version(console.ask("dialplan show globals"))
    for context in dict.fromkeys(("ariagent-internal", *choices.contexts)):
        shown = {number: console.ask(f"dialplan show {number}@{context}") for number in choices.all_numbers}
        lost = [number for number, text in shown.items() if "ariagent-" not in text]
        if lost:
            yield failed(name, f"{', '.join(lost)} in the context {context} does not reach ariagent", _LOOK)
        else:
            yield ok(name, f"{', '.join(choices.all_numbers)} in the context {context} reaches ariagent")


def judge_version(globals_shown: str) -> Result:
    """Compares the dialplan's version with this package's. No I/O."""
    found = re.search(r"ARIAGENT_DIALPLAN=(\S*)", globals_shown)
    version = found[1] if found else "without a number"
    if version == __version__:
        return ok("dialplan", f"version {version}, as the package")
    remedy = "Run `ariagent install`, which shows what is new, then `ariagent install --apply`"
    return warning("dialplan", f"version {version}, and the package is {__version__}", remedy)


def _queues(console: Console, choices: Choices) -> Iterator[Result]:
    yield judge_seats(choices.ai_queue, console.ask(f"queue show {choices.ai_queue}"), choices.seats)
    if choices.human_queue:
        shown = console.ask(f"queue show {choices.human_queue}")
        yield judge_human_queue(choices.human_queue, shown, last_resort=choices.last_resort)


def members(shown: str) -> dict[str, bool]:
    """Interface -> whether Asterisk can ring it, of what ``queue show NAME`` prints. No I/O."""
    found: dict[str, bool] = {}
    inside = False
    for line in shown.splitlines():
        if line.strip().startswith("Members:"):
            inside = True
        elif line.strip().startswith(("Callers:", "No Callers", "No Members")):
            inside = False
        elif inside and (match := re.search(r"\((\S+/\S+?)(?: from \S+)?\)", line) or re.match(r"\s+(\S+/\S+)", line)):
            found[match[1]] = "(Invalid)" not in line
    return found


def judge_seats(queue: str, shown: str, seats: int) -> Result:
    """The queue of AI seats, from what ``queue show NAME`` prints. No I/O."""
    name = "seats"
    if "No such queue" in shown:
        return failed(name, f"there is no queue {queue}", _LOOK)
    found = members(shown)
    invalid = [interface for interface, usable in found.items() if not usable]
    if invalid:
        what = f"{len(invalid)} of {len(found)} members of {queue} are Invalid, the first is {invalid[0]}"
        return failed(name, what, f"Their dialplan was loaded after the queue. {_LOOK}")
    if len(found) < seats:
        return failed(name, f"{queue} has {len(found)} members, not {seats}", _LOOK)
    return ok(name, f"{queue} has {len(found)} members")


def judge_human_queue(queue: str, shown: str, *, last_resort: str) -> Result:
    """The queue of human agents, from what ``queue show NAME`` prints. No I/O."""
    name = "human queue"
    if "No such queue" in shown:
        remedy = "Make the queue, or name another: `ariagent install --human-queue NAME --apply`"
        return failed(name, f"there is no queue {queue}: callers whom the AI cannot help are turned away", remedy)
    found = members(shown)
    usable = sum(found.values())
    if usable:
        return ok(name, f"{queue} has {len(found)} members, {usable} of them can be rung")
    what = (
        f"{queue} has no members" if not found else f"none of the {len(found)} members of {queue} can be rung (Invalid)"
    )
    remedy = (
        "Have human agents log in, or name a last resort: `ariagent install --last-resort CONTEXT,EXTENSION,PRIORITY`"
    )
    return warning(name, f"{what}; the last resort takes over", "") if last_resort else failed(name, what, remedy)


def judge_http(shown: str) -> Result:
    """Asterisk's HTTP server, from what ``http show status`` prints. No I/O."""
    found = re.search(r"Server Enabled and Bound to (\S+)", shown)
    if found is None:
        return failed(
            "HTTP server", "Asterisk's HTTP server is disabled", "Set enabled = yes in [general] of http.conf"
        )
    return ok("HTTP server", f"enabled, at {found[1]}")


def _user(name: str, shown: str, user: str, absent: str, file: str) -> Result:
    if absent in shown or user not in shown:
        return failed(name, f"Asterisk does not know the user {user}", f"{file} did not load. {_LOOK}")
    return ok(name, f"Asterisk knows the user {user}")


def log_sizes(console: Console, folder: Path) -> Mapping[Path, int]:
    """Each of Asterisk's log files, and how long it is now (bytes)."""
    return {path: path.stat().st_size for path in log_files(console, folder)}


def check_log(since: Mapping[Path, int]) -> Result:
    """What Asterisk has written about its configuration since ``log_sizes``."""
    lines: list[str] = []
    for path, size in since.items():
        with path.open("rb") as file:
            # A log that was rotated meanwhile begins anew.
            file.seek(size if path.stat().st_size >= size else 0)
            lines += file.read().decode(errors="replace").splitlines()
    return judge_log(lines)


def judge_log(lines: list[str]) -> Result:
    """New lines of Asterisk's log. No I/O."""
    trouble = list(dict.fromkeys(line.strip() for line in lines if _TROUBLE.search(line)))
    ours = [line for line in trouble if FOLDER in line]
    if ours:
        return failed("Asterisk's log", f"it complains about ariagent: {ours[0]}", _LOOK)
    if trouble:
        return warning(
            "Asterisk's log",
            f"{len(trouble)} lines about other files, the first: {trouble[0]}",
            "Compare with the log before",
        )
    return ok("Asterisk's log", "nothing about the configuration since the reload")


def check_modules(console: Console, modules: tuple[str, ...]) -> Result:
    """Whether modules run that were loaded for ariagent."""
    missing = [name for name in modules if not is_running(console, name)]
    if missing:
        return failed("modules", f"{', '.join(missing)} did not load", "Asterisk's log says why")
    return ok("modules", f"{len(modules)} loaded for ariagent")
