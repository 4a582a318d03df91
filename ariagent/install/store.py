"""Writes an installation and undoes it: the files, backups of the files before, and the list of both.

The list and the backups are in a separate folder, never in Asterisk's: Asterisk may read all files there. The list is
written before the first file, so that an interrupted installation can be undone, too.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ariagent import __version__
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.choices import Choices
from ariagent.install.ours import has_ours, taken_out
from ariagent.install.plan import MODE, Change, Plan
from ariagent.install.site import contents

LIST = "manifest.json"
FOLDER_MODE = 0o750


class InstallError(AriagentError):
    """An installation cannot be written or undone."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an installation."""

    path: str
    existed: bool
    """Whether the file existed before ariagent."""
    copy: str
    """Name of the backup in the state folder; empty if the file did not exist."""
    after: str
    """SHA-256 of the written content."""


@dataclass(slots=True)
class Manifest:
    """The list of an installation."""

    asterisk_conf: str
    choices: dict[str, Any]
    facts: dict[str, Any] = field(default_factory=dict)
    """Facts for ``ariagent init``: ``ari_url``, ``ami_host``, ``ami_port``."""
    files: dict[str, Entry] = field(default_factory=dict)
    """Entries by path."""
    folders: list[str] = field(default_factory=list)
    """Folders that were created."""
    unusable: list[str] = field(default_factory=list)
    """Modules that this Asterisk has, but could not load."""
    version: str = __version__


class Store:
    """The state folder of one machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Manifest | None:
        """The present installation; None if there is none. Raises InstallError for a list that cannot be read."""
        path = self.folder / LIST
        content = contents(path)
        if content is None:
            return None
        for each in (path, self.folder, self.folder.parent):
            _trust(each)
        try:
            document = json.loads(content)
            files = {path: Entry(**entry) for path, entry in document.pop("files").items()}
            return Manifest(files=files, **document)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InstallError(
                f"{path}, the list of installed files, is damaged: {error!r}", remedy="Restore it from a backup"
            ) from None

    def write(self, plan: Plan, choices: Choices, facts: dict[str, Any]) -> Manifest:
        """Write every file of the plan. Raises InstallError if one cannot be written."""
        manifest = self.read() or Manifest(str(plan.site.conf), {})
        manifest.choices, manifest.facts, manifest.version = choices.document(), facts, __version__
        manifest.folders += self._make_state_folder()
        for change in plan.files:
            manifest.files[str(change.path)] = self._entry(change, manifest.files.get(str(change.path)))
            manifest.folders += [name for name in _missing_folders(change.path.parent) if name not in manifest.folders]
        gone = [path for path in manifest.files if path not in {str(change.path) for change in plan.files}]
        self.save(manifest)
        for change in plan.changes:
            _make_folders(change.path.parent, change.owner)
            replace(change.path, change.after, change.owner, change.mode)
        for change in plan.files:
            if not manifest.files[str(change.path)].existed:
                _give(change.path, change.owner)
        for path in gone:
            self._take_back(manifest.files.pop(path))
        self.save(manifest)
        return manifest

    def remove(self, manifest: Manifest) -> list[str]:
        """Undo the installation; returns notes for the administrator."""
        notes = []
        for path in reversed(list(manifest.files)):
            notes += self._take_back(manifest.files[path])
        (self.folder / LIST).unlink(missing_ok=True)
        for entry in manifest.files.values():
            if entry.copy:
                (self.folder / entry.copy).unlink(missing_ok=True)
        for folder in (self.folder, *map(Path, sorted(manifest.folders, key=len, reverse=True))):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
            elif folder.is_dir():
                notes.append(f"{folder} stays: it has files that `ariagent install` did not write")
        return notes

    def save(self, manifest: Manifest) -> None:
        """Write the list."""
        document = asdict(manifest)
        replace(
            self.folder / LIST, (json.dumps(document, indent=1) + "\n").encode(), (os.getuid(), os.getgid()), mode=0o600
        )

    def _make_state_folder(self) -> list[str]:
        """Only this user may read the backups: they may hold passwords. Returns the parent folders that were
        created."""
        made = _missing_folders(self.folder.parent)
        # Other users must be able to pass through: the service's own state is below it.
        _make_folders(self.folder.parent, (os.getuid(), os.getgid()), 0o755)
        _trust(self.folder.parent)
        try:
            self.folder.mkdir(exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise InstallError(
                f"cannot create {self.folder}: {error.strerror}", remedy="Run the command as root"
            ) from None
        return made

    def _entry(self, change: Change, known: Entry | None) -> Entry:
        after = _digest(change.after)
        if known is None:
            copy = self._keep(change.path, change.without) if change.without is not None else ""
            return Entry(str(change.path), change.without is not None, copy, after)
        untouched = change.before is not None and _digest(change.before) == known.after
        if known.existed and not untouched and change.without is not None:
            # The administrator has changed the file since: its content without ariagent is what to restore.
            return Entry(known.path, True, self._keep(change.path, change.without), after)
        return Entry(known.path, known.existed, known.copy, after)

    def _keep(self, path: Path, content: bytes) -> str:
        name = f"{path.name}.{_digest(str(path).encode())[:8]}"
        target = self.folder / name
        target.touch(mode=0o600)
        target.write_bytes(content)
        if path.exists():
            shutil.copystat(path, target)
            target.chmod(0o600)
        return name

    def _take_back(self, entry: Entry) -> list[str]:
        path = Path(entry.path)
        now = contents(path)
        if now is None:
            return [f"{path} did not exist any more"] if entry.existed else []
        untouched = _digest(now) == entry.after
        if not entry.existed:
            if untouched or not taken_out(now).strip():
                path.unlink()
                return []
            if has_ours(now):
                replace(path, taken_out(now), None)
                return [f"{path} stays: it was changed after the installation; only ariagent's lines were removed"]
            kept = self.folder / "kept"
            kept.mkdir(exist_ok=True)
            shutil.move(path, kept / path.name)
            return [f"{path} was changed after the installation; it was moved to {kept}"]
        if untouched:
            copy = self.folder / entry.copy
            replace(path, copy.read_bytes(), None)
            times = copy.stat()
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
            return []
        replace(path, taken_out(now), None)
        return [f"{path} was changed after the installation; only ariagent's lines were removed"]


def replace(path: Path, content: bytes, owner: tuple[int, int] | None, mode: int = MODE) -> None:
    """Write a whole file or nothing. An existing file keeps its owner and mode. Raises InstallError."""
    try:
        before = path.stat() if path.exists() else None
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            if before is not None:
                shutil.copystat(path, scratch)
                owner = (before.st_uid, before.st_gid)
                os.utime(scratch)
            else:
                os.chmod(scratch, mode)
            if owner is not None and owner != (os.getuid(), os.getgid()):
                os.chown(scratch, *owner)
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InstallError(f"{path} cannot be written: {error.strerror}", remedy="Run the command as root") from None


def _give(path: Path, owner: tuple[int, int]) -> None:
    """Set the owner of ariagent's file: the service's user may have been created after the file."""
    found = path.stat()
    if (found.st_uid, found.st_gid) != owner and os.geteuid() == 0:
        os.chown(path, *owner)


def _missing_folders(folder: Path) -> list[str]:
    return [] if folder.exists() else [*_missing_folders(folder.parent), str(folder)]


def _trust(path: Path) -> None:
    """Raises InstallError if others than root and this user can write or replace the list: root acts on it."""
    found = path.lstat()
    # A user's own group is often theirs alone.
    writable = found.st_mode & (0o022 if os.geteuid() == 0 else 0o002)
    if found.st_uid not in (0, os.geteuid()) or writable or path.is_symlink():
        raise InstallError(
            f"other users than root can change {path}, and root would act on it",
            remedy=f"Check its content, then run `chown root:root {path} && chmod go-w {path}`",
        )


def _make_folders(folder: Path, owner: tuple[int, int], mode: int = FOLDER_MODE) -> None:
    for name in _missing_folders(folder):
        path = Path(name)
        try:
            path.mkdir(mode=mode)
            path.chmod(mode)
            if owner != (os.getuid(), os.getgid()):
                os.chown(path, *owner)
        except OSError as error:
            raise InstallError(f"cannot create {path}: {error.strerror}", remedy="Run the command as root") from None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def installed(folders: Iterable[Path]) -> Manifest | None:
    """The first installation in these folders. One that this user may not read is skipped."""
    for folder in folders:
        try:
            if (manifest := Store(folder).read()) is not None:
                return manifest
        except (InstallError, ConfigurationError):
            continue
    return None
