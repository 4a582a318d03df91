"""The machine that the service runs on."""

import getpass
import os
import platform
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from ariagent import __version__
from ariagent.check.report import Result, ok, warning
from ariagent.config import Settings

FILES_FOR_A_CALL = 4
"""Audio, model, and room for what tools and records open."""
FILES_BESIDES = 100


def check_machine(settings: Settings) -> Iterator[Result]:
    """Versions, processors, open files, the place for records."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    python = ".".join(str(part) for part in sys.version_info[:3])
    found = f"ariagent {__version__}, Python {python}, {platform.system()} {platform.release()}, {cores} processors"
    yield ok("machine", found, processors=cores)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_files(soft, settings.max_calls)
    if settings.records.enabled:
        yield judge_folder(settings.state_directory)


def judge_files(limit: int, max_calls: int) -> Result:
    """Whether ``limit`` open files (-1: any number) are enough."""
    needed = FILES_FOR_A_CALL * max_calls + FILES_BESIDES
    allowed = "any number of" if limit == resource.RLIM_INFINITY else str(limit)
    found = f"{allowed} open files allowed here, {max_calls} calls need up to {needed}"
    if limit != resource.RLIM_INFINITY and limit < needed:
        return warning("open files", found, "Raise it (`ulimit -n`, LimitNOFILE= of the service), or lower max_calls")
    return ok("open files", found)


def judge_folder(folder: Path) -> Result:
    """Whether this user can keep records in ``folder``, or make it."""
    name = "records"
    nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    user = getpass.getuser()
    if not nearest.is_dir():
        return warning(name, f"{nearest} is no folder", "Correct state_directory")
    if not os.access(nearest, os.W_OK | os.X_OK):
        what = f"{folder} is not writable" if nearest == folder else f"{folder} does not exist and cannot be made"
        remedy = f"`install -d -o USER {folder}` for the service's user, or set state_directory"
        return warning(name, f"{what} by {user}: no records are kept", remedy)
    return ok(name, f"kept in {folder}, writable by {user}")
