"""The changes of an installation: every file before and after."""

import difflib
import os
import pwd
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from ariagent import shipped
from ariagent.install.choices import Choices
from ariagent.install.ours import FOLDER, added_to, has_lines, has_ours, include_of, taken_out
from ariagent.install.render import site_files
from ariagent.install.site import Site, contents
from ariagent.install.survey import FILES, Survey, survey

MODE = 0o640
"""Mode of new files for Asterisk and the service: the group may read them, others may not."""
UNIT_MODE = 0o644
UNITS = ("ariagent.service", "ariagent-rescue.service")
ARI_PASSWORD, AMI_PASSWORD = "ari-password", "ami-password"
"""Files beside the service's settings, one line each."""
SERVICE_USER = "ariagent"
"""The user of the shipped systemd unit."""


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one file."""

    path: Path
    before: bytes | None
    """None: the file does not exist."""
    after: bytes
    without: bytes | None
    """The content without ariagent; None: the file would not exist."""
    owner: tuple[int, int]
    """(user, group) of a new file."""
    mode: int = MODE
    """Mode of a new file."""


@dataclass(frozen=True, slots=True)
class Units:
    """The systemd units, if no package has installed them."""

    folder: Path
    program: Path
    """The ``ariagent`` command that they run."""


@dataclass(slots=True)
class Plan:
    """All changes of an installation."""

    site: Site
    choices: Choices
    found: Survey
    settings: Path
    """Path of the service's settings, which may not exist yet."""
    units: Units | None = None
    files: list[Change] = field(default_factory=list)
    """Every file, also those that need no change."""
    passwords: tuple[str, ...] = ()

    @property
    def changes(self) -> list[Change]:
        """The files that need a change."""
        return [change for change in self.files if change.before != change.after]

    def again(self) -> "Plan":
        """A new plan after a change of ``found``."""
        return _made(self.site, self.choices, self.found, self.settings, self.units)

    def diff(self) -> str:
        """A unified diff of all changes, with passwords masked."""
        return "".join(diff_of(change.path, change.before, change.after) for change in self.changes)


def make_plan(
    site: Site, choices: Choices, settings: Path, unusable: Collection[str] = (), units: Units | None = None
) -> Plan:
    """Survey the site and plan the changes. ``unusable``: modules that did not load the last time. Raises
    ConfigurationError for a file that cannot be read."""
    return _made(site, choices, survey(site, choices, unusable), settings, units)


def _made(site: Site, choices: Choices, found: Survey, settings: Path, units: Units | None) -> Plan:
    folder = settings.parent
    passwords = {name: _password(folder / name) for name in (ARI_PASSWORD, AMI_PASSWORD)}
    plan = Plan(site, choices, found, settings, units, passwords=tuple(passwords.values()))
    texts = site_files(choices, found.additions(), passwords[ARI_PASSWORD], passwords[AMI_PASSWORD])
    for name, text in texts.items():
        path = site.etc / FOLDER / name
        plan.files.append(Change(path, contents(path), text.encode(), None, site.owner))
    for name in FILES:
        begins = {} if found.has_general(name) else found.general.get(name, {})
        if name in texts or begins:
            _include(
                plan, name, ["[general]", *(f"{key} = {value}" for key, value in begins.items())] if begins else []
            )
    for name, password in passwords.items():
        path = folder / name
        plan.files.append(Change(path, contents(path), f"{password}\n".encode(), contents(path), service_owner(folder)))
    for name in UNITS if units is not None else ():
        assert units is not None
        text = shipped.text(f"packaging/{name}").replace("/opt/ariagent/bin/ariagent", str(units.program))
        text = text.replace("/etc/ariagent/ariagent.yaml", str(settings))
        path = units.folder / name
        plan.files.append(Change(path, contents(path), text.encode(), None, (os.getuid(), os.getgid()), UNIT_MODE))
    return plan


def lines_left(site: Site) -> list[Path]:
    """The site's files that have lines of ariagent."""
    places = dict.fromkeys(site.etc / name for each in FILES for name in (each, site.place(each)))
    return [path for path in places if has_ours(contents(path) or b"")]


def _include(plan: Plan, name: str, begins: list[str]) -> None:
    """Make the site's file include ariagent's file ``name``, after the lines ``begins``."""
    site, document = plan.site, plan.found.documents[name]
    place = site.place(name)
    path = site.etc / place
    if place != name and (document is None or place not in document.named_files):
        plan.found.obstacles.append(
            f"{site.etc / name} does not include {place}, as in a standard FreePBX. Add that include, then run the "
            "command again"
        )
        return
    before = contents(path)
    without = None if before is None else taken_out(before)
    if before is not None and without == before and include_of(name).encode() in before.splitlines():
        return  # an administrator has added the line by hand
    if path.is_symlink():
        plan.found.obstacles.append(
            f"{path} is a symbolic link to {os.readlink(path)}, and ariagent does not write through links. Add this "
            f"line at the end of that file, then run the command again: {include_of(name)}"
        )
        return
    made_by_us = before is not None and without is not None and not without.strip() and before != without
    after = before if before and has_lines(before, name, begins) else added_to(without or b"", name, begins)
    plan.files.append(Change(path, before, after, None if made_by_us else without, site.owner))


def _password(path: Path) -> str:
    """The existing password in this file, else a new one."""
    lines = (contents(path) or b"").decode(errors="replace").strip().splitlines()
    return lines[0] if lines else secrets.token_urlsafe(24)


def service_owner(folder: Path) -> tuple[int, int]:
    """(user, group) of new files: root's with the service's group if that user exists; otherwise the present user's."""
    if os.geteuid() != 0:
        return os.getuid(), os.getgid()
    try:
        return 0, pwd.getpwnam(SERVICE_USER).pw_gid
    except KeyError:
        return (folder.stat().st_uid, folder.stat().st_gid) if folder.exists() else (0, 0)


def diff_of(path: Path, before: bytes | None, after: bytes | None) -> str:
    """A unified diff of one file, with passwords masked. None: the file does not exist."""
    old, new = ([] if content is None else _masked(path, content) for content in (before, after))
    was, becomes = ("/dev/null" if content is None else str(path) for content in (before, after))
    lines = difflib.unified_diff(old, new, was, becomes)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _masked(path: Path, content: bytes) -> list[str]:
    text = content.decode(errors="replace")
    if path.name in (ARI_PASSWORD, AMI_PASSWORD):
        return ["********\n"]
    # The diff's context lines may hold passwords of other programs.
    return re.sub(r"(?im)^(\s*(?:secret|password)\s*=>?\s*)\S.*$", r"\1********", text).splitlines(keepends=True)
