"""The Asterisk of an installation: its place, its owner and its configuration."""

import getopt
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
from ariagent.install.choices import OUR_CONTEXTS
from ariagent.install.console import Console
from ariagent.install.ours import FOLDER, has_ours, taken_out

STANDARD_CONF = Path("etc/asterisk/asterisk.conf")
OPTIONS = "BC:cde:FfG:ghIiL:M:mnpqRrs:TtU:VvWX:x:"
"""Options of Asterisk's program, as getopt(3) writes them."""
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
    socket: str = "asterisk.ctl"
    """Name of the console's socket in ``run``."""


@dataclass(frozen=True, slots=True)
class Running:
    """An Asterisk that runs on this machine."""

    command: tuple[str, ...]
    conf: Path
    """Its ``asterisk.conf``."""
    pid: int


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
    pid: int = 0
    """Process id of the running Asterisk; 0 if none runs."""

    @property
    def etc(self) -> Path:
        """The configuration folder."""
        return self.folders.etc

    @cached_property
    def console(self) -> Console | None:
        """The running Asterisk's console; None if none runs or this user may not use it."""
        if not self.command or not (self.folders.run / self.folders.socket).exists():
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
            place = self._named(path)
            if place.parent == self.etc / FOLDER:
                return None
            content = contents(place)
            if content is None:
                return None
            return (taken_out(content) if has_ours(content) else content).decode(errors="replace")

        return parse(name, read, self._matching, elsewhere=OUR_CONTEXTS)

    def _matching(self, pattern: str) -> list[str]:
        if (braces := re.search(r"\{([^{}]*)\}", pattern)) is not None:
            ends = pattern[: braces.start()], pattern[braces.end() :]
            return [path for each in braces[1].split(",") for path in self._matching(each.join(ends))]
        if not pattern.startswith("/"):
            return sorted(glob.glob(pattern, root_dir=self.etc))
        within = "" if Path(pattern).is_relative_to(self.root) else glob.escape(str(self.root))
        return sorted(glob.glob(within + pattern))

    def _named(self, path: str) -> Path:
        """A file as an include names it. In a copied tree absolute paths are below its root too."""
        place = self.etc / path
        return place if place.is_relative_to(self.root) else self.root / place.relative_to("/")

    @cached_property
    def owner(self) -> tuple[int, int]:
        """(user, group) of the files that are made for Asterisk: those of ``extensions.conf`` where there is one, else
        of the folder; the group is Asterisk's own where it could not read a file of theirs that is closed to others."""
        found = None
        for path in (self.etc / self.place("extensions.conf"), self.etc / "asterisk.conf", self.etc):
            if found is None and path.exists():
                found = path.stat()
        user, group = (found.st_uid, found.st_gid) if found is not None else (os.getuid(), os.getgid())
        uid, groups = self.runs_as
        if os.geteuid() != 0 or uid in (0, user) or group in groups:
            return user, group
        return user, groups[0]

    @cached_property
    def runs_as(self) -> tuple[int, tuple[int, ...]]:
        """Asterisk's user and groups. While it does not run they are those of its log folder, which it has to write."""
        if self.pid:
            try:
                status = Path(f"/proc/{self.pid}/status").read_text()
            except OSError:
                status = ""
            ids = {name: rest.split() for name, _, rest in (line.partition(":") for line in status.splitlines())}
            if "Uid" in ids and "Gid" in ids:
                return int(ids["Uid"][1]), tuple(int(each) for each in (ids["Gid"][1], *ids.get("Groups", ())))
        if self.folders.log.is_dir():
            found = self.folders.log.stat()
            return found.st_uid, (found.st_gid,)
        return 0, (0,)

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
        conf = running.conf if running is not None else base / STANDARD_CONF
    conf = conf.absolute()
    if not conf.exists() and not conf.parent.is_dir():
        where = f"below {base}" if root is not None else "on this machine"
        raise NoAsteriskError(
            f"there is no Asterisk configuration {where}: {conf} does not exist",
            remedy="Name it: --asterisk-conf FILE (its asterisk.conf), or --root DIR for a copy of a machine's files",
        )
    if not command and running is not None:
        command = running.command
    if not command:
        command = _program(base, copied=root is not None)
    return Site(base, conf, _folders(conf, base), command, running.pid if running is not None else 0)


def _program(base: Path, *, copied: bool) -> tuple[str, ...]:
    """Looks in the program's usual places. A copied tree's program is not run: it may be for another machine."""
    if copied:
        return ()
    found = shutil.which("asterisk") or next(
        (str(base / place) for place in PROGRAM_PLACES if (base / place).exists()), None
    )
    return (found,) if found else ()


def _chosen(running: Sequence[Running], *, root: Path | None, conf: Path | None) -> Running | None:
    """The running Asterisk that the options mean, or None. Raises NoAsteriskError if there are several."""
    if conf is not None:
        running = [each for each in running if each.conf.resolve() == conf.resolve()]
    elif root is not None:
        running = [each for each in running if each.conf.resolve().is_relative_to(root)]
    if len({each.conf for each in running}) > 1:
        listed = ", ".join(sorted(str(each.conf) for each in running))
        raise NoAsteriskError(
            f"more than one Asterisk is running: {listed}", remedy="Choose one with --asterisk-conf FILE"
        )
    return running[0] if running else None


def _running() -> Iterator[Running]:
    """Every Asterisk that runs in our view of the file system."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = [os.fsdecode(word) for word in (folder / "cmdline").read_bytes().split(b"\0") if word]
            # An Asterisk in a container has other files at the same paths.
            if not os.path.samestat(os.stat(folder / "root"), os.stat("/")):
                continue
            cwd = Path(os.readlink(folder / "cwd"))
        except OSError:
            continue
        if (found := started(words)) is not None:
            yield Running(found[0], cwd / found[1], int(folder.name))


def started(words: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """The command and the ``asterisk.conf`` of a process with these arguments; None where it is no Asterisk, or only
    its console. No I/O."""
    at = next((n for n, word in enumerate(words) if Path(word).name == "asterisk"), None)
    if at is None or (at and not Path(words[0]).name.startswith("ld")):
        return None  # another program that is given the name, such as an editor or a shell
    try:
        options, _ = getopt.getopt(list(words[at + 1 :]), OPTIONS)
    except getopt.GetoptError:
        options = []
    given = dict(options)
    if given.keys() & {"-r", "-R", "-x"}:
        return None
    return tuple(words[: at + 1]), given.get("-C", f"/{STANDARD_CONF}")


def _folders(conf: Path, root: Path) -> Folders:
    """The folders in ``asterisk.conf``. Distributions list theirs as a template, ``[directories](!)``."""
    document = parse(conf.name, lambda name: _text(conf.parent / name), lambda pattern: [])
    named: dict[str, str] = {}
    for section in document.sections if document is not None else ():
        if section.name in ("directories", "files"):
            named |= {value.key: value.value for value in section.values if value.value}

    def folder(key: str, default: Path) -> Path:
        if key not in named:
            return default
        path = Path("/", named[key])
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
        socket=named.get("astctl", "asterisk.ctl"),
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
