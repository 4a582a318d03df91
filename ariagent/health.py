"""CORE: what ``/healthz`` answers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The service at one moment. Everybody who reaches the port may read it: no secrets, no words of callers."""

    application: str
    """``asterisk.app``: which service this is."""
    version: str
    started: bool
    """Whether it has been connected to Asterisk's events since its start: before, it serves nobody."""
    listening: bool
    """Whether it is connected now."""
    waiting_for: str
    """Why not, if that is known."""
    audio_failed: bool
    audio: str
    """``ok``, ``not tried yet``, or why no audio comes from Asterisk."""
    model: str
    """The same of the model."""
    manager: str
    seats: Mapping[str, object]
    """Whether callers are sent to seats (``open``), else why not (``reason``); how many seats are in which state; the
    numbers of those that are ``invalid``."""
    calls: int
    draining: bool
    control_port: int
    failed_checks: Sequence[str] = ()
    """What the service's own checks found to be wrong, each as ``name: what``."""

    @property
    def takes_calls(self) -> bool:
        """Whether a call that comes in now can be served.

        Not when no audio comes from Asterisk: that is a fault of this node alone, and others may be able to take its
        calls. Without the model all nodes do alike and send callers to the human queue, so one that has none is as
        good as the others.
        """
        return self.listening and not self.draining and not self.audio_failed

    @property
    def status(self) -> int:
        """The HTTP status."""
        return 200 if self.takes_calls else 503

    def json(self) -> dict[str, object]:
        """The body."""
        status = "ok" if self.takes_calls else "draining" if self.draining else "unavailable"
        lost = f"not connected: {self.waiting_for}" if self.waiting_for else "not connected"
        body = {name: value for name, value in asdict(self).items() if name not in _INSIDE}
        return {
            "status": status,
            "asterisk": "connected" if self.listening else lost,
            **body,
            "audio": f"failed: {self.audio}" if self.audio_failed else self.audio,
            "failed_checks": list(self.failed_checks),
        }


_INSIDE = ("listening", "waiting_for", "audio_failed")
