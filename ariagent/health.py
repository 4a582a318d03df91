"""CORE: the answer of ``/healthz``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The service's state at one moment. Everybody who reaches the port may read it, so it has no secrets and no words
    of callers."""

    application: str
    """``asterisk.app``, the name of this service."""
    version: str
    started: bool
    """Whether it has been connected to Asterisk's events since its start. Before that it serves nobody."""
    listening: bool
    """Whether it is connected now."""
    waiting_for: str
    """Why it is not connected, if that is known."""
    audio_failed: bool
    audio: str
    """``ok``, ``not tried yet``, or why no audio comes from Asterisk."""
    model: str
    """The same for the model."""
    manager: str
    seats: Mapping[str, object]
    """Whether the seats take calls (``open``), else the ``reason``; the number of seats in each state; the numbers of
    ``invalid`` seats."""
    calls: int
    draining: bool
    control_port: int
    refused_agents: Sequence[str] = ()
    """The agents whose settings the model's server refuses. Their callers go to the human queue."""
    failed_checks: Sequence[str] = ()
    """The failed results of the service's own checks, each as ``name: what``."""

    @property
    def takes_calls(self) -> bool:
        """Whether the service can take a call now.

        False if no audio comes from Asterisk: that concerns this node alone, and other nodes can take its calls. A
        failed model does not count: it concerns all nodes, and each sends callers to the human queue.
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
            "refused_agents": list(self.refused_agents),
            "failed_checks": list(self.failed_checks),
        }


_INSIDE = ("listening", "waiting_for", "audio_failed")
