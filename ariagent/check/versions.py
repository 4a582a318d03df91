"""CORE: known faults, security fixes and end of life of Asterisk's versions, as far as they concern ariagent.

Sources: Asterisk's change logs and issues, named at each entry; releases up to 20.21, 21.12.3, 22.11, 23.5.
``versionspage`` makes a page of the documentation from it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ariagent.audio.rates import choose_format
from ariagent.check.report import Result, failed, ok, warning
from ariagent.config import Settings
from ariagent.errors import ConfigurationError
from ariagent.release import Release

VERSION, SECURITY = "asterisk version", "asterisk security"

OLDEST = 18
"""Older versions have no AudioSocket channel driver."""
FAULT_BRANCHES = (20, 21, 22, 23)
"""The branches of ``KnownFault.since`` and ``fixed``."""
NEVER = 10_000
"""A minor release that will never exist."""


@dataclass(frozen=True, slots=True)
class KnownFault:
    """A fault of some releases."""

    what: str
    since: tuple[int, int, int, int]
    """The first minor release with the fault, in branches 20 to 23; 0: all had it."""
    fixed: tuple[int, int, int, int]
    """The first minor release without it."""
    source: str
    rare: bool = False
    """Ordinary calls do not meet it: the check mentions it without a warning."""

    def concerns(self, release: Release) -> bool:
        """Whether this release has the fault, as far as its number says."""
        if release.minor is None or release.major > FAULT_BRANCHES[-1]:
            return False
        if release.major not in FAULT_BRANCHES:
            return not any(self.since)
        branch = FAULT_BRANCHES.index(release.major)
        return self.since[branch] <= release.minor < self.fixed[branch]


FAULTS = (
    KnownFault(
        "AudioSocket carries 8 kHz only",
        (0, 0, 0, 0),
        (17, 12, 7, 1),
        "commit ff0523a3",
    ),
    KnownFault(
        "external media with a chosen channel id can lock up (storage backend cpp_map_name_id)",
        (0, 0, 0, 0),
        (17, 12, 7, 1),
        "issue 1578",
    ),
    KnownFault(
        "an audio connection that is quiet for a moment ends the call",
        (0, 0, 0, 0),
        (17, NEVER, 7, 1),
        "commit 27fb0398",
    ),
    KnownFault(
        "audio headers that arrive in pieces are misread",
        (17, NEVER, 7, 1),
        (19, NEVER, 9, 3),
        "issue 1824",
    ),
    KnownFault(
        "comfort noise or text from a phone ends the call's audio",
        (0, 0, 0, 0),
        (20, NEVER, 10, 4),
        "commit 97798a05",
    ),
    KnownFault(
        "hanging up can lock up while RTP statistics are set",
        (0, 0, 0, 0),
        (20, NEVER, 10, 4),
        "issue 1928",
    ),
    KnownFault(
        "ARI was seen to stall for minutes under load with AudioSocket",
        (18, NEVER, NEVER, NEVER),
        (20, NEVER, NEVER, NEVER),
        "issue 2078",
    ),
    KnownFault(
        "the AI does not hear a supervisor's whisper while the call is on hold",
        (0, 0, 0, 0),
        (21, NEVER, 11, 5),
        "issue 1966",
        rare=True,
    ),
    KnownFault(
        "a supervisor's whisper can leak memory and use a whole processor",
        (21, NEVER, 11, 5),
        (NEVER, NEVER, NEVER, NEVER),
        "issue 2134",
        rare=True,
    ),
)


@dataclass(frozen=True, slots=True)
class Advisory:
    """A security advisory of Asterisk, fixed on ``FIXES_OF``."""

    name: str
    """Its number at github.com/asterisk/asterisk/security/advisories."""
    what: str
    where: str
    """The affected part of Asterisk."""
    concerns_ari: bool = False
    """The fault affects ARI, and so every site with ariagent."""


FIXES_OF = "2026-06-25"
"""The day of the releases that fixed ``ADVISORIES`` (their change logs; announced on Full Disclosure, July 2026)."""

ADVISORIES = (
    Advisory("GHSA-vrfp-mg3q-3959", "a variable that is set through ARI can write files", "ARI", True),
    Advisory("GHSA-wcvv-g26m-wx5c", "a read-only ARI user can load a module (REST over WebSocket)", "ARI", True),
    Advisory("GHSA-589g-qgf8-m6mx", "a SIP NOTIFY overflows a buffer; the sender needs no login", "res_pjsip_pubsub"),
    Advisory("GHSA-8jw3-ccr9-xrmf", "Asterisk reads past the end of a SIP NOTIFY", "res_pjsip_pubsub"),
    Advisory("GHSA-g8q2-p36q-94f6", "Asterisk uses freed memory when a TCP connection closes during SDP", "res_pjsip"),
    Advisory("GHSA-vfhr-r9x9-c687", "real-time text (T.140) overflows a buffer", "res_rtp_asterisk"),
    Advisory("GHSA-j2mm-57pq-jh94", "Asterisk writes real-time text (T.140) out of bounds", "res_rtp_asterisk"),
    Advisory("GHSA-3rhj-hhw7-m6fw", "a login to AMI by HTTP can crash Asterisk", "AMI by HTTP"),
    Advisory("GHSA-4pgv-j3mr-3rcp", "a link can insert HTML into an HTTP error page", "phone provisioning"),
    Advisory("GHSA-ph27-3m5q-mj5m", "a user event can insert SQL (SQL injection)", "cel_pgsql, cel_tds"),
    Advisory("GHSA-r6c2-hwc2-j4mp", "a SIP user name can change an LDAP query (injection)", "res_config_ldap"),
    Advisory("GHSA-8jhw-m2hg-vp3h", "playing a file overflows a buffer", "format_ogg_speex"),
    Advisory("GHSA-qf8j-jp7h-c5hx", "the decoder writes out of bounds", "codec_codec2"),
    Advisory("GHSA-q9fr-m7g8-6ph5", "a message overflows a buffer", "app_sms"),
    Advisory("GHSA-mxgm-8c6f-5p8f", "a namespace overflows a buffer", "res_xmpp"),
    Advisory("GHSA-3g56-cgrh-95p5", "dialled digits overflow a buffer", "chan_unistim"),
    Advisory("GHSA-746q-794h-cc7f", "Asterisk reads a message out of bounds", "chan_ooh323"),
    Advisory("GHSA-h5hv-jmgj-92q2", "Asterisk does not check the length of a message's numbers", "chan_ooh323"),
    Advisory("GHSA-x348-j6c9-77f3", "the trace overflows a buffer", "chan_ooh323"),
    Advisory(
        "GHSA-xgj6-2gc5-5x9c", "the script runs files from a folder that every user may write to", "ast_loggrabber"
    ),
)
"""The advisories that the releases of FIXES_OF list. 20.20.1 lists all but GHSA-h5hv-jmgj-92q2."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One major version of Asterisk."""

    floor: Release | None
    """The first release with the fixes of FIXES_OF; None: there is none."""
    certified_floor: Release | None
    """The first certified release with those fixes; None: there is none."""
    end_of_life: str
    """The last day (YYYY-MM-DD) with promised security fixes; empty: not known."""


BRANCHES: Mapping[int, Branch] = {
    18: Branch(None, None, "2025-10-20"),
    19: Branch(None, None, "2023-11-02"),
    20: Branch(Release(20, 20, 1), Release(20, 7, certified=11), "2027-10-19"),
    21: Branch(Release(21, 12, 3), None, "2026-10-18"),
    22: Branch(Release(22, 10, 1), Release(22, 8, certified=3), "2029-10-16"),
    23: Branch(Release(23, 4, 1), None, ""),
}
"""Sources: the change logs; CERTFR-2026-AVI-0805 for the certified ones; Asterisk's table of versions for the days."""

WANTED = "20.20.1, 22.10.1, 23.4.1 or later"
"""The first releases without known faults of calls and without known security holes."""


def faults_of(release: Release) -> tuple[KnownFault, ...]:
    """The known faults; none for a build without a number or of a newer branch."""
    return tuple(fault for fault in FAULTS if fault.concerns(release))


def lacks_fixes(release: Release) -> bool:
    """Whether this release lacks the security fixes of its branch, as far as its number says."""
    branch = BRANCHES.get(release.major)
    if branch is None or release.minor is None:
        return False
    floor = branch.certified_floor if release.certified else branch.floor
    return floor is None or release.order < floor.order


def ended(release: Release, today: str) -> str:
    """The branch's end of life if it is before ``today`` (both YYYY-MM-DD); else empty."""
    branch = BRANCHES.get(release.major)
    return branch.end_of_life if branch is not None and "" < branch.end_of_life < today else ""


def judge_version(version: str, settings: Settings, today: str) -> Iterator[Result]:
    """The results for an Asterisk that reports ``version``; ``today``: YYYY-MM-DD."""
    release = Release.parse(version)
    yield _judge_faults(version, release, settings)
    if release is not None and release.minor is not None and release.major in BRANCHES:
        yield _judge_security(release, today)


def _judge_faults(version: str, release: Release | None, settings: Settings) -> Result:
    if release is not None and release.major < OLDEST:
        return failed(VERSION, f"{version} has no AudioSocket", f"Upgrade to {WANTED}")
    try:
        fmt = choose_format(version, settings.audiosocket.format, settings.realtime.encoding)
    except ConfigurationError as error:
        return warning(VERSION, f"{error}; calls have 8 kHz audio", error.remedy)
    found = f"{version}, audio at {fmt.rate_hz // 1000} kHz"
    if release is None or release.minor is None:
        return ok(VERSION, f"{found}; its faults are not known, because the build has no version number")
    if release.major not in BRANCHES:
        return ok(VERSION, f"{found}; this version is newer than the versions that this ariagent knows")
    faults = faults_of(release)
    if grave := _listed(fault for fault in faults if not fault.rare):
        return warning(VERSION, f"{found}; known faults: {grave}", _upgrade(release))
    rare = _listed(faults)
    return ok(VERSION, f"{found}; no known faults of ordinary calls" + (f" (known: {rare})" if rare else ""))


def _judge_security(release: Release, today: str) -> Result:
    wrong = []
    if lacks_fixes(release):
        ari = "; ".join(f"{each.name}, {each.what}" for each in ADVISORIES if each.concerns_ari)
        own = ", unless its distribution added them" if release.repackaged else ""
        wrong.append(f"the fixes of {FIXES_OF} are missing{own}: {len(ADVISORIES)} advisories, in ARI {ari}")
    if day := ended(release, today):
        wrong.append(f"branch {release.major} has had no security fixes since {day}")
    if wrong:
        return warning(SECURITY, "; ".join(wrong), _upgrade(release))
    until = BRANCHES[release.major].end_of_life
    return ok(SECURITY, f"has the fixes of {FIXES_OF}" + (f"; its branch gets fixes until {until}" if until else ""))


def _upgrade(release: Release) -> str:
    floor = BRANCHES[release.major].floor
    soon = floor is not None and not any(not fault.rare for fault in faults_of(floor))
    advice = f"Upgrade to {floor} or later" if soon else f"Upgrade to {WANTED}"
    return f"{advice}, unless the package's changelog lists the fixes" if release.repackaged else advice


def _listed(faults: Iterable[KnownFault]) -> str:
    return ", ".join(f"{fault.what} ({fault.source})" for fault in faults)
