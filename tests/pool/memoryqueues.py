"""Asterisk's queues in memory, as its manager interface shows them: for tests with the times of ``virtualtime``."""

import asyncio
from dataclasses import replace
from typing import Any

from ariagent.ami.client import AmiClient
from ariagent.ami.events import Event, MemberPaused, MemberState, QueuesListed, QueueState
from ariagent.ami.protocol import Message, Value
from ariagent.config import AmiSettings
from ariagent.errors import AmiError, AmiRefusedError

REQUEST_S = 0.001


class MemoryQueues(AmiClient):
    """The manager connection of a service whose Asterisk has these queues and members."""

    def __init__(self, *members: MemberState) -> None:
        super().__init__(AmiSettings.model_validate({"password": "x"}))
        self.members = {(member.queue, member.interface): member for member in members}
        self.unlisted: set[str] = set()
        """Names in lower case of queues that exist and are in no list: those of a database."""
        self.hints: dict[str, str] = {}
        """By the seat's context. A seat without one leads where the dialplan's ARIAGENT_APP does."""
        self.app = "ariagent"
        self.refused: dict[str, AmiError] = {}
        """By an action's name, or by the interface that it is about."""
        self.takes_s: dict[str, float] = {}
        """How long Asterisk takes for actions of this name."""
        self.asked: list[str] = []
        """The actions that came, each with the field that says what it is about."""
        self._catching_up: asyncio.Task[None] | None = None

    def connect(self) -> None:
        """The service is logged in."""
        self._logged_in.set()
        self._catching_up = asyncio.ensure_future(self._catch_up())

    def lose(self) -> None:
        """The connection is gone."""
        assert self._catching_up is not None
        self._catching_up.cancel()
        self._logged_in.clear()
        for lost in self._on_lost:
            lost()

    def tell(self, event: Event) -> None:
        """Something happens in Asterisk."""
        if isinstance(event, MemberPaused):
            self.members[event.member.queue, event.member.interface] = event.member
        self._tell(event)

    def paused(self) -> dict[str, str]:
        """The reasons of the pauses, by seat; by ``QUEUE/SEAT`` in another queue than ``support``."""
        found = {}
        for (queue, interface), member in self.members.items():
            seat = interface.removeprefix("Local/").partition("@")[0]
            if member.paused:
                found[seat if queue == "support" else f"{queue}/{seat}"] = member.reason
        return found

    async def action(self, name: str, /, **fields: Value) -> Message:
        about = str(fields.get("Interface") or fields.get("Variable") or fields.get("Context") or "")
        self.asked.append(f"{name} {about}".strip())
        if not self.connected:
            raise AmiError(f"{name}: not connected")
        await asyncio.sleep(self.takes_s.get(name, REQUEST_S))
        if not self.connected:
            raise AmiError("the connection to Asterisk's manager interface was lost")
        for key in (name, about):
            if key in self.refused:
                raise self.refused[key]
        match name:
            case "ExtensionState":
                return {"hint": self.hints.get(about, "")}
            case "Getvar" if about.startswith("QUEUE_EXISTS("):
                queue = about.removeprefix("QUEUE_EXISTS(").removesuffix(")").lower()
                return {"value": str(int(queue in self.unlisted | {queue for queue, _ in self.members}))}
            case "Getvar":
                return {"value": self.app}
            case "QueuePause":
                self._pause(str(fields["Queue"]), about, bool(fields["Paused"]), str(fields["Reason"]))
        return {}

    def _pause(self, queue: str, interface: str, paused: bool, reason: str) -> None:
        if (member := self.members.get((queue, interface))) is None:
            raise AmiRefusedError("QueuePause: Interface not found")
        self.tell(MemberPaused(replace(member, paused=paused, reason=reason if paused else "")))

    async def action_list(self, name: str, /, **fields: Value) -> list[Message]:
        await self.action(name, **fields)
        averages: dict[str, Any] = {"holdtime_s": 0, "talktime_s": 0, "completed": 0, "abandoned": 0}
        for queue in dict.fromkeys(queue for queue, _ in self.members):
            self._tell(QueueState(queue=queue, strategy="rrmemory", **averages))
            for member in [each for (its, _), each in self.members.items() if its == queue]:
                self._tell(member)
        self._tell(QueuesListed())
        return []
