"""Finds who answered a synthetic caller's call: the AI, or something else in its place. CORE.

The caller originates ``Local/EXTEN@CONTEXT``. Its half ``;2`` runs the dialplan. ARI reports every step of it and every
variable that it sets to the caller's application (measured with Asterisk 22.10.1, without a subscription). So the
caller sees what the dialplan tried and why that failed. ``Answerer`` gets these messages as they come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Who = Literal["ai", "queue", "member", "other", "unknown"]

_SEAT = re.compile(r"Local/\w+@ariagent(?:-\w+)*-seat\b", re.IGNORECASE)
_RESULTS = {
    "no_model": "the service could not reach the model",
    "busy": "the service had no capacity for another call",
    "error": "the conversation failed in the service",
}
"""``ARIAGENT_RESULT`` of calls that the service gave back to the dialplan."""
_QUEUE_STATUS = {
    "JOINEMPTY": "none of its seats takes calls",
    "LEAVEEMPTY": "none of its seats takes calls",
    "JOINUNAVAIL": "none of its seats can be reached",
    "LEAVEUNAVAIL": "none of its seats can be reached",
    "TIMEOUT": "no seat answered in time",
    "FULL": "the queue was full",
    "WITHDRAW": "the service removed the caller from the queue",
}
"""``QUEUESTATUS`` of callers who left a queue without an answer (app_queue)."""
_PASSING = {
    *("", "set", "gosub", "gosubif", "goto", "gotoif", "gotoiftime", "return", "stackpop", "macro", "exec", "execif"),
    *("noop", "verbose", "log", "answer", "ringing", "progress", "wait", "playtones", "stopplaytones", "hangup"),
}
"""Applications that do not talk with the caller."""
_ELSEWHERE = frozenset(("queue", "dial", "voicemail", "followme", "page"))
"""Applications that connect the caller with somebody else."""


@dataclass(frozen=True, slots=True)
class Step:
    """One priority that the dialplan runs."""

    context: str
    extension: str
    priority: str
    app: str
    data: str

    @property
    def queue(self) -> str:
        """The queue's name if the application is ``Queue()``, else empty."""
        return self.data.partition(",")[0].strip() if self.app.lower() == "queue" else ""

    def __str__(self) -> str:
        return f"{self.app}({self.data})"


@dataclass(slots=True)
class Answerer:
    """The way of the call through the dialplan. ``app``: the service's Stasis application (``asterisk.app``)."""

    app: str
    up: bool = False
    """The call was answered, by anything."""
    ai: bool = False
    """The AI took the call."""
    step: Step | None = None
    """The last step that began."""
    talks: Step | None = None
    """The last step that a caller can talk with or listen to."""
    result: str = ""
    """The service's result (``ARIAGENT_RESULT``)."""
    not_served: bool = False
    """No service was connected to Asterisk under its name."""
    ai_queue: str = ""
    """The queue of AI seats that the dialplan tried (``ARIAGENT_QUEUE``)."""
    queue_status: dict[str, str] = field(default_factory=dict)
    """Queue -> how the caller left it without an answer."""
    member: str = ""
    """The name of the queue member that answered last."""
    peer: str = ""
    """The channel that the call is bridged with."""

    def take(self, message: Mapping[str, Any]) -> bool:
        """Process one ARI message about the half that runs the dialplan; returns whether it brought anything new.

        Malformed messages are ignored.
        """
        kind = message.get("type")
        if kind == "ChannelDialplan":
            return self._stepped(message)
        if kind == "ChannelVarset":
            return self._set(str(message.get("variable", "")), str(message.get("value", "")))
        if kind == "ChannelStateChange" and _part(message, "channel").get("state") == "Up":
            self.up = True
            self.ai = self.ai or self._in_stasis()
            return True
        return False

    def _stepped(self, message: Mapping[str, Any]) -> bool:
        place = _part(_part(message, "channel"), "dialplan")
        context, extension, priority = (str(place.get(key, "")) for key in ("context", "exten", "priority"))
        app, data = (str(message.get(key, "")) for key in ("dialplan_app", "dialplan_app_data"))
        self.step = Step(context, extension, priority, app, data)
        if self.step.app.lower() not in _PASSING:
            self.talks, self.member, self.peer = self.step, "", ""
        return True

    def _set(self, name: str, value: str) -> bool:
        match name.lstrip("_"):
            case "ARIAGENT_RESULT" | "SHARED(ARIAGENT_RESULT)":
                self.result = value
            case "ARIAGENT_QUEUE":
                self.ai_queue = value
            case "STASISSTATUS":
                self.not_served = value == "FAILED" and self._in_stasis()
            case "QUEUESTATUS" if value in _QUEUE_STATUS and self.step is not None and self.step.queue:
                self.queue_status[self.step.queue] = value
            case "MEMBERINTERFACE":
                self.ai = self.ai or _SEAT.match(value) is not None
            case "MEMBERNAME":
                self.member = value
            case "BRIDGEPEER":
                self.peer = value
                self.ai = self.ai or (value.startswith("AudioSocket/") and self.up and self._in_stasis())
            case _:
                return False
        return True

    def _in_stasis(self) -> bool:
        step = self.step
        return step is not None and step.app.lower() == "stasis" and self.serves(step.data.partition(",")[0].strip())

    def serves(self, app: str) -> bool:
        """Whether a Stasis application is the service's, or one of its workers' (``APP-1``)."""
        return re.fullmatch(rf"{re.escape(self.app)}(?:-\d+)?", app) is not None

    @property
    def gave_up(self) -> bool:
        """The dialplan gave the call to somebody else. The AI will not take it any more."""
        if self.ai or not self.up or self.talks is None or self.talks.app.lower() not in _ELSEWHERE:
            return False
        if self.member or (self.peer and not self.peer.startswith("Local/")):
            return True  # somebody's telephone
        if self.ai_queue:
            # The dialplan tries the queue of AI seats first; another queue comes after it.
            return self.talks.queue != self.ai_queue
        return self.not_served or self.result in _RESULTS

    @property
    def broke_off(self) -> str:
        """Why the AI gave back a call that it had taken; empty if it did not."""
        return _RESULTS.get(self.result, "") if self.ai else ""

    @property
    def who(self) -> Who:
        """The side that answered the caller; ``ai`` also if a human agent took over later."""
        if self.ai:
            return "ai"
        if not self.up or self.talks is None:
            return "unknown"
        if self.talks.queue:
            return "member" if self.member else "queue"
        return "other"

    @property
    def answered(self) -> str:
        """A sentence about who answered; empty if nobody did or it is not known."""
        if self.ai:
            return "the AI answered"
        if not self.up or self.talks is None:
            return ""
        if self.talks.queue:
            member = f"{self.member} of " if self.member else ""
            return f"{member}queue {self.talks.queue} answered"
        peer = self.peer.rpartition("-")[0]
        return f"{peer} answered" if peer else f"the dialplan answered with {self.talks}"

    @property
    def why_not(self) -> list[str]:
        """Why the AI did not take the call, as far as the dialplan shows."""
        causes = []
        if self.not_served:
            causes.append(f"no service is connected to Asterisk as the application {self.app}")
        if self.result in _RESULTS:
            causes.append(_RESULTS[self.result])
        status = self.queue_status.get(self.ai_queue, "") if self.ai_queue else ""
        if status and not causes:
            causes.append(f"queue {self.ai_queue}: {_QUEUE_STATUS[status]}")
        return causes


def _part(message: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    part = message.get(key)
    return part if isinstance(part, Mapping) else {}
