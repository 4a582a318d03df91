"""One typed settings tree, loaded once."""

from ariagent.config.agents import (
    AgentSettings,
    InterruptionSettings,
    KeypadSettings,
    LengthSettings,
    RouteSettings,
    SemanticVad,
    ServerVad,
    SilenceSettings,
)
from ariagent.config.base import Section
from ariagent.config.control import ControlSettings, TokenSettings
from ariagent.config.handoff import QUEUE_NAME
from ariagent.config.hours import HoursSettings, PoolSettings
from ariagent.config.peers import (
    AmiSettings,
    AsteriskSettings,
    AudioSocketSettings,
    HttpSettings,
    LogSettings,
    RealtimeSettings,
)
from ariagent.config.tools import (
    HttpRequestSettings,
    HttpToolSettings,
    LookupSettings,
    McpServerSettings,
    OutboundSettings,
    SignatureSettings,
)
from ariagent.config.tree import Settings
from ariagent.config.use import CapsSettings, CostSettings, PriceSettings, RecordsSettings

__all__ = [
    "QUEUE_NAME",
    "AgentSettings",
    "AmiSettings",
    "AsteriskSettings",
    "AudioSocketSettings",
    "CapsSettings",
    "ControlSettings",
    "CostSettings",
    "HoursSettings",
    "HttpRequestSettings",
    "HttpSettings",
    "HttpToolSettings",
    "InterruptionSettings",
    "KeypadSettings",
    "LengthSettings",
    "LogSettings",
    "LookupSettings",
    "McpServerSettings",
    "OutboundSettings",
    "PoolSettings",
    "PriceSettings",
    "RealtimeSettings",
    "RecordsSettings",
    "RouteSettings",
    "Section",
    "SemanticVad",
    "ServerVad",
    "Settings",
    "SignatureSettings",
    "SilenceSettings",
    "TokenSettings",
]
