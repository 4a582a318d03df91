"""The whole tree of settings."""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from ariagent.config.agents import AgentSettings, RouteSettings
from ariagent.config.base import Form, LocalPath, Section
from ariagent.config.control import ControlSettings
from ariagent.config.handoff import AnnouncementSettings, DestinationSettings, Queue
from ariagent.config.hours import CalendarName, HoursSettings, PoolSettings, Zone
from ariagent.config.peers import (
    AmiSettings,
    AsteriskSettings,
    AudioSocketSettings,
    HttpSettings,
    LogSettings,
    RealtimeSettings,
)
from ariagent.config.rescue import RescueSettings
from ariagent.config.tools import HttpToolSettings, McpServerSettings, OutboundSettings, ToolName
from ariagent.config.use import CapsSettings, CostSettings, RecordsSettings
from ariagent.config.watchdog import WatchdogSettings

DrainTo = Literal["human_queue", "next"]
AgentName = Annotated[
    str,
    Form(
        r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$",
        "must be a name of letters, digits and _ . -, at most 64 of them, as front_desk",
    ),
]


class Settings(Section):
    """The whole tree."""

    asterisk: AsteriskSettings = AsteriskSettings()
    ami: AmiSettings | None = None
    audiosocket: AudioSocketSettings = AudioSocketSettings()
    realtime: RealtimeSettings = RealtimeSettings()
    timezone: Zone | None = None
    """The site's time zone: an IANA name, for example ``Europe/Berlin``. Agents, ``hours`` without a zone of their own,
    the days of ``caps`` and ``cost``, and the tables of ``ariagent calls`` use it. null: the zone of ``hours`` if all
    have the same one, else the machine's."""
    agents: Annotated[dict[AgentName, AgentSettings], Field(min_length=1)] = {"default": AgentSettings()}
    routes: tuple[RouteSettings, ...] = ()
    """The choice of the agent for a call, if the dialplan does not choose it. Without a match the agent is
    ``default``."""
    hours: dict[CalendarName, HoursSettings] = {}
    """Opening hours, by name."""
    pool: PoolSettings = PoolSettings()
    destinations: dict[ToolName, DestinationSettings] = {}
    """Queues and extensions that agents may transfer callers to, by name."""
    announcements: AnnouncementSettings = AnnouncementSettings()
    tools: dict[ToolName, HttpToolSettings] = {}
    """HTTP functions for agents, by name."""
    mcp_servers: dict[str, McpServerSettings] = {}
    """MCP servers for agents, by name."""
    outbound: OutboundSettings = OutboundSettings()
    records: RecordsSettings = RecordsSettings()
    cost: CostSettings = CostSettings()
    caps: CapsSettings = CapsSettings()
    http: HttpSettings = HttpSettings()
    control: ControlSettings = ControlSettings()
    log: LogSettings = LogSettings()
    rescue: RescueSettings = RescueSettings()
    watchdog: WatchdogSettings = WatchdogSettings()
    human_queue: Queue | None = None
    """The queue of human agents, for callers that the AI cannot help. null: the queue in the dialplan
    (``ARIAGENT_HUMAN_QUEUE``, which ``ariagent install`` writes)."""
    max_calls: Annotated[int, Field(ge=1)] = 10
    """The largest number of calls at the same time. Further callers are sent to the human queue. Set it to the number
    of AI seats (``ariagent install --seats``)."""
    state_directory: LocalPath = Path("/var/lib/ariagent/state")
    """The folder for records of calls and rendered phrases."""
    drain_timeout_s: Annotated[float, Field(ge=0)] = 300.0
    """Seconds that running calls may continue after SIGTERM."""
    drain_to: DrainTo = "human_queue"
    """Destination of the callers who are left after ``drain_timeout_s``. ``human_queue``: they are sent to the human
    queue. ``next``: the next process continues their calls; it must start at once."""

    @property
    def human_queues(self) -> list[str]:
        """Every queue that callers may be sent or transferred to, without duplicates."""
        named = (self.human_queue, *(place.queue for place in self.destinations.values()))
        return list(dict.fromkeys(queue for queue in named if queue))

    @model_validator(mode="before")
    @classmethod
    def _hours_of_the_site(cls, data: Any) -> Any:
        """Give hours without a time zone the site's."""
        zone = data.get("timezone") if isinstance(data, dict) else None
        hours = data.get("hours") if isinstance(data, dict) else None
        if not isinstance(zone, str) or not isinstance(hours, dict):
            return data

        def placed(each: Any) -> Any:
            if isinstance(each, dict) and each.get("timezone") is None:
                return {**each, "timezone": zone}
            if isinstance(each, HoursSettings) and each.timezone is None:
                return each.model_copy(update={"timezone": zone})
            return each

        return {**data, "hours": {name: placed(each) for name, each in hours.items()}}

    @property
    def tools_of_agents(self) -> list[str]:
        """Names of the tools that agents have, each once. ``tools`` describes some, entry points the others."""
        return list(dict.fromkeys(name for agent in self.agents.values() for name in agent.tools))

    @property
    def zone(self) -> ZoneInfo | None:
        """The site's time zone; None: the machine's."""
        if self.timezone is not None:
            return ZoneInfo(self.timezone)
        named = {hours.timezone for hours in self.hours.values() if hours.timezone is not None}
        return ZoneInfo(named.pop()) if len(named) == 1 else None

    def zone_of(self, agent: AgentSettings) -> ZoneInfo | None:
        """The time zone in which an agent tells the time; None: the machine's.

        Without a setting it is that of the hours of the agent's destinations, if they have the same one.
        """
        if agent.timezone is not None:
            return ZoneInfo(agent.timezone)
        places = (self.destinations[name].hours for name in agent.handoff if name in self.destinations)
        zones = {self.hours[name].timezone for name in places if name is not None and name in self.hours} - {None}
        if self.timezone is None and len(zones) == 1:
            return ZoneInfo(zones.pop() or "UTC")
        return self.zone

    def seats_wanted(self, at: float) -> bool:
        """Whether the opening hours let the AI's seats take calls at ``at`` (seconds since the epoch)."""
        if self.pool.calendar is None:
            return True
        return self.hours[self.pool.calendar].calendar.open_at(at) == (self.pool.calls_during is not None)
