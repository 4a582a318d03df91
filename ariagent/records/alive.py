"""Whether the process that wrote a record still runs, seen from another process."""

import os
from dataclasses import dataclass
from pathlib import Path

SEEN_EVERY_S = 10.0
"""How often a writer renews its ``seen``; only that counts where its pid means nothing."""


@dataclass(frozen=True, slots=True)
class Identity:
    """One run of a program on this machine."""

    pid: int
    birth: str
    """Boot and start time of the process: a later one with the same pid has another."""
    namespace: str
    """Where the pid means something; a container has its own."""

    @classmethod
    def own(cls) -> "Identity":
        return cls(os.getpid(), _birth(os.getpid()), _namespace())

    def lives(self, seen: float, now: float) -> bool:
        """Whether it still runs; ``seen`` and ``now`` in seconds since the epoch."""
        if self.namespace == _namespace():
            return _birth(self.pid) == self.birth != ""
        return now - seen < 3 * SEEN_EVERY_S


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "-"


def _birth(pid: int) -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        # proc(5): the name, in brackets, may hold anything; after it the state is field 3, the start time field 22.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{boot}/{fields[19]}"
