"""Distribution packages without root: fetched by apt into a folder of ariagent's and unpacked there.

apt fetches the package and everything it depends on from the mirror, and with the keyring, of the machine's own
sources; ``dpkg-deb -x`` unpacks them into ``FOLDER/packages/<package>/`` and the program runs through the loader there.
Nothing outside the folder is written. Only what is told to fetch calls this: the lab, and commands with ``--fetch``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ariagent.errors import ConfigurationError
from ariagent.synthesis import unpacked
from ariagent.synthesis.sources import AptSource, candidates, render, system_sources

SUITE = "forky"
_UPDATE_LASTS_S = 600.0

Progress = Callable[[str], None]
Make = Callable[[Sequence[Path], Path], None]
"""(archives, folder): makes something of archives in an empty folder. Raises ConfigurationError."""


def ensure_package(package: str, folder: Path, progress: Progress) -> Path:
    """The folder below ``folder`` with ``package`` and its dependencies unpacked; fetches it once.

    Safe to call from two processes. Raises ConfigurationError when it cannot be had, OSError when ``folder`` cannot be
    written to.
    """
    return ensure_folder(package, [package], folder, unpack, progress)


def ensure_folder(
    name: str, packages: Sequence[str], folder: Path, make: Make, progress: Progress, *, suite: str = SUITE
) -> Path:
    """The folder ``name`` that ``make`` makes of packages of a suite and all that they depend on. It is made once.

    Safe to call from two processes. Raises as ``ensure_package``.
    """
    root = unpacked.folder_of(name, folder)
    stamp = root / unpacked.STAMP
    if stamp.exists():
        return root
    for needed in ("apt-get", "dpkg-deb"):
        if shutil.which(needed) is None:
            cause = f"{name} is missing, and so is {needed}, which fetches it"
            raise ConfigurationError(cause, remedy=_remedy(name))
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "packages.lock", progress):
        if not stamp.exists():
            _fetch(name, packages, folder, root, make, suite, progress)
    return root


@contextlib.contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[None]:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that is fetching packages")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(
    name: str, packages: Sequence[str], folder: Path, root: Path, make: Make, suite: str, progress: Progress
) -> None:
    apt = folder / ("apt" if suite == SUITE else f"apt-{suite}")
    archives = _download(packages, suite, apt, progress)
    progress(f"unpacking {len(archives)} packages")
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)
    partial.mkdir(parents=True)
    make(archives, partial)
    (partial / unpacked.STAMP).write_text(json.dumps([archive.name for archive in archives], indent=1) + "\n")
    partial.rename(root)
    shutil.rmtree(apt / "cache", ignore_errors=True)
    progress(f"{name} is ready in {root}")


def unpack(archives: Sequence[Path], root: Path) -> None:
    """Unpack archives side by side below ``root``."""
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 2)) as pool:
        list(pool.map(lambda archive: _unpack(archive, root), archives))


def _unpack(archive: Path, root: Path) -> None:
    done = subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], capture_output=True, text=True, check=False)
    if done.returncode:
        # Damaged, so to be fetched again; a negative status is only our own Ctrl-C.
        if done.returncode > 0:
            archive.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{archive.name} could not be unpacked: {done.stderr.strip()}", remedy="Run the command again"
        )


def _download(packages: Sequence[str], suite: str, apt: Path, progress: Progress) -> list[Path]:
    """Bring the packages and their dependencies into a cache of our own; returns the archives."""
    names = ", ".join(packages)
    found = candidates(system_sources())
    if not found:
        raise ConfigurationError(
            "the machine's apt sources name no Debian mirror",
            remedy=f"{_remedy(names)}, or add a source for Debian {suite} to /etc/apt/sources.list.d",
        )
    problem = ""
    for source in found:
        options = _prepare(apt, source, suite)
        for fresh in (False, True):
            if problem := _update(apt, options, suite, progress, fresh=fresh):
                break
            wanted, size = _plan(packages, apt, options)
            if not wanted:
                problem = f"the mirror's suite {suite} has no {names} for {platform.machine()}"
                break
            progress(f"fetching {len(wanted)} packages, {size / 1e6:.0f} MB, for {names}")
            if not (problem := _apt_download(packages, options, progress)):
                return [apt / "cache" / "archives" / name for name in wanted]
    cause = f"{names} could not be fetched from Debian {suite}: {problem}"
    raise ConfigurationError(cause, remedy=_remedy(names))


def _remedy(package: str) -> str:
    return f"Install {package} with the system's own package manager"


def _prepare(apt: Path, source: AptSource, suite: str) -> list[str]:
    """Write an apt state of our own; returns the options that keep apt inside it."""
    for folder in ("state/lists/partial", "cache/archives/partial", "empty/partial"):
        (apt / folder).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()
    listing = apt / f"{suite}.sources"
    text = render(source, suite)
    if not listing.exists() or listing.read_text() != text:
        (apt / "updated").unlink(missing_ok=True)
        listing.write_text(text)
    settings = {
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::State::extended_states": apt / "state" / "extended_states",
        "Dir::Cache": apt / "cache",
        "Dir::Cache::archives": apt / "cache" / "archives",
        "Dir::Etc::sourcelist": listing,
        "Dir::Etc::sourceparts": "-",
        "Dir::Etc::preferences": "-",
        "Dir::Etc::preferencesparts": "-",
        "APT::Install-Recommends": "false",
        "APT::Install-Suggests": "false",
        "APT::Default-Release": "",
        "APT::Keep-Downloaded-Packages": "true",
        "APT::Sandbox::User": "root",
        # Whatever the machine's own apt.conf says.
        "APT::Get::AllowUnauthenticated": "false",
        "Acquire::AllowInsecureRepositories": "false",
        "Acquire::AllowDowngradeToInsecureRepositories": "false",
        "Acquire::Retries": "3",
        "Acquire::http::Timeout": "30",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "1",
        "Dpkg::Use-Pty": "0",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _environment() -> dict[str, str]:
    # A mirror on this machine is not behind a proxy.
    direct = ",".join(filter(None, (os.environ.get("no_proxy"), "localhost", "127.0.0.1", "::1")))
    return {**os.environ, "no_proxy": direct, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def _run_apt(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["apt-get", *words], capture_output=True, text=True, check=False, env=_environment())


def _errors(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("E:")] or stderr.strip().splitlines()[-1:]
    return " / ".join(lines[:2]) or "apt-get failed without a message"


def _update(apt: Path, options: list[str], suite: str, progress: Progress, *, fresh: bool) -> str:
    """Bring the package lists up to date; returns what went wrong, or ""."""
    stamp = apt / "updated"
    if not fresh and stamp.exists() and time.time() - stamp.stat().st_mtime < _UPDATE_LASTS_S:
        return ""
    progress(f"reading the package lists of Debian {suite}")
    # Without Error-Mode an unreachable mirror is only a warning and the exit status is 0.
    done = _run_apt([*options, "-o", "APT::Update::Error-Mode=any", "update"])
    if done.returncode:
        return _errors(done.stderr)
    stamp.touch()
    return ""


def _plan(packages: Sequence[str], apt: Path, options: list[str]) -> tuple[list[str], int]:
    """File names of the packages and all they depend on, and their size in bytes; nothing when one is not there."""
    # apt leaves out what is in its cache already, as after a cut-off run: the plan is made with an empty one.
    empty = ["-o", f"Dir::Cache::archives={apt / 'empty'}"]
    done = _run_apt([*options, *empty, "install", "-y", "--print-uris", *packages])
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("'")]
    return [row[1] for row in rows], sum(int(row[2]) for row in rows)


def _apt_download(packages: Sequence[str], options: list[str], progress: Progress) -> str:
    """Download with a percentage every few seconds; returns what went wrong, or ""."""
    words = [*options, "-o", "APT::Status-Fd=1", "-qq", "install", "-y", "--download-only", *packages]
    with subprocess.Popen(
        ["apt-get", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        shown = 0.0
        for line in process.stdout:
            if line.startswith("dlstatus:"):
                percent = float(line.split(":")[2])
                if percent >= shown + 20.0:
                    progress(f"fetched {percent:.0f} %")
                    shown = percent
        stderr = process.stderr.read()
    return _errors(stderr) if process.returncode else ""
