"""Supervisors and calls in progress, in memory: what they see of a call, and what comes of moving it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ariagent.ami.events import UserEvent
from ariagent.ari.client import RefusedError
from ariagent.call.call import Call
from ariagent.config.tree import DrainTo
from ariagent.control.errors import RefusedError as Refusal
from ariagent.control.events import Feed, Reader
from ariagent.control.phone import ANSWER, SupervisorPhones
from ariagent.control.phonekey import VARIABLE
from ariagent.control.schemas import TransferBody
from ariagent.control.supervision import Supervision
from ariagent.errors import AmiError, InternalError
from ariagent.pool.pool import Pool
from tests.call.incall import Office
from tests.call.virtualtime import passes, virtual_time
from tests.control.conftest import parsed
from tests.pool.conftest import make_member
from tests.pool.memoryqueues import MemoryQueues

KEY = "0123456789abcdef" * 2


def no_drain(to: DrainTo | None, after_s: float | None) -> NoReturn:
    raise InternalError("nobody drains the service in these tests")


@dataclass
class Desk:
    """Supervisors of an office with one call, ``call``."""

    office: Office
    call: Call
    supervision: Supervision

    async def transfer(self, by: str = "anna", wait_s: float = 30.0, **wanted: Any) -> dict[str, Any]:
        """The answer, or the error with its word and reason."""
        body = TransferBody(wait_s=wait_s, **wanted)
        try:
            return (await self.supervision.transfer(self.call.call_id, body, by)).model_dump()
        except Refusal as refusal:
            return {"status": refusal.status, "error": refusal.error, "reason": str(refusal), "do": refusal.remedy}


@asynccontextmanager
async def desk(folder: Path, *, pool: Pool | None = None) -> AsyncIterator[Desk]:
    async with Office(folder) as office:
        call = await office.answered("c1", caller_name="Eve")
        yield Desk(office, call, Supervision(office.registry, pool, office.settings.destinations, drain=no_drain))


# -- what is seen ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_call_as_its_supervisors_see_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.office.model.session.caller_ends("I want a refund.")
        here.office.model.session.speaks(1.0)
        await here.office.silent(here.call)
        told = here.supervision.call(here.call.call_id)
        assert (told.state, told.agent, told.language, told.seat, told.queue) == ("talking", "default", "en", "", "")
        assert (told.caller, told.caller_name, told.channel) == ("5551000", "Eve", "PJSIP/c1")
        assert told.answered_s is not None
        assert told.answered_s > 1.0
        assert told.last_words is not None
        assert told.last_words.side == "agent"


@virtual_time
async def test_calls_are_listed_the_longest_first_and_not_before_they_are_known(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        await passes(5)
        later = await here.office.answered("c2")
        here.office.arrives("c3")
        assert len(here.office.registry) == 3
        told = here.supervision.calls().calls
        assert [call.id for call in told] == [here.call.call_id, later.call_id]
        with pytest.raises(Refusal, match="no active call c3"):
            here.supervision.call("c3")
        here.office.ari.leaves("c1")
        await here.office.over(here.call)
        assert later.call_id in [call.id for call in here.supervision.calls().calls]
        with pytest.raises(Refusal, match="no active call c1"):
            here.supervision.call("c1")


@virtual_time
async def test_a_warm_transfer_is_a_state_of_its_own(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        assert (await here.transfer(destination="warm", wait_s=0.0))["state"] == "under_way"
        assert here.supervision.call("c1").state == "warm_transfer"


# -- what is done ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_caller_is_transferred_to_a_destination_or_to_its_queue(tmp_path: Path) -> None:
    for wanted in ({"destination": "blind"}, {"queue": "SUPPORT"}):
        async with desk(tmp_path) as here:
            assert await here.transfer(**wanted) == {"id": "c1", "to": "blind", "state": "transferred"}
            termination = await here.office.over(here.call)
            assert termination.result.value == "transferred"


@virtual_time
async def test_an_answer_does_not_wait_longer_than_is_wanted_and_the_transfer_happens_all_the_same(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as here:
        here.office.model.session.speaks(4.0)
        began = asyncio.get_running_loop().time()
        assert (await here.transfer(destination="blind", wait_s=0.5))["state"] == "under_way"
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.5)
        assert (await here.office.over(here.call)).result.value == "transferred"


@virtual_time
async def test_nobody_takes_the_call(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        told = await here.transfer(destination="warm")
        assert (told["status"], told["error"]) == (409, "nobody_found")
        assert told["reason"] == "no human agent of warm took the call; the caller stays with the AI"
        assert here.supervision.call("c1").state == "talking"


@virtual_time
async def test_asterisk_refuses_the_transfer(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.office.ari.peer.refused["continue c1"] = RefusedError("HTTP 500")
        told = await here.transfer(destination="blind")
        assert (told["status"], told["error"]) == (502, "not_transferred")
        assert told["reason"] == "Asterisk refused the transfer to blind; the caller stays with the AI"
        assert "call.transfer_failed" in told["do"]
        assert here.office.events("call.transfer_failed")


@virtual_time
async def test_the_caller_hangs_up_before_the_transfer(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.office.model.session.speaks(4.0)
        waiting = asyncio.ensure_future(here.transfer(destination="blind"))
        await passes(1.0)
        here.office.ari.leaves("c1")
        told = await waiting
        assert (told["status"], told["error"]) == (409, "call_ended")
        assert told["reason"] == "the call ended before the transfer: done (caller_hung_up)"


@virtual_time
async def test_another_supervisor_transfers_the_caller_elsewhere(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        first = asyncio.ensure_future(here.transfer("anna", destination="warm"))
        await passes(2.0)
        assert (await here.transfer("ben", destination="blind"))["state"] == "transferred"
        told = await first
        assert (told["status"], told["error"]) == (409, "moved_elsewhere")
        assert told["reason"] == "ben transferred the caller to blind"


@virtual_time
async def test_a_second_transfer_while_one_is_under_way(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        here.office.model.session.speaks(4.0)
        await here.transfer("anna", destination="blind", wait_s=0.0)
        told = await here.transfer("ben", destination="blind")
        assert (told["status"], told["error"]) == (409, "wrong_state")
        assert told["reason"] == "anna is transferring the caller to blind already"


@virtual_time
async def test_destinations_and_queues_that_there_are_not(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        told = await here.transfer(destination="blnd")
        assert (told["status"], told["error"]) == (404, "unknown_destination")
        assert told["reason"] == "there is no destination blnd (did you mean blind?)"
        assert told["do"] == "There are: blind, briefed, warm"
        told = await here.transfer(queue="suport")
        assert (told["status"], told["error"]) == (404, "unknown_queue")
        assert told["reason"] == "there is no queue suport (did you mean support?)"
        assert told["do"] == "There are: support"
        assert here.supervision.call("c1").state == "talking"
        here.supervision.destinations = {}
        assert (await here.transfer(queue="support"))["do"] == "The settings name no queue"


@virtual_time
async def test_any_queue_of_asterisks_is_a_destination(tmp_path: Path) -> None:
    asterisk = MemoryQueues(make_member("Night", "PJSIP/1001"))
    pool = Pool(asterisk, "ariagent")
    async with desk(tmp_path, pool=pool) as here:
        told = await here.transfer(queue="night")
        assert (told["status"], told["error"]) == (503, "queues_unknown")
        assert told["reason"].endswith("queue night exists: no connection to the manager interface")
        asterisk.connect()
        await passes(0.5)
        asterisk.refused["Getvar"] = AmiError("Asterisk did not answer Getvar within 5 s")
        assert (await here.transfer(queue="daydesk"))["reason"].endswith("Asterisk did not answer Getvar within 5 s")
        asterisk.refused.clear()
        assert (await here.transfer(queue="daydesk"))["do"] == "There are: Night, support"
        assert await here.transfer(queue="night") == {"id": "c1", "to": "Night", "state": "transferred"}


@virtual_time
async def test_a_note_reaches_the_model_without_characters_that_are_no_text(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        told = here.supervision.whisper("c1", "Offer\x00 the\nfree inspection.", "anna", now=True)
        assert told.told == "Offer the free inspection."
        await passes(0.1)
        assert here.office.model.session.told("Offer the free inspection.")
        with pytest.raises(Refusal, match="text is empty"):
            here.supervision.whisper("c1", "\x00\n", "anna", now=True)
        here.office.arrives("c2")
        with pytest.raises(Refusal, match="cannot take a note now"):
            here.supervision.whisper("c2", "Be kind.", "anna", now=False)


# -- the stream of events ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def reading(here: Desk) -> AsyncIterator[Reader]:
    feed = Feed(here.supervision)
    task = asyncio.ensure_future(feed.run())
    reader = feed.join("anna")
    yield reader
    feed.leave(reader)
    task.cancel()
    await asyncio.wait([task])


async def told_to(reader: Reader) -> list[tuple[str, Any]]:
    """The events since the last time."""
    reader.put(": the end\n\n")
    return parsed(await reader.next() or "")


@virtual_time
async def test_a_stream_has_the_calls_in_progress_then_each_change_and_the_end(tmp_path: Path) -> None:
    async with desk(tmp_path) as here, reading(here) as reader:
        [(name, snapshot)] = await told_to(reader)
        assert (name, [call["id"] for call in snapshot["calls"]]) == ("snapshot", ["c1"])
        await passes(5)
        here.office.registry._changed(here.call)
        assert await told_to(reader) == [], "that time passes is no change"
        here.office.model.session.speaks(2.0)
        await here.transfer(destination="blind", wait_s=0.5)
        told = await told_to(reader)
        assert {(name, data["id"]) for name, data in told} == {("call", "c1")}
        assert told[-1][1]["state"] == "before_transfer"
        await here.office.over(here.call)
        assert (await told_to(reader))[-1] == ("ended", {"id": "c1", "result": "transferred", "reason": "handed_over"})
        late = await here.office.answered("c2")
        told = await told_to(reader)
        assert {(name, data["id"]) for name, data in told} == {("call", "c2")}
        assert told[0][1]["answered_s"] is None
        assert told[-1][1]["last_words"]["side"] == "agent"
        here.office.ari.leaves("c2")
        await here.office.over(late)
        assert await told_to(reader) == [("ended", {"id": "c2", "result": "done", "reason": "caller_hung_up"})]


# -- at their phones ---------------------------------------------------------------------------------------------------


class Phones:
    """The phones of a desk's supervisors, with the right key."""

    def __init__(self, here: Desk) -> None:
        self._ami = here.office.ami
        self.phones = SupervisorPhones(here.supervision, here.office.ami, "ariagent")
        self.phones._key.found(KEY)

    async def ask(self, **fields: str) -> str:
        """The answer that the phone's channel got; "" if it got none."""
        before = len(self._ami.sent)
        self._ami._tell(
            UserEvent("AriagentSupervisor", {"channel": "PJSIP/1004-1", "key": KEY, "by": "1004", **fields})
        )
        await self.phones.close()
        told = [each for each in self._ami.sent[before:] if each.get("Variable") == ANSWER]
        assert all(each["Channel"] == "PJSIP/1004-1" for each in told)
        return told[-1]["Value"] if told else ""


@virtual_time
async def test_a_phone_is_told_one_call_after_another_the_oldest_first(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = Phones(here)
        await passes(5)
        later = await here.office.answered("c2", number="+49 30 5552017")
        here.office.arrives("c3")  # nobody can be heard there yet
        first = (await phones.ask(do="next")).split("&")
        assert (first[:3], first[4:]) == (["call", here.call.media.channel, "c1"], ["1", "2", "1000"])
        second = (await phones.ask(do="next", after=first[3])).split("&")
        assert (second[2], second[4:]) == (later.call_id, ["2", "2", "2017"])
        assert (await phones.ask(do="next", after=second[3])).split("&") == first, "and from the beginning"
        for channel, call in (("c1", here.call), ("c2", later)):
            here.office.ari.leaves(channel)
            await here.office.over(call)
        here.office.ari.leaves("c3")
        assert await phones.ask(do="next") == "none"


@virtual_time
async def test_a_supervisor_moves_a_call_by_phone(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = Phones(here)
        assert await phones.ask(do="destination", to="nowhere", call="c1") == "refused"
        assert here.office.events("supervisor.request_failed")[-1]["cause"].startswith(
            "there is no destination nowhere"
        )
        assert await phones.ask(do="queue", to="support,s,1", call="c1") == "refused"
        assert await phones.ask(do="destination", to="blind", call="c1") == "done"
        assert (await here.office.over(here.call)).result.value == "transferred"
        assert [fields["by"] for fields in here.office.events("call.transferred")] == ["phone 1004"]


@virtual_time
async def test_a_supervisor_takes_a_call_by_phone(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = Phones(here)
        here.office.model.session.speaks(3.0)
        assert await phones.ask(do="take", to="1004", call="c1") == "done"
        assert await phones.ask(do="take", to="1004", call="c1") == "refused"
        await here.office.over(here.call)
        [told] = here.office.events("call.transferred")
        assert (told["destination"], told["by"]) == ("supervisor", "phone 1004")


@pytest.mark.parametrize(
    ("mode", "words"), [("whisper", "The caller does not hear me."), ("barge", "the caller hears me too")]
)
@virtual_time
async def test_the_model_is_told_whose_voice_it_hears_and_when_it_goes(mode: str, words: str, tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones, session = Phones(here), here.office.model.session
        await phones.ask(do="listen", call="c1")
        await passes(0.1)
        assert not session.told(words)
        await phones.ask(do=mode, call="c1", was="listen")
        await passes(0.1)
        assert session.told(words)
        assert not session.told("I do not speak any more")
        await phones.ask(do="leave", call="c1", was=mode)
        await passes(0.1)
        assert session.told("I do not speak any more")
        told = [(each["mode"], each["by"]) for each in here.office.events("call.supervised")]
        assert told == [(each, "phone 1004") for each in ("listen", mode, "leave")]


@virtual_time
async def test_a_phone_of_another_service_is_not_answered(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = Phones(here)
        assert await phones.ask(do="next", app="billing") == ""
        assert await phones.ask(do="next", app="ariagent") != ""


@virtual_time
async def test_an_answer_that_asterisk_does_not_take_is_logged(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = Phones(here)
        here.office.ami.peer.refused["Setvar"] = AmiError("Setvar: No such channel")
        assert await phones.ask(do="next") == ""
        [told] = here.office.events("supervisor.answer_failed")
        assert told == {"channel": "PJSIP/1004-1", "cause": "Setvar: No such channel"}


@virtual_time
async def test_a_key_that_asterisk_has_forgotten_is_set_again_and_another_services_is_learnt(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = SupervisorPhones(here.supervision, here.office.ami, "ariagent")
        keys = here.office.ami.globals
        await phones._read_key()
        own = keys[VARIABLE]
        keys.clear()  # Asterisk was restarted
        here.office.ami._tell(UserEvent("AriagentSupervisor", {"do": "next", "channel": "x", "key": ""}))
        await phones.close()
        assert keys[VARIABLE] == own
        assert len(here.office.events("supervisor.key_missing")) == 1
        await passes(10)
        keys[VARIABLE] = KEY  # another service was first
        here.office.ami._tell(UserEvent("AriagentSupervisor", {"do": "next", "channel": "x", "key": KEY}))
        await phones.close()
        answers = [each["Value"] for each in here.office.ami.sent if each.get("Variable") == ANSWER]
        assert [answer.split("&")[0] for answer in answers] == ["call"]


@virtual_time
async def test_many_forged_events_at_once_cost_asterisk_little(tmp_path: Path) -> None:
    async with desk(tmp_path) as here:
        phones = SupervisorPhones(here.supervision, here.office.ami, "ariagent")
        here.office.ami.peer.takes_s["*"] = 0.1
        for _ in range(200):
            here.office.ami._tell(UserEvent("AriagentSupervisor", {"do": "next", "key": "forged"}))
        assert len(phones._tasks) == 16
        await phones.close()
        assert len(here.office.ami.peer.requests) <= 6
        assert 0 < len(here.office.events("supervisor.wrong_key")) < 100
