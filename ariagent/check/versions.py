"""Which faults an Asterisk of some version has, as far as they concern us. No I/O.

Sources: Asterisk's change logs and issues, named at each entry; releases up to 20.20, 21.12, 22.10 and 23.4.
"""

import re
from dataclasses import dataclass

OLDEST = 18
"""Before, there is no AudioSocket channel driver."""
_BRANCHES = (20, 21, 22, 23)
_NEVER = 10_000


@dataclass(frozen=True, slots=True)
class KnownFault:
    """Something that is wrong in some releases."""

    what: str
    since: tuple[int, int, int, int]
    """The first minor release that has it, in branches 20 to 23; 0: always had it."""
    fixed: tuple[int, int, int, int]
    """The first one without it."""
    source: str


FAULTS = (
    KnownFault(
        "AudioSocket carries 8 kHz only",
        (0, 0, 0, 0),
        (17, 12, 7, 1),
        "commit ff0523a3",
    ),
    KnownFault(
        "external media with a channel id of our own can lock up (storage backend cpp_map_name_id)",
        (0, 0, 0, 0),
        (17, 12, 7, 1),
        "issue 1578",
    ),
    KnownFault(
        "an audio connection that is quiet for a moment ends the call",
        (0, 0, 0, 0),
        (17, _NEVER, 7, 1),
        "commit 27fb0398",
    ),
    KnownFault(
        "audio headers that arrive in pieces are misread",
        (17, _NEVER, 7, 1),
        (19, _NEVER, 9, 3),
        "issue 1824",
    ),
    KnownFault(
        "comfort noise or text from a phone ends the call's audio",
        (0, 0, 0, 0),
        (20, _NEVER, 10, 4),
        "commit 97798a05",
    ),
    KnownFault(
        "hanging up can lock up while RTP statistics are set",
        (0, 0, 0, 0),
        (20, _NEVER, 10, 4),
        "issue 1928",
    ),
    KnownFault(
        "ARI was seen to stall for minutes under load with AudioSocket",
        (18, _NEVER, _NEVER, _NEVER),
        (20, _NEVER, _NEVER, _NEVER),
        "issue 2078",
    ),
)

BETTER = "20.20, 22.10, 23.4 or later"


def number_of(version: str) -> tuple[int, int] | None:
    """(major, minor) of "22.10.1+dfsg", "certified/20.7-cert2", "20.21.0-rc1"; None for a build without a number."""
    # At the start only: a build from git ends with a hash, which may begin with digits.
    found = re.match(r"(?:certified[/-])?(\d+)(?:\.(\d+))?(?!\w)", version.strip())
    return (int(found[1]), int(found[2] or 0)) if found else None


def faults_of(version: str) -> tuple[KnownFault, ...]:
    """The known faults of this version; none for a build without a number or a branch after the known ones."""
    number = number_of(version)
    if number is None or number[0] > _BRANCHES[-1]:
        return ()
    major, minor = number
    if major not in _BRANCHES:
        return tuple(fault for fault in FAULTS if not any(fault.since))
    branch = _BRANCHES.index(major)
    return tuple(fault for fault in FAULTS if fault.since[branch] <= minor < fault.fixed[branch])
