"""The context that calls share, and that each is given when it begins."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ariagent.ami.client import AmiClient
from ariagent.ari.client import AriClient
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.breaker import Breaker
from ariagent.call.admission import Admission
from ariagent.call.announcement import Announcements
from ariagent.call.variables import SiteVariables
from ariagent.config import Settings
from ariagent.dialogue.memory import Memories, Memory
from ariagent.metrics import Metrics
from ariagent.phrases.store import PhraseStore
from ariagent.pool.queues import QueueView
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.health import ModelHealth
from ariagent.realtime.line import Connect
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.tools.toolbox import Toolbox


class TurnJudge(Protocol):
    """The end-of-turn judge; a ``turns.worker.JudgeWorker``."""

    async def judge(self, pcm: bytes, rate_hz: int, within_s: float) -> float | None:
        """The probability that the caller's turn is over; None: it is not known within this time."""


@dataclass(frozen=True, slots=True)
class Context:
    """The services that every call of this process uses."""

    settings: Settings
    ari: AriClient
    router: Router
    media: AudioSocketServer
    media_address: str
    """``host:port`` that Asterisk is told to connect to."""
    format: AudioFormat
    """Format of the audio between Asterisk and ariagent."""
    metrics: Metrics
    phrases: PhraseStore
    announcements: Announcements
    model_health: ModelHealth
    """Calls report their sessions with the model to it."""
    toolbox: Toolbox
    journal: Journal
    spending: Spending
    admission: Admission
    connect_model: Connect = RealtimeClient
    """Makes the connection of a session with the model."""
    memories: Memories = field(default_factory=Memories)
    """Memories of callers who were transferred to human agents."""
    variables: SiteVariables = field(default_factory=SiteVariables)
    transferred_call: Callable[[str], Memory | None] = lambda call_id: None
    """Returns the memory of a caller whom a former process transferred, by call id, from the records. Reads the
    disk."""
    overloaded: Callable[[], bool] = lambda: False
    """Whether the machine is too busy for another call."""
    audio_health: Breaker = field(default_factory=Breaker)
    """Calls report to it that their audio failed."""
    ami: AmiClient | None = None
    """None: the site has no manager interface for us."""
    queue_view: Callable[[str], QueueView | None] = lambda name: None
    """The present view of a queue; None: not known."""
    has_queue: Callable[[str], bool | None] = lambda name: None
    """Whether there is a queue of this name; None where that is not known."""
    turn_judge: TurnJudge | None = None
    """None: no agent needs it, or it is not installed."""
