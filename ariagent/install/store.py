"""Writes an installation and undoes it: the files, backups of the files before, and the list of both.

The list and the copies are in a folder of their own, never in Asterisk's: Asterisk may read whatever is in there. The
list is written before the first file is, so an installation that was cut off can be taken back too. One that fails is
taken back at once.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

from ariagent import __version__
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.choices import Choices
from ariagent.install.ours import FOLDER, has_ours, is_of_site, taken_out
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


@dataclass(frozen=True, slots=True)
class Ending:
    """The fate of a file that is no part of an installation any more."""

    path: Path
    before: bytes | None
    """None: the file does not exist."""
    after: bytes | None
    """None: the file will not exist at its place."""
    note: str = ""
    """Note for the administrator."""
    kept: Path | None = None
    """The folder to which the file is moved."""
    copy: Path | None = None
    """The backup whose times the file gets."""


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
            listed = {path: Entry(**_known(Entry, entry)) for path, entry in document["files"].items()}
            return Manifest(**{**_known(Manifest, document), "files": listed})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InstallError(
                f"{path}, the list of installed files, is damaged: {error!r}",
                remedy="Restore it from a backup. Or move it away, run `ariagent install --apply` with "
                "the same options as the last time, which writes a new list, and then repeat this command",
            ) from None

    def write(self, plan: Plan, choices: Choices, facts: dict[str, Any]) -> tuple[Manifest, list[str]]:
        """Write every file of the plan, and take back the files that it does not have any more; returns the list, and
        notes for the administrator. Raises InstallError where one cannot be written; then everything is again as it
        was."""
        earlier = contents(self.folder / LIST)
        manifest = self.read() or Manifest(str(plan.site.conf), {})
        manifest.choices, manifest.facts, manifest.version = choices.document(), facts, __version__
        manifest.folders += self._make_state_folder()
        ours = str(plan.site.etc / FOLDER)
        written: list[Change] = []
        try:
            for change in plan.files:
                path = str(change.path)
                manifest.files[path] = self._entry(change, manifest.files.get(path))
                missing = [*_missing_folders(change.path.parent), ours]
                manifest.folders += [name for name in missing if name not in manifest.folders]
            self.save(manifest)
            self._replace(plan.changes, written)
        except BaseException:
            self._undo(manifest, written, earlier)
            raise
        for change in plan.files:
            if not manifest.files[str(change.path)].existed:
                _give(change.path, change.owner)
        gone, notes = _gone(manifest, plan), []
        copies = [manifest.files[path].copy for path in gone]
        for path in gone:
            notes += self._take_back(manifest.files.pop(path))
        self.save(manifest)
        self._drop(copies)
        return manifest, notes

    def _replace(self, changes: Sequence[Change], written: list[Change]) -> None:
        """All of them are on the disk before the first one takes its place."""
        staged: list[tuple[Path, Change]] = []
        try:
            for change in changes:
                _make_folders(change.path.parent, change.owner)
                staged.append((_stage(change.path, change.after, change.owner, change.mode), change))
            for scratch, change in staged:
                _put(scratch, change.path)
                written.append(change)
        finally:
            for scratch, _ in staged:
                scratch.unlink(missing_ok=True)

    def _undo(self, manifest: Manifest, written: Sequence[Change], earlier: bytes | None) -> None:
        """Take back an installation that failed. Changes that cannot be taken back stay in the list."""
        try:
            for change in reversed(written):
                if change.before is None:
                    change.path.unlink(missing_ok=True)
                else:
                    replace(change.path, change.before, None)
                    entry = manifest.files[str(change.path)]
                    if earlier is None and entry.copy:
                        _restore_times(self.folder / entry.copy, change.path)
            if earlier is None:
                self._forget(manifest)
            else:
                replace(self.folder / LIST, earlier, None)
        except (InstallError, OSError):
            return

    def remove(self, manifest: Manifest) -> list[str]:
        """Undo the installation; returns notes for the administrator."""
        notes = []
        for path in reversed(list(manifest.files)):
            notes += self._take_back(manifest.files[path])
        return [*notes, *self._forget(manifest)]

    def _forget(self, manifest: Manifest) -> list[str]:
        """Remove the folders that were made, the copies, and last of all the list."""
        inside = [self.folder, *self.folder.parents]
        made = sorted(map(Path, manifest.folders), key=lambda folder: len(folder.parts), reverse=True)
        for path in map(Path, manifest.files):
            _scratch(path).unlink(missing_ok=True)
        notes = _remove_empty(folder for folder in made if folder not in inside)
        self._drop(entry.copy for entry in manifest.files.values())
        (self.folder / LIST).unlink(missing_ok=True)
        _scratch(self.folder / LIST).unlink(missing_ok=True)
        return notes + _remove_empty([self.folder, *(folder for folder in made if folder in inside)])

    def _drop(self, copies: Iterable[str]) -> None:
        for name in copies:
            if name:
                (self.folder / name).unlink(missing_ok=True)

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
            raise _cannot(self.folder, "create", error) from None
        return made

    def _entry(self, change: Change, known: Entry | None) -> Entry:
        after = _digest(change.after)
        if known is None:
            copy = self._keep(change.path, change.without) if change.without is not None else ""
            return Entry(str(change.path), change.without is not None, copy, after)
        untouched = change.before is not None and _digest(change.before) == known.after
        if not untouched and change.without is not None:
            # The administrator has changed the file since: its content without ariagent is what to restore. That is so
            # for a file that ariagent made, too: it is the site's now.
            return Entry(known.path, True, self._keep(change.path, change.without), after)
        return Entry(known.path, known.existed, known.copy, after)

    def _keep(self, path: Path, content: bytes) -> str:
        name = f"{path.name}.{_digest(str(path).encode())[:8]}"
        target = self.folder / name
        replace(target, content, None, mode=0o600)
        if path.exists():
            _restore_times(path, target)
        return name

    def going(self, plan: Plan) -> list[Ending]:
        """The changes of listed files that the plan does not have any more. ``write`` makes them; this only reads."""
        manifest = self.read()
        endings = [] if manifest is None else [self._ending(manifest.files[path]) for path in _gone(manifest, plan)]
        return [ending for ending in endings if ending.before != ending.after]

    def endings(self, manifest: Manifest) -> list[Ending]:
        """The fate of each listed file if the installation is undone. ``remove`` undoes it; this only reads."""
        return [self._ending(entry) for entry in manifest.files.values()]

    def _ending(self, entry: Entry) -> Ending:
        """The fate of a file without ariagent."""
        path = Path(entry.path)
        now = contents(path)
        end = partial(Ending, path, now)
        if now is None:
            return end(None, f"{path} did not exist any more" if entry.existed else "")
        untouched = _digest(now) == entry.after
        rest = taken_out(now)
        changed = "was changed after the installation"
        stays = f"{path} stays: it {changed}; only ariagent's lines were removed"
        if not entry.existed:
            if rest.strip() and (has_ours(now) or is_of_site(path)):
                return end(rest, stays)
            if untouched or not rest.strip():
                return end(None)
            kept = self.folder / "kept"
            return end(None, f"{path} {changed}; it was moved to {kept}", kept=kept)
        copy = self.folder / entry.copy
        before = contents(copy) if entry.copy else None
        if now == before or (before is None and not has_ours(now)):
            return end(now)  # taken back already
        if untouched and before is not None:
            return end(before, copy=copy)
        return end(rest, stays)

    def _take_back(self, entry: Entry) -> list[str]:
        end = self._ending(entry)
        if end.kept is not None:
            end.kept.mkdir(exist_ok=True)
            shutil.move(end.path, end.kept / end.path.name)
        elif end.after is None:
            end.path.unlink(missing_ok=True)
        elif end.after != end.before:
            replace(end.path, end.after, None)
            if end.copy is not None:
                _restore_times(end.copy, end.path)
        return [end.note] if end.note else []


def _gone(manifest: Manifest, plan: Plan) -> list[str]:
    """The listed files that are no part of the plan."""
    planned = {str(change.path) for change in plan.files}
    return [path for path in manifest.files if path not in planned]


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one command at a time changes the files of a configuration folder. Raises InstallError for a second one."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _cannot(folder, "read", error) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallError(
                f"another `ariagent install` or `ariagent uninstall` is already using {folder}",
                remedy="Wait until it has ended",
            ) from None
        yield
    finally:
        os.close(handle)


def replace(path: Path, content: bytes, owner: tuple[int, int] | None, mode: int = MODE) -> None:
    """Write a whole file or nothing. An existing file keeps its owner and mode. Raises InstallError."""
    scratch = _stage(path, content, owner, mode)
    try:
        _put(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _scratch(path: Path) -> Path:
    """The name of a temporary file. It is the same each time, so that a file that was left behind is found. Asterisk
    does not read it."""
    return path.with_name(f".{path.name}.ariagent")


def _stage(path: Path, content: bytes, owner: tuple[int, int] | None, mode: int) -> Path:
    """Write the file that will take the place of ``path``; returns where it is."""
    scratch = _scratch(path)
    try:
        before = path.stat() if path.exists() else None
        scratch.unlink(missing_ok=True)
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if before is not None:
                shutil.copystat(path, scratch)
                owner = (before.st_uid, before.st_gid)
                os.utime(scratch)
            else:
                os.chmod(scratch, mode)
            if owner is not None and owner != (os.getuid(), os.getgid()):
                os.chown(scratch, *owner)
                # A new owner takes the set-id bits away.
                os.chmod(scratch, mode if before is None else before.st_mode & 0o7777)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot(path, "write", error) from None
    return scratch


def _put(scratch: Path, path: Path) -> None:
    try:
        os.replace(scratch, path)
    except OSError as error:
        raise _cannot(path, "write", error) from None


def _cannot(path: Path, what: str, error: OSError) -> InstallError:
    remedy = "Run the command as root"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        remedy = "Make room on that disk. Then run the command again"
    elif error.errno == errno.EROFS:
        remedy = "Make that file system writable. Then run the command again"
    elif os.geteuid() == 0:
        remedy = "See whether the file or its folder is protected (lsattr). Then run the command again"
    return InstallError(f"cannot {what} {path}: {error.strerror}", remedy=remedy)


def _restore_times(source: Path, target: Path) -> None:
    times = source.stat()
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))


def _remove_empty(folders: Iterable[Path]) -> list[str]:
    """Returns what is to be said of those that are not empty."""
    notes = []
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        elif folder.is_dir():
            notes.append(f"{folder} stays: it holds files that `ariagent install` did not write")
    return notes


def _known(kind: type, document: dict[str, Any]) -> dict[str, Any]:
    """The data without fields that only a newer version knows."""
    names = {each.name for each in fields(kind)}
    return {key: value for key, value in document.items() if key in names}


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
            raise _cannot(path, "create", error) from None


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
