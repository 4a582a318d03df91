"""``docs/asterisk-versions.md``: the check's knowledge of Asterisk's versions as a page. Made by ``make docs``."""

from collections.abc import Mapping

from ariagent.audio.rates import carries_wide_audio
from ariagent.check.versions import (
    ADVISORIES,
    BRANCHES,
    FAULT_BRANCHES,
    FAULTS,
    FIXES_OF,
    NEVER,
    OLDEST,
    WANTED,
    KnownFault,
    faults_of,
    lacks_fixes,
)
from ariagent.release import Release

SHOWN = (
    ("18.10.0", "Ubuntu 22.04"),
    ("18.20.0", ""),
    ("20.6.0", "Ubuntu 24.04"),
    ("20.20.1", ""),
    ("21.12.3", "the last of its branch"),
    ("22.9.0", ""),
    ("22.10.1", "Debian forky and sid; ariagent is tested with it"),
    ("22.11.0", ""),
    ("23.4.1", ""),
    ("23.5.0", ""),
)
"""Versions that the page compares, each with its origin."""


def page() -> str:
    """``docs/asterisk-versions.md``."""
    names = {fault: chr(ord("a") + place) for place, fault in enumerate(FAULTS)}
    faults = (
        f"| {name} | {fault.what} | {_releases(fault.since)} | {_releases(fault.fixed)} | {fault.source} |"
        for fault, name in names.items()
    )
    return _PAGE.format(
        versions="\n".join(_row(version, note, names) for version, note in SHOWN),
        faults="\n".join(faults),
        rare=" and ".join(name for fault, name in names.items() if fault.rare),
        advisories="\n".join(f"| {each.name} | {each.where} | {each.what} |" for each in ADVISORIES),
        count=len(ADVISORIES),
        day=FIXES_OF,
        wanted=WANTED,
        oldest=OLDEST,
    )


def _row(version: str, note: str, names: Mapping[KnownFault, str]) -> str:
    release = Release.parse(version)
    assert release is not None
    faults = faults_of(release)
    old = lacks_fixes(release) or any(not fault.rare for fault in faults)
    cells = (
        f"{version} ({note})" if note else version,
        "24 kHz" if carries_wide_audio(version) else "8 kHz",
        " ".join(names[fault] for fault in faults) or "none",
        "missing" if lacks_fixes(release) else "included",
        BRANCHES[release.major].end_of_life or "not stated here",
        "usable; upgrade it" if old else "good",
    )
    return f"| {' | '.join(cells)} |"


def _releases(minors: tuple[int, int, int, int]) -> str:
    named = [f"{major}.{minor}" for major, minor in zip(FAULT_BRANCHES, minors, strict=True) if minor not in (0, NEVER)]
    return ", ".join(named) or ("always" if not any(minors) else "none yet")


_PAGE = """\
# Which Asterisk works

Use Asterisk {wanted}. `ariagent check` reports on your Asterisk in the lines `asterisk version` and
`asterisk security`. It warns if you should upgrade.

Older versions from Asterisk {oldest} on work, with the faults below. Versions before {oldest} have no AudioSocket
channel driver, and the check fails. ariagent treats branches after 23 like 23.

ariagent's own tests run on 22.10.1. In November 2026, 112 of them also ran on Ubuntu's packages of 20.6.0 and 18.10.0.
Calls, queues, transfers, announcements, keys and supervisors' phones work on both, at 8 kHz. The statements about other
versions come from Asterisk's change logs and issues.

The letters in the column "known faults" are those of the [next table](#known-faults).

| version | audio | known faults | fixes of {day} | end of security fixes | verdict |
|---|---|---|---|---|---|
{versions}

A certified release has the faults of its base: `certified-22.8-cert3` has those of 22.8. Certified releases have the
security fixes since `certified-20.7-cert11` and `certified-22.8-cert3`. A build from a
branch's sources (`GIT-22-...`) has no number, so its faults are not known. A distribution may add fixes to an older
version; the changelog of its package lists them.

## Known faults

| | fault | first release with it | first release without it | source |
|---|---|---|---|---|
{faults}

Sources are commits and issues of [asterisk/asterisk](https://github.com/asterisk/asterisk). If a column does not name a
branch, that branch never got the change. {rare} affect only supervisors at a phone
([supervisor-phone.md](supervisor-phone.md)).

## Security fixes of {day}

That day Asterisk released 20.20.1, 21.12.3, 22.10.1, 23.4.1, certified-20.7-cert11 and certified-22.8-cert3. The change
logs of 21.12.3, 22.10.1 and 23.4.1 list these {count} advisories. The change log of 20.20.1 lists all but
GHSA-h5hv-jmgj-92q2.
ariagent uses ARI, so the first two affect every site. Each of the others affects only a site that loads the module and
lets strangers reach it.

| advisory | part | fault |
|---|---|---|
{advisories}

Since these releases ARI programs may not call dangerous dialplan functions (`FILE`, `SHELL`, `DB`, `STAT` ...), unless
`asterisk.conf` has `live_dangerously`. ariagent does not call these functions, so leave that option off.

## How to get a newer version

* Debian: forky and sid have 22.10.1. Bookworm and trixie have no Asterisk package.
* FreePBX offers a release about a month after the Asterisk project does (22.10.1 on 2026-07-15).
* Other systems: build it from the sources that [asterisk.org](https://www.asterisk.org/downloads/) links to. In
  `make menuselect`, choose `res_audiosocket`, `chan_audiosocket` and the modules `res_ari...`.

This page is made from `ariagent/check/versionspage.py` by `make docs`.
"""


if __name__ == "__main__":
    print(page(), end="")  # noqa: T201
