"""One call's transfers: the announcement, the variables, what Asterisk is asked for, and who waits for the outcome.

Whole ones are in ``test_call``.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ariagent.ari.client import RefusedError
from ariagent.call import events as ev
from ariagent.call.announcement import Announcement
from ariagent.call.call import Call
from ariagent.call.transfers import ANNOUNCEMENT_LIMIT_S, TransferOutcome, Transfers
from ariagent.dialogue.handoff import Handoff
from ariagent.logs import CallLog
from ariagent.realtime.events import OutOfBandEnded, Usage
from ariagent.termination import Result, Termination
from tests.call.incall import WARM_PREFIX, Office
from tests.call.virtualtime import passes, virtual_time

REFUSED = RefusedError("HTTP 500")
TRANSFERRED = Termination(Result.TRANSFERRED, "handed_over")


class Desk:
    """The transfers of a call in conversation, asked for by hand; what they tell the call is kept here."""

    def __init__(self, office: Office, call: Call) -> None:
        self.office = office
        self.call = call
        self.dialogue = call._dialogue
        self.ended: list[tuple[str, str]] = []
        log = CallLog(logging.getLogger("ariagent.test"), "c1")
        self.transfers = Transfers(
            office.context,
            log,
            changed=lambda: None,
            answered=lambda: None,
            ended=lambda handoff, why, channel: self.ended.append((why, channel)),
            fault=lambda error: pytest.fail(repr(error)),
            not_given_back=log.tell,
        )

    @classmethod
    @asynccontextmanager
    async def of(cls, folder: Path, *, human_answers_s: float | None = None) -> "AsyncIterator[Desk]":
        async with Office(folder) as office:
            office.ari.human_answers_s = human_answers_s
            yield cls(office, await office.answered("c1"))

    def handoff(self, kind: str, **changes: Any) -> Handoff:
        place = self.office.settings.destinations[kind]
        return Handoff(kind, place, "model", "a refund", "Eve wants a refund.", **changes)

    def announce(self, kind: str) -> Announcement | None:
        return self.transfers.announce(self.handoff(kind), self.dialogue, "pcm")

    def spoken(self, seconds: float = 1.0) -> None:
        """The model has spoken the announcement."""
        announcement = self.transfers.announcement
        assert announcement is not None
        announcement.spoken(OutOfBandEnded(announcement.key, bytes(round(48_000 * seconds)), "", Usage()))

    async def start_warm(self, name: str = "warm") -> None:
        """A human agent is called, at a destination of this name."""
        self.transfers.start_warm(
            replace(self.handoff("warm"), name=name),
            self.dialogue,
            "pcm",
            caller_leg="c1",
            shown=("Eve", "5551000"),
            variables={},
        )
        self.spoken()
        await passes(0.1)

    async def found(self) -> str:
        """The name of the channel on which a human agent waits for the caller."""
        await self.start_warm()
        await self.office.until(lambda: self.ended)
        ((why, channel),) = self.ended
        assert why == ""
        return channel

    async def make(self, handoff: Handoff) -> ev.Transferred | ev.TransferFailed:
        call = self.call
        return await self.transfers.make(
            handoff, self.dialogue, call._parties, arrival=call.arrival, leg=call._leg, call_id=call.call_id
        )

    def variable(self, name: str) -> str:
        return self.office.ari.variables.get(("c1", name), "")

    def counted(self, kind: str, result: str) -> float | None:
        labels = {"kind": kind, "result": result}
        return self.office.metrics.registry.get_sample_value("ariagent_transfers_total", labels)


class TestAnnouncement:
    @pytest.mark.parametrize("kind", ["briefed", "warm"])
    @virtual_time
    async def test_is_asked_of_the_model_beside_the_conversation(self, kind: str, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            desk.announce(kind)
            desk.call._settle()
            (asked,) = [
                m for m in desk.office.model.session.heard if m.get("response", {}).get("conversation") == "none"
            ]
            assert "Eve wants a refund." in asked["response"]["instructions"]

    @virtual_time
    async def test_a_blind_transfer_has_none(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            desk.announce("briefed")
            assert desk.announce("blind") is None
            assert desk.transfers.announcement is None  # not that of an earlier attempt either
            await desk.make(desk.handoff("blind"))
            assert desk.variable("ARIAGENT_ANNOUNCEMENT") == ""

    @virtual_time
    async def test_somebody_who_is_about_to_hear_it_is_waited_for_but_not_for_ever(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            began = time.monotonic()
            desk.announce("briefed")
            await desk.transfers.announced()
            assert time.monotonic() - began == pytest.approx(ANNOUNCEMENT_LIMIT_S, abs=0.1)
            assert len(desk.office.events("announcement.not_spoken")) == 1
            desk.announce("briefed")
            desk.spoken()
            began = time.monotonic()
            await desk.transfers.announced()
            assert time.monotonic() - began < 0.1
            assert len(desk.office.events("announcement.not_spoken")) == 1


class TestMake:
    @virtual_time
    async def test_the_dialplan_is_given_what_the_human_agent_needs_to_know(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            handoff = desk.handoff("blind", fields={"order": "4711"})
            assert await desk.make(handoff) == ev.Transferred()
            assert desk.transfers.made is handoff
            told = {name: value for (channel, name), value in desk.office.ari.variables.items() if channel == "c1"}
            assert told.items() >= {
                ("__ARIAGENT_CALL", "c1"),
                ("__ARIAGENT_REASON", "a refund"),
                ("__ARIAGENT_SUMMARY", "Eve wants a refund."),
                ("__ARIAGENT_FIELD_ORDER", "4711"),
                ("ARIAGENT_TIMEOUT", "20"),
            }
            assert desk.office.events("call.transferred")[0]["destination"] == "blind"
            assert (desk.counted("blind", "done"), desk.counted("blind", "failed")) == (1, None)

    @virtual_time
    async def test_the_caller_is_known_again_when_they_come_back_with_the_same_call(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            await desk.make(desk.handoff("blind"))
            memory = desk.office.context.memories.take(desk.call.call_id, time.monotonic())
            assert memory is not None
            assert memory.destination == "blind"

    @pytest.mark.parametrize("kind", ["blind", "briefed"])
    @virtual_time
    async def test_one_that_asterisk_refuses_is_counted_and_forgotten(self, kind: str, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            desk.office.ari.peer.refused["continue c1"] = REFUSED
            desk.announce(kind)
            failed = await desk.make(desk.handoff(kind))
            assert isinstance(failed, ev.TransferFailed)
            assert "HTTP 500" in failed.cause
            assert desk.transfers.made is None
            assert desk.counted(kind, "failed") == 1
            assert not desk.office.context.memories.knows(desk.call.call_id, time.monotonic())
            assert [each["destination"] for each in desk.office.events("call.transfer_failed")] == [kind]

    @virtual_time
    async def test_an_announcement_is_named_to_the_dialplan_before_it_is_written(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            announcement = desk.announce("briefed")
            await desk.make(desk.handoff("briefed"))
            assert announcement is not None
            assert desk.variable("ARIAGENT_ANNOUNCEMENT") == announcement.path != ""

    @virtual_time
    async def test_where_asterisk_cannot_play_it_the_transfer_is_a_blind_one(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            desk.announce("briefed")
            desk.office.context.announcements.tried(False)
            assert await desk.make(desk.handoff("briefed")) == ev.Transferred()
            (told,) = desk.office.events("call.transferred")
            assert (told["kind"], told["announcement"]) == ("blind", "failed")
            assert (desk.counted("blind", "done"), desk.counted("briefed", "done")) == (1, None)


class TestWarm:
    @virtual_time
    async def test_whoever_was_found_is_joined_with_the_caller(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path, human_answers_s=2.0) as desk:
            channel = await desk.found()
            assert await desk.make(desk.handoff("warm", joins=channel)) == ev.Transferred()
            assert desk.variable("ARIAGENT_JOIN") == channel
            assert desk.office.events("call.transferred")[0]["queue_call"].startswith("warm-")
            assert desk.counted("warm", "done") == 1
            # A human agent who hears the announcement on the consult leg does not hear it again from the dialplan.
            assert desk.variable("ARIAGENT_ANNOUNCEMENT") == ""
            desk.office.ari.names.clear()

    @virtual_time
    async def test_a_join_that_fails_is_counted_once_and_hangs_up_on_the_human_agent(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path, human_answers_s=2.0) as desk:
            channel = await desk.found()
            desk.office.ari.peer.refused["continue c1"] = REFUSED
            failed = await desk.make(desk.handoff("warm", joins=channel))
            assert isinstance(failed, ev.TransferFailed)
            assert desk.counted("warm", "failed") == 1
            await passes(0.1)
            assert not any(channel.startswith(WARM_PREFIX) for channel in desk.office.ari.names)

    @virtual_time
    async def test_only_one_human_agent_is_looked_for_at_a_time(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path, human_answers_s=60.0) as desk:
            await desk.start_warm()
            first = desk.transfers.announcement
            await desk.start_warm()
            await passes(1.0)
            assert desk.transfers.announcement is first
            assert len([each for each in desk.office.ari.peer.requests if each.startswith("originate")]) == 1
            await desk.transfers.warm.end("ENDED")

    @virtual_time
    async def test_another_destination_takes_the_place_of_the_first(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path, human_answers_s=60.0) as desk:
            await desk.start_warm()
            first = desk.transfers.announcement
            await desk.start_warm("sales")
            await passes(1.0)
            assert desk.transfers.announcement is not first
            assert desk.transfers.warm.in_progress
            told = [(name, fields.get("destination"), fields.get("why")) for name, fields in desk.office.logged.lines]
            assert ("consult.dropped", "warm", "CANCELLED") in told
            assert ("consult.called", "sales", None) in told
            assert desk.ended == []
            await desk.transfers.warm.end("ENDED")


class TestOutcome:
    @virtual_time
    async def test_everybody_who_waits_is_told_once(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            assert not desk.transfers.awaited
            waiting = [desk.transfers.outcome(), desk.transfers.outcome()]
            gone = desk.transfers.outcome()
            gone.cancel()  # a supervisor who closed the page
            assert desk.transfers.awaited
            handoff = desk.handoff("blind")
            await desk.make(handoff)
            desk.transfers.tell(TRANSFERRED)
            assert await asyncio.gather(*waiting) == [TransferOutcome(TRANSFERRED, handoff)] * 2
            assert not desk.transfers.awaited

    @virtual_time
    async def test_a_caller_who_is_back_with_the_agent(self, tmp_path: Path) -> None:
        async with Desk.of(tmp_path) as desk:
            desk.office.ari.peer.refused["continue c1"] = REFUSED
            waiting = desk.transfers.outcome()
            await desk.make(desk.handoff("blind"))
            desk.transfers.tell(None)
            assert await waiting == TransferOutcome(None, None)
