"""The decision after the end of a service that has a keeper: another start, or the end of the keeper, too."""

from dataclasses import dataclass

CRASHED = 70
"""The service's exit code after an internal error (EX_SOFTWARE of sysexits.h). The keeper itself never ends with it."""
PAUSES_S = (0.0, 0.1, 0.5, 2.0)
"""The pause before the start after the first crash, the second one and so on; one more crash ends the keeper."""
WINDOW_S = 60.0
"""An older crash does not count any more."""
ASK_TO_END = ("SIGTERM", "SIGINT")
ASKED = (*ASK_TO_END, "SIGRTMIN")
"""The signals that end a service which cannot handle signals yet. The keeper forwards SIGTERM as SIGRTMIN."""


@dataclass(frozen=True, slots=True)
class Again:
    """The service starts again."""

    pause_s: float
    cause: str
    """The end of the service before it."""


@dataclass(frozen=True, slots=True)
class End:
    """The keeper ends, too."""

    code: int
    """Its exit code."""
    cause: str = ""
    """The reason, if the service did not end in order."""


class Restarts:
    """Decides what follows the end of a service."""

    def __init__(self) -> None:
        self.told_to_end = False
        """A signal has asked the service to end."""
        self.replaced = False
        """The package on the disk is another one than the package in memory."""
        self._crashes: list[float] = []

    def ended(self, how: int | str, now: float) -> Again | End:
        """``how``: the exit code, or the name of the signal that killed it; ``now`` in seconds of a monotonic clock."""
        if isinstance(how, int) and how != CRASHED:
            return End(how)
        if how in ASKED:
            return End(0)
        cause = "an internal error" if how == CRASHED else f"killed by {how}"
        if self.told_to_end:
            return End(1, f"the service did not end in order: {cause}")
        if self.replaced:
            return End(1, f"the service crashed ({cause}), and another version of ariagent is installed now")
        self._crashes = [*(at for at in self._crashes if now - at < WINDOW_S), now]
        if len(self._crashes) > len(PAUSES_S):
            return End(1, f"the service crashed {len(self._crashes)} times within {WINDOW_S:.0f} s; at last: {cause}")
        return Again(PAUSES_S[len(self._crashes) - 1], cause)
