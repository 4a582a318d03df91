"""CORE: the answer of ``/healthz``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """The service's state at one moment, without secrets and words of callers."""

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
    """``ok``, ``not tried yet``, or why the model cannot be used."""
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

    def json(self, *, everything: bool = True) -> dict[str, object]:
        """The body. Without ``everything`` it is for everybody who reaches the port: it says which parts have failed,
        in the service's own words, and not its version."""
        status = "ok" if self.takes_calls else "draining" if self.draining else "unavailable"
        lost = f"not connected: {self.waiting_for}" if self.waiting_for else "not connected"
        body = {name: value for name, value in asdict(self).items() if name not in _INSIDE}
        found: dict[str, object] = {
            "status": status,
            "asterisk": "connected" if self.listening else lost,
            **body,
            "audio": f"failed: {self.audio}" if self.audio_failed else self.audio,
            "refused_agents": list(self.refused_agents),
            "failed_checks": list(self.failed_checks),
        }
        if everything:
            return found
        del found["version"], found["refused_agents"]
        for part in ("asterisk", "manager"):
            found[part] = str(found[part]).partition(":")[0]
        found["audio"] = FAILED if self.audio_failed else self.audio
        found["model"] = self.model if self.model in ("ok", NOT_TRIED) else FAILED
        found["failed_checks"] = list(dict.fromkeys(check.partition(":")[0] for check in self.failed_checks))
        return found


NOT_TRIED = "not tried yet"
"""The state of a part before its first trial."""
FAILED = "failed"
"""All that strangers read of a failure."""
_INSIDE = ("listening", "waiting_for", "audio_failed")


def state_of(fault: str | None) -> str:
    """The state of a part with this fault (``Breaker.fault``)."""
    return NOT_TRIED if fault is None else fault or "ok"
