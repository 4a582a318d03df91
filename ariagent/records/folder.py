"""The folder ``state_directory``: made, and looked at before anything is kept there."""

import getpass
import os
import stat
import tempfile
from pathlib import Path

MODE = 0o711
"""Everybody may enter, for Asterisk has to reach the spoken summaries in it. Nobody else can list it, and what is
private in it can be read by its owner only."""


def make(directory: Path) -> None:
    """Make it where it is not there. Raises OSError."""
    new = not directory.exists()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if new:
        directory.chmod(MODE)  # whatever the umask is


def loose(directory: Path) -> str:
    """The rights of others on a folder that they should not have; empty if there are none. A folder of another user is
    left as it is: it may be shared on purpose."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return ""
    if mode & stat.S_IWOTH:
        return "every user of this machine can put files there in the place of the service's"
    if mode & stat.S_IROTH:
        return "every user of this machine can list the files in it"
    return ""


def problem(directory: Path) -> str:
    """Why this user cannot keep anything in it, or make it; empty where they can. Leaves nothing behind."""
    nearest = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not nearest.is_dir():
        return f"{nearest} is not a folder"
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".ariagent-", dir=nearest))
    except OSError as error:
        return f"{_user()} cannot write to {nearest} ({error.strerror or error})"
    return ""


def _user() -> str:
    """The name of the user of this process; a container's may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.geteuid()}"
