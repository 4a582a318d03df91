"""Events of Asterisk's event stream, as values. Source: Asterisk's ``rest-api/api-docs/events.json``."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the dialplan. As text, ``context,extension,priority``."""

    context: str
    extension: str
    priority: int

    def __str__(self) -> str:
        return f"{self.context},{self.extension},{self.priority}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """The place that a text names, or None if it names none."""
        match text.split(","):
            case (context, extension, priority) if context and extension and priority.isdecimal():
                return cls(context, extension, int(priority))
        return None


@dataclass(frozen=True, slots=True)
class Channel:
    """The parts of an ARI channel that matter here."""

    id: str
    name: str
    state: str
    caller_number: str = ""
    caller_name: str = ""
    context: str = ""
    extension: str = ""
    priority: int = 0
    """The channel's priority in the dialplan, with context and extension; in ``StasisStarted`` that of the line with
    ``Stasis()``."""
    app_name: str = ""
    """The dialplan's application that it is in, ``Stasis`` for ariagent's channels; with ``app_data``, its
    arguments."""
    app_data: str = ""

    @property
    def next_place(self) -> Place | None:
        """The line behind the one that the channel is at, or None when it runs no dialplan."""
        return Place(self.context, self.extension, self.priority + 1) if self.context and self.extension else None


@dataclass(frozen=True, slots=True)
class StasisStarted:
    """A channel entered our application. With ``replaces`` it took the place of a participant: a swap, no new call."""

    channel: Channel
    args: tuple[str, ...]
    replaces: str | None = None


@dataclass(frozen=True, slots=True)
class StasisEnded:
    """A channel left our application: hung up, moved on, or replaced by another."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class ChannelDestroyed:
    channel_id: str
    cause: int


@dataclass(frozen=True, slots=True)
class HangupRequested:
    """A channel is being hung up, by either side or by a request; in our application ``StasisEnded`` follows. A channel
    that continues in the dialplan has ``StasisEnded`` only (measured: 22.10.1)."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class DigitReceived:
    channel_id: str
    digit: str


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """A telephone put its call on hold, or took it back. Asterisk does not tell it of one behind a Local channel."""

    channel_id: str
    on: bool


@dataclass(frozen=True, slots=True)
class ApplicationReplaced:
    """Another program connected with our application's name and took our calls over."""


@dataclass(frozen=True, slots=True)
class LeftBridge:
    """A channel is in its bridge no longer: hung up, replaced, kicked, or the bridge is gone (which is not told)."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class ChannelUp:
    """A channel was answered."""

    channel_id: str


@dataclass(frozen=True, slots=True)
class ConnectedLine:
    """The party at the other end of a channel, as a telephone would show it; empty where it is not known."""

    channel_id: str
    number: str
    name: str


@dataclass(frozen=True, slots=True)
class PlaybackEnded:
    """A sound has been played to a channel, or could not be."""

    channel_id: str
    playback_id: str
    failed: bool = False
    """Asterisk could not play it: there is no such file, or it may not read it (measured: 22.10.1)."""


Event = (
    StasisStarted
    | StasisEnded
    | HangupRequested
    | ChannelDestroyed
    | ChannelUp
    | ConnectedLine
    | DigitReceived
    | HoldChanged
    | LeftBridge
    | PlaybackEnded
    | ApplicationReplaced
)


def parse(message: dict[str, Any]) -> Event | None:
    """The event in a message of the stream, or None for one of no interest.

    Raises KeyError, TypeError or ValueError for a message that lacks what its type must have.
    """
    match message.get("type"):
        case "StasisStart":
            replaced = message.get("replace_channel")
            args = tuple(str(arg) for arg in message["args"])
            return StasisStarted(channel_of(message["channel"]), args, _id(replaced) if replaced else None)
        case "StasisEnd":
            return StasisEnded(_id(message["channel"]))
        case "ChannelHangupRequest":
            return HangupRequested(_id(message["channel"]))
        case "ChannelDestroyed":
            return ChannelDestroyed(_id(message["channel"]), int(message["cause"]))
        case "ChannelDtmfReceived":
            return DigitReceived(_id(message["channel"]), str(message["digit"]))
        case "ChannelHold" | "ChannelUnhold" as kind:
            return HoldChanged(_id(message["channel"]), kind == "ChannelHold")
        case "ChannelLeftBridge":
            return LeftBridge(message["channel"]["id"])
        case "ChannelStateChange":
            return ChannelUp(_id(message["channel"])) if message["channel"]["state"] == "Up" else None
        case "ChannelConnectedLine":
            connected = message["channel"].get("connected") or {}
            number, name = connected.get("number"), connected.get("name")
            return ConnectedLine(_id(message["channel"]), str(number or ""), str(name or ""))
        case "PlaybackFinished":
            playback = message["playback"]
            kind, _, channel_id = str(playback["target_uri"]).partition(":")
            failed = playback.get("state") == "failed"
            return PlaybackEnded(channel_id, _id(playback), failed) if kind == "channel" else None
        case "ApplicationReplaced":
            return ApplicationReplaced()
    return None


def channel_id_of(event: Event) -> str | None:
    """The channel that the event is about; for a swap the channel that was replaced."""
    match event:
        case StasisStarted():
            return event.replaces or event.channel.id
        case StasisEnded() | ChannelDestroyed() | DigitReceived() | LeftBridge() | PlaybackEnded():
            return event.channel_id
        case ChannelUp() | ConnectedLine() | HoldChanged() | HangupRequested():
            return event.channel_id
    return None


def _id(channel: Any) -> str:
    name = channel["id"]
    if not isinstance(name, str):
        raise TypeError("an id that is not text")
    return name


def channel_of(data: Any) -> Channel:
    """A channel as ARI describes it. Raises KeyError, TypeError or ValueError for something else."""
    channel = dict(data)
    caller, dialplan = dict(channel.get("caller") or {}), dict(channel.get("dialplan") or {})
    return Channel(
        id=_id(channel),
        name=str(channel["name"]),
        state=str(channel.get("state", "")),
        caller_number=str(caller.get("number", "")),
        caller_name=str(caller.get("name", "")),
        context=str(dialplan.get("context", "")),
        extension=str(dialplan.get("exten", "")),
        priority=int(dialplan.get("priority") or 0),
        app_name=str(dialplan.get("app_name") or ""),
        app_data=str(dialplan.get("app_data") or ""),
    )
