"""What calls share, and what each is given when it begins."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ariagent.ami.client import AmiClient
from ariagent.ari.client import AriClient
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.admission import Admission
from ariagent.call.announcement import Briefs
from ariagent.call.variables import SiteVariables
from ariagent.config import Settings
from ariagent.dialogue.memory import Memories, Memory
from ariagent.metrics import Metrics
from ariagent.phrases.store import Prompts
from ariagent.pool.queues import QueueView
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.endpoints import Endpoints
from ariagent.realtime.line import Connect
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.tools.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Context:
    """What every call of this process uses."""

    settings: Settings
    ari: AriClient
    router: Router
    media: AudioSocketServer
    media_address: str
    """``host:port`` that Asterisk is told to connect to."""
    format: AudioFormat
    """Of the audio between Asterisk and us."""
    metrics: Metrics
    prompts: Prompts
    briefs: Briefs
    endpoints: Endpoints
    """Of the model."""
    toolbox: Toolbox
    journal: Journal
    spending: Spending
    admission: Admission
    connect_model: Connect = RealtimeClient
    """Makes the connection of a session with the model."""
    memories: Memories = field(default_factory=Memories)
    """Of callers who were handed to people."""
    variables: SiteVariables = field(default_factory=SiteVariables)
    handed_on: Callable[[str], Memory | None] = lambda call_id: None
    """The same from the records, by call id, where a former process did so. Reads the disk."""
    overloaded: Callable[[], bool] = lambda: False
    """Whether the machine is too busy for another call."""
    model_doubted: Callable[[bool], None] = lambda silent: None
    """Is told of each call that had no session with the model, or lost it for good; ``silent``: it said nothing."""
    audio_doubted: Callable[[str, bool], None] = lambda cause, certain: None
    """Is told of each call whose audio failed; ``certain``: no other call would get any now either."""
    ami: AmiClient | None = None
    """None: the site has no manager interface for us."""
    queue_view: Callable[[str], QueueView | None] = lambda name: None
    """How a queue looks now; None where that is not known."""
    has_queue: Callable[[str], bool | None] = lambda name: None
    """Whether there is a queue of this name; None where that is not known."""
