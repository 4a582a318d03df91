"""The Asterisk of an installation: its place, its owner and its configuration."""

import glob
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.asteriskconf import Document, parse
from ariagent.install.console import Console
from ariagent.install.ours import FOLDER, has_ours, taken_out

STANDARD_CONF = Path("etc/asterisk/asterisk.conf")
PROGRAM_PLACES = ("usr/sbin/asterisk", "usr/local/sbin/asterisk", "opt/asterisk/sbin/asterisk")
FREEPBX_CUSTOM = {
    "extensions.conf": "extensions_custom.conf",
    "queues.conf": "queues_custom.conf",
    "ari.conf": "ari_additional_custom.conf",
    "http.conf": "http_custom.conf",
    "manager.conf": "manager_custom.conf",
}
"""FreePBX overwrites the files on the left, or replaces them by links. It never writes those on the right."""


class NoAsteriskError(AriagentError):
    """No Asterisk was found, or more than one."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Asterisk's folders, from ``[directories]`` of ``asterisk.conf``."""

    etc: Path
    modules: Path | None
    run: Path
    log: Path
    sounds: Path


@dataclass(frozen=True)
class Site:
    """One Asterisk with its configuration. Reads files; changes nothing."""

    root: Path
    """``/``, or the folder that holds a copy of a machine's files."""
    conf: Path
    """Its ``asterisk.conf``."""
    folders: Folders
    command: tuple[str, ...]
    """The command that starts the program; empty if there is none."""

    @property
    def etc(self) -> Path:
        """The configuration folder."""
        return self.folders.etc

    @cached_property
    def console(self) -> Console | None:
        """The running Asterisk's console; None if none runs or this user may not use it."""
        if not self.command or not (self.folders.run / "asterisk.ctl").exists():
            return None
        console = Console(self.command, self.conf)
        return console if console.answers else None

    @cached_property
    def version(self) -> str:
        """The program's version, as ``Asterisk 22.10.1``; empty if there is no program."""
        if not self.command:
            return ""
        done = subprocess.run([*self.command, "-V"], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    @cached_property
    def is_freepbx(self) -> bool:
        """Whether FreePBX writes this configuration."""
        generated = self.etc / "extensions_additional.conf"
        document = self.document("extensions.conf")
        if document is None or "extensions_custom.conf" not in document.includes or not generated.exists():
            return False
        return (
            "freepbx" in generated.read_text(errors="replace")[:2000].lower()
            or (self.etc / "freepbx_module_admin.conf").exists()
        )

    def place(self, name: str) -> str:
        """The file of the configuration folder that gets ariagent's line for ``name`` (``queues.conf``)."""
        return FREEPBX_CUSTOM.get(name, name) if self.is_freepbx else name

    def document(self, name: str) -> Document | None:
        """A configuration file as Asterisk reads it, with its includes, but without ariagent's parts; None if there is
        no such file."""

        def read(path: str) -> str | None:
            content = contents(self.etc / path)
            if content is None or Path(path).parts[0] == FOLDER:
                return None
            return (taken_out(content) if has_ours(content) else content).decode(errors="replace")

        return parse(name, read, lambda pattern: sorted(glob.glob(pattern, root_dir=self.etc)))

    @cached_property
    def owner(self) -> tuple[int, int]:
        """(user, group) of the configuration: the owner of ``extensions.conf`` if it exists, else of the folder."""
        for path in (self.etc / self.place("extensions.conf"), self.etc / "asterisk.conf", self.etc):
            if path.exists():
                found = path.stat()
                return found.st_uid, found.st_gid
        return os.getuid(), os.getgid()

    @cached_property
    def modules(self) -> frozenset[str]:
        """Names (without ``.so``) of this Asterisk's module files; empty if they are not known."""
        folder = self.folders.modules
        return (
            frozenset(path.stem for path in folder.glob("*.so"))
            if folder is not None and folder.is_dir()
            else frozenset()
        )


def find(*, root: Path | None = None, conf: Path | None = None, program: str | None = None) -> Site:
    """Find the Asterisk of this machine, or of a copied tree below ``root``.

    ``conf``: its ``asterisk.conf``, if not the standard one; ``program``: its command. Raises NoAsteriskError.
    """
    base = (root or Path("/")).resolve()
    command = tuple(program.split()) if program else ()
    running = _chosen(list(_running()), root=base if root is not None else None, conf=conf)
    if conf is None:
        conf = running[1] if running is not None else base / STANDARD_CONF
    conf = conf.absolute()
    if not conf.exists() and not conf.parent.is_dir():
        where = f"below {base}" if root is not None else "on this machine"
        raise NoAsteriskError(
            f"there is no Asterisk configuration {where}: {conf} does not exist",
            remedy="Name it: --asterisk-conf FILE (its asterisk.conf), or --root DIR for a copy of a machine's files",
        )
    if not command and running is not None:
        command = running[0]
    if not command:
        command = _program(base, copied=root is not None)
    return Site(base, conf, _folders(conf, base), command)


def _program(base: Path, *, copied: bool) -> tuple[str, ...]:
    """Looks in the program's usual places. A copied tree's program is not run: it may be for another machine."""
    if copied:
        return ()
    found = shutil.which("asterisk") or next(
        (str(base / place) for place in PROGRAM_PLACES if (base / place).exists()), None
    )
    return (found,) if found else ()


def _chosen(
    running: Sequence[tuple[tuple[str, ...], Path]], *, root: Path | None, conf: Path | None
) -> tuple[tuple[str, ...], Path] | None:
    """The running Asterisk that the options mean, or None. Raises NoAsteriskError if there are several."""
    if conf is not None:
        running = [each for each in running if each[1].resolve() == conf.resolve()]
    elif root is not None:
        running = [each for each in running if each[1].resolve().is_relative_to(root)]
    if len({each[1] for each in running}) > 1:
        listed = ", ".join(sorted(str(each[1]) for each in running))
        raise NoAsteriskError(
            f"more than one Asterisk is running: {listed}", remedy="Choose one with --asterisk-conf FILE"
        )
    return running[0] if running else None


def _running() -> Iterator[tuple[tuple[str, ...], Path]]:
    """(command, ``asterisk.conf``) of every Asterisk that runs in this process's file system."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = [os.fsdecode(word) for word in (folder / "cmdline").read_bytes().split(b"\0") if word]
            # An Asterisk in a container has other files at the same paths.
            if not os.path.samestat(os.stat(folder / "root"), os.stat("/")):
                continue
            cwd = Path(os.readlink(folder / "cwd"))
        except OSError:
            continue
        at = next((n for n, word in enumerate(words) if Path(word).name == "asterisk"), None)
        options = words[at + 1 :] if at is not None else []
        if at is None or any(re.match(r"-[a-zA-Z]*[rRx]", option) for option in options):
            continue  # not an Asterisk, or only its console
        if at and not Path(words[0]).name.startswith("ld"):
            continue  # another program with that word among its arguments, such as an editor or a shell
        conf = options[options.index("-C") + 1] if "-C" in options[:-1] else "/etc/asterisk/asterisk.conf"
        yield tuple(words[: at + 1]), cwd / conf


def _folders(conf: Path, root: Path) -> Folders:
    """The folders in ``asterisk.conf``. Distributions list theirs as a template, ``[directories](!)``."""
    document = parse(conf.name, lambda name: _text(conf.parent / name), lambda pattern: [])
    named: dict[str, str] = {}
    for section in document.sections if document is not None else ():
        if section.name == "directories":
            named |= {value.key: value.value for value in section.values}

    def folder(key: str, default: Path) -> Path:
        if key not in named:
            return default
        path = Path(named[key])
        return path if path.is_relative_to(root) else root / path.relative_to("/")

    modules = folder("astmoddir", Path())
    if modules == Path():
        found = sorted(root.glob("usr/lib*/**/asterisk/modules/chan_audiosocket.so"))
        modules = found[0].parent if found else Path()
    data = folder("astdatadir", root / "var/lib/asterisk")
    return Folders(
        etc=folder("astetcdir", conf.parent),
        modules=modules if modules != Path() else None,
        run=folder("astrundir", root / "var/run/asterisk"),
        log=folder("astlogdir", root / "var/log/asterisk"),
        sounds=data / "sounds",
    )


def contents(path: Path) -> bytes | None:
    """A file's content; None if there is no such file. Raises ConfigurationError if it cannot be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}", remedy="Run the command as root") from None


def _text(path: Path) -> str | None:
    content = contents(path)
    return None if content is None else content.decode(errors="replace")
