"""Checks that need Asterisk's console and files: whether the site's phones reach the AI's numbers, whether modules were
loaded, and what Asterisk has logged.

Only root and Asterisk's own user may use the console.
"""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ariagent.check.report import Result, Say, failed, ok, skipped, warning
from ariagent.check.site import Site
from ariagent.errors import AriagentError, AsteriskError, ConfigurationError
from ariagent.install.choices import Choices
from ariagent.install.console import Console
from ariagent.install.dialplan import shown
from ariagent.install.ours import FOLDER
from ariagent.install.reload import is_running, log_files
from ariagent.install.site import find
from ariagent.install.store import Store

NAME = "phones"
APPLY = (
    "Run `ariagent install --apply`, which has Asterisk read its files again. "
    "If that does not help, look at Asterisk's log"
)
_TROUBLE = re.compile(
    r"\b(?:WARNING|ERROR)\b.*\b(config|pbx_config|pbx|app_queue|res_sorcery_config|sorcery|manager|http|res_ari\w*|loader)\.c"
)


async def check_phones(site: Site, say: Say) -> None:
    """Whether the site's phones reach the AI, if ``ariagent install`` was given their contexts."""
    for result in await asyncio.to_thread(_check_phones, site.installation):
        say(result)


def _check_phones(folder: Path) -> list[Result]:
    try:
        manifest = Store(folder).read()
        if manifest is None:
            return []
        console = find(conf=Path(manifest.asterisk_conf)).console
        if console is None:
            return [skipped(NAME, "a running Asterisk with a console that this user may use")]
        return list(check_numbers(console, Choices.of(manifest.choices)))
    except ConfigurationError:
        return [skipped(NAME, "root: only root may read the list of installed files")]
    except AriagentError as error:
        return [failed(NAME, str(error), error.remedy)]


def check_numbers(console: Console, choices: Choices) -> Iterator[Result]:
    """Whether the numbers reach the AI from each context. Raises AsteriskError if the console does not answer."""
    for context in dict.fromkeys(("ariagent-internal", *choices.contexts)):
        lost = [number for number in choices.all_numbers if not _reaches(console, context, number)]
        if lost:
            yield failed(NAME, f"{', '.join(lost)} in the context {context} does not reach ariagent", APPLY)
        else:
            yield ok(NAME, f"{', '.join(choices.all_numbers)} in the context {context} reaches ariagent")


def _reaches(console: Console, context: str, number: str) -> bool:
    """Whether a number's own extension in a context is ariagent's. Raises AsteriskError if Asterisk cannot be asked."""
    try:
        printed = console.ask(f'dialplan show "{number}@{context}"')
    except AsteriskError:
        console.ask("core show version")  # it runs, so there is no such extension
        return False
    own = [does for extension, does in shown(printed) if not extension.startswith("_")]
    return bool(own) and own[0].startswith("Gosub(ariagent-")


def check_modules(console: Console, modules: Iterable[str]) -> Result:
    """Whether the modules run that were loaded for ariagent."""
    modules = list(modules)
    missing = [name for name in modules if not is_running(console, name)]
    if missing:
        return failed("modules", f"{', '.join(missing)} did not load", "Look at Asterisk's log for the reason")
    return ok("modules", f"{len(modules)} loaded for ariagent")


def log_sizes(console: Console, folder: Path) -> Mapping[Path, int]:
    """Path -> present size in bytes of each of Asterisk's log files."""
    sizes = {}
    for path in log_files(console, folder):
        with suppress(OSError):
            sizes[path] = path.stat().st_size
    return sizes


def check_log(since: Mapping[Path, int]) -> Result:
    """Asterisk's warnings and errors about its configuration since ``log_sizes``."""
    lines: list[str] = []
    for path, size in since.items():
        with suppress(OSError), path.open("rb") as file:
            # A log that was rotated meanwhile is read from its start.
            file.seek(size if path.stat().st_size >= size else 0)
            lines += file.read().decode(errors="replace").splitlines()
    return judge_log(lines)


def judge_log(lines: list[str]) -> Result:
    """The result for new lines of Asterisk's log. No I/O."""
    trouble = list(dict.fromkeys(line.strip() for line in lines if _TROUBLE.search(line)))
    ours = [line for line in trouble if FOLDER in line]
    if ours:
        return failed("Asterisk's log", f"Asterisk reports a problem with ariagent's files: {ours[0]}", APPLY)
    if trouble:
        return warning(
            "Asterisk's log",
            f"{len(trouble)} warnings or errors about other files since the reload, the first: {trouble[0]}",
            "Check whether they were in the log before the installation",
        )
    return ok("Asterisk's log", "no warning or error about the configuration since the reload")
