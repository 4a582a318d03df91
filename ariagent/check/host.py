"""Checks of the machine that the service runs on."""

import getpass
import os
import platform
import pwd
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from ariagent import __version__
from ariagent.check.report import Result, failed, ok, warning
from ariagent.config import Settings
from ariagent.records import folder

FILES_FOR_A_CALL = 4
"""Open files of one call: audio, model, and a reserve for tools and records."""
FILES_BESIDES = 100


def check_machine(settings: Settings) -> Iterator[Result]:
    """Versions, processors, open files, the state directory."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    python = ".".join(str(part) for part in sys.version_info[:3])
    found = f"ariagent {__version__}, Python {python}, {platform.system()} {platform.release()}, {cores} processors"
    yield ok("machine", found, processors=cores)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_files(soft, settings.max_calls)
    yield judge_folder(settings)


def judge_files(limit: int, max_calls: int) -> Result:
    """Whether ``limit`` open files (-1: unlimited) are enough."""
    needed = FILES_FOR_A_CALL * max_calls + FILES_BESIDES
    allowed = "unlimited" if limit == resource.RLIM_INFINITY else str(limit)
    found = f"{allowed} open files are allowed; {max_calls} calls need up to {needed}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        return warning("open files", found, "Raise it (`ulimit -n`, LimitNOFILE= of the service), or lower max_calls")
    return ok("open files", found)


def judge_folder(settings: Settings) -> Result:
    """Whether this user can write to ``state_directory``, or make it."""
    name, directory = "state directory", settings.state_directory
    if found := folder.problem(directory):
        remedy = f"`install -d -o USER -m 0711 {directory}` for the service's user, or set state_directory"
        if settings.records.enabled:
            return failed(name, f"records of calls cannot be kept in {directory}: {found}", remedy)
        return warning(name, f"{found}: commands such as `ariagent calls` cannot find the service", remedy)
    if loose := folder.loose(directory):
        return warning(name, f"{directory}: {loose}", f"`chmod o-rw {directory}`")
    return ok(name, f"{directory}: writable by {_as_whom(directory)}")


def _as_whom(directory: Path) -> str:
    """The present user. For root also the folder's owner: root may write everywhere, the service's user may not."""
    user = getpass.getuser()
    if os.geteuid() != 0 or not directory.exists():
        return user
    stat = directory.stat()
    try:
        owner = pwd.getpwuid(stat.st_uid).pw_name
    except KeyError:
        owner = str(stat.st_uid)
    return f"{user}, owned by {owner}"
