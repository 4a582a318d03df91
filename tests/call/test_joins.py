"""A human agent waits on the line, and the caller hangs up just before they are joined: nobody is left in a silence.

The whole call, at every moment of the join. Some are in ``tests/integration/test_joins.py``, on a real Asterisk.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from ariagent.ari.client import RefusedError
from ariagent.call import events as ev
from ariagent.call.call import Call
from ariagent.call.machine import State
from ariagent.call.transfers import CALLER_GONE_S
from ariagent.call.warm_transfer import JOIN_S
from tests.call.incall import EVENT_S, WARM_PREFIX, Office, assert_nothing_left
from tests.call.virtualtime import passes, virtual_time

BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
SILENCE_S = 3.1
"""How long a human agent may wait for a caller who is gone."""
REFUSED = RefusedError("HTTP 500")


class Join:
    """A call whose human agent has heard the announcement, or is about to."""

    def __init__(self, office: Office, call: Call) -> None:
        self.office = office
        self.call = call
        seat = call.arrival.seat is not None
        self.peer: Any = office.ami.peer if seat else office.ari.peer
        self.request = "BlindTransfer" if seat else f"continue {call.leg}"
        self.first_request = "Setvar" if seat else f"set {call.leg}"

    @classmethod
    async def of(cls, office: Office, leg: str) -> "Join":
        """The human agent has answered."""
        call = await office.answered(leg)
        office.ari.human_answers_s = 1.0
        office.model.session.calls_tool("transfer_call", destination="warm", reason="r", summary="A refund.")
        await office.until(lambda: office.events("consult.answered"))
        return cls(office, call)

    @property
    def humans(self) -> list[str]:
        """The channels on which the human agent is."""
        names = self.office.ari.names
        return [each for each in names if each.startswith(WARM_PREFIX) and not each.endswith("-ear")]

    @property
    def hung_up(self) -> list[str]:
        """The human agents on whom the service has hung up."""
        begins = f"hang_up {WARM_PREFIX}"
        return [each for each in self.office.ari.peer.requests if each.startswith(begins) and not each.endswith("-ear")]

    async def asked(self, request: str = "") -> None:
        """Until the request is on its way."""
        request = request or self.request
        await self.office.until(lambda: any(each.startswith(request) for each in self.peer.requests))

    def caller_leaves(self) -> float:
        """The caller hangs up; returns when."""
        self.office.ari.leaves(self.call.leg)
        return time.monotonic()

    async def nobody_waits(self, since: float) -> None:
        """The human agent is hung up soon, and nothing is left."""
        office = self.office
        await office.until(lambda: not self.humans)
        assert time.monotonic() - since < SILENCE_S
        await office.over(self.call)
        await passes(30.0)
        assert_nothing_left(office, self.call)
        assert len(office.events("consult.dropped")) == 1

    async def stays_joined(self) -> None:
        """The caller is with the human agent, and nobody disturbs them."""
        office = self.office
        ended = await office.over(self.call)
        assert ended.reason == "handed_over"
        await passes(30.0)
        assert (len(self.humans), self.hung_up) == (1, [])
        office.ari.leaves(self.humans[0])
        assert_nothing_left(office, self.call)

    def counted(self) -> dict[str, float | None]:
        sample = self.office.metrics.registry.get_sample_value
        return {
            result: sample("ariagent_transfers_total", {"kind": "warm", "result": result})
            for result in ("done", "failed", "not_taken")
        }


# -- before Asterisk is asked ------------------------------------------------------------------------------------------


@BOTH_WAYS
@virtual_time
async def test_while_the_human_agent_hears_the_announcement(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        await join.nobody_waits(join.caller_leaves())
        assert join.counted() == {"done": None, "failed": None, "not_taken": 1}


@BOTH_WAYS
@virtual_time
async def test_while_the_agent_finishes_its_sentence(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        await passes(office.ari.sound_lasts_s - 1.0)
        office.model.session.speaks(10.0)
        await office.until(lambda: join.call.state is State.BEFORE_TRANSFER)
        await join.nobody_waits(join.caller_leaves())
        assert join.counted() == {"done": None, "failed": None, "not_taken": 1}


# -- while Asterisk is asked -------------------------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize("first", [False, True], ids=["the last request", "the first request"])
@pytest.mark.parametrize("takes_s", [0.5, 4.0, 1e3])
@virtual_time
async def test_before_a_request_arrives(takes_s: float, first: bool, leg: str, tmp_path: Path) -> None:
    """Whether it arrives at all: a human agent does not wait for that."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        request = join.first_request if first else join.request
        join.peer.takes_s[request] = takes_s
        office.ari.hanging_up.add(leg)
        await join.asked(request)
        await passes(0.1)
        assert join.call.state is State.TRANSFERRING
        await join.nobody_waits(join.caller_leaves())


@BOTH_WAYS
@virtual_time
async def test_in_the_same_breath(leg: str, tmp_path: Path) -> None:
    """The caller is known to be gone when Asterisk is asked."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        join.peer.takes_s[join.first_request] = 1e3
        await passes(office.ari.sound_lasts_s - 1.0)
        office.model.session.speaks(10.0)
        await office.until(lambda: join.call.state is State.BEFORE_TRANSFER)
        join.call.feed(ev.SpeechFinished())
        assert join.call.state is State.TRANSFERRING
        await join.nobody_waits(join.caller_leaves())


@BOTH_WAYS
@virtual_time
async def test_before_a_request_arrives_that_is_refused(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        join.peer.takes_s[join.request] = 0.5
        join.peer.refused[join.request] = REFUSED
        await join.asked()
        await passes(0.1)
        await join.nobody_waits(join.caller_leaves())
        assert join.counted() == {"done": None, "failed": None, "not_taken": 1}
        assert (await office.over(join.call)).reason == "caller_hung_up"


@BOTH_WAYS
@pytest.mark.parametrize("answers_s", [0.0, 0.5, 4.0, 1e3])
@virtual_time
async def test_as_asterisk_takes_the_request(answers_s: float, leg: str, tmp_path: Path) -> None:
    """It has said that it moves a channel which is being hung up: the caller never gets there."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        office.ari.hanging_up.add(leg)
        join.peer.answers_s[join.request] = answers_s
        await join.asked()
        await office.until(lambda: leg not in office.ari.names)
        await join.nobody_waits(time.monotonic())
        if answers_s < CALLER_GONE_S:
            assert office.events("consult.dropped")[0]["why"] == "NOTJOINED"
            known = leg == "c1" and answers_s > 0  # that the caller hangs up, before Asterisk's answer comes
            counted = {"done": None, "not_taken": 1} if known else {"done": 1, "not_taken": None}
            assert join.counted() == {"failed": None, **counted}


@BOTH_WAYS
@virtual_time
async def test_a_fault_of_ours_while_asterisk_is_asked(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        join.peer.takes_s[join.request] = 4.0
        await join.asked()
        join.peer.takes_s.clear()
        join.call._fault(ZeroDivisionError("a bug of ours"))
        since = time.monotonic()
        await office.until(lambda: not join.humans)
        assert time.monotonic() - since < SILENCE_S
        await office.over(join.call)
        assert office.events("consult.dropped")[0]["why"] == "NOTJOINED"


# -- once they are joined ----------------------------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize(
    ("joins_s", "answers_s"), [(EVENT_S, 0.0), (EVENT_S, 4.0), (EVENT_S, 1e3), (1.5, 0.0), (1.5, 0.5)]
)
@virtual_time
async def test_a_caller_who_is_there_stays(joins_s: float, answers_s: float, leg: str, tmp_path: Path) -> None:
    """Also where Asterisk's answer is late, or lost, or where the dialplan is slow."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        office.ari.joins_s = joins_s
        join.peer.answers_s[join.request] = answers_s
        await join.asked()
        await join.stays_joined()


@BOTH_WAYS
@virtual_time
async def test_a_caller_who_is_there_stays_when_nothing_tells_of_it(
    leg: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream of events was interrupted: what Asterisk has in our application decides."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        monkeypatch.setattr(office.ari, "joins", lambda name: office.ari.outside.update(join.humans))
        await join.asked()
        await join.stays_joined()


@BOTH_WAYS
@virtual_time
async def test_a_caller_who_is_there_stays_when_the_service_looks_for_what_is_left(leg: str, tmp_path: Path) -> None:
    """It does after each interruption of the stream, and Asterisk names the consult leg among what we have."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        await join.asked()
        await office.over(join.call)
        queue_half = join.humans[0].removeprefix("ariagent-")
        office.ari.names[queue_half] = "Local/support@ariagent-warm/n;2"
        office.ari.outside.add(queue_half)
        await office.registry.catch_up()
        await join.stays_joined()
        assert office.events("orphan_call.found") == []
        assert queue_half in office.ari.names


@BOTH_WAYS
@virtual_time
async def test_what_asterisk_does_not_tell_is_looked_for_later(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        office.ari.hanging_up.add(leg)
        office.ari.peer.refused["look"] = REFUSED
        await office.over(join.call)
        assert len(join.humans) == 1
        assert len(office.events("call.release_failed")) == 1
        office.ari.peer.refused.clear()
        await office.until(lambda: not join.humans)
        assert_nothing_left(office, join.call)


@pytest.mark.parametrize("refused", [True, False])
@virtual_time
async def test_a_human_agent_whom_asterisk_does_not_let_go_is_tried_again(refused: bool, tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, "c1")
        (human,) = join.humans
        office.ari.hanging_up.add("c1")
        if refused:
            office.ari.peer.refused[f"hang_up {human}"] = REFUSED
        else:
            office.ari.peer.takes_s[f"hang_up {human}"] = 1e3
        await office.over(join.call)
        assert join.humans == [human]
        office.ari.peer.refused.clear()
        office.ari.peer.takes_s.clear()
        await office.until(lambda: not join.humans)
        assert_nothing_left(office, join.call)


@BOTH_WAYS
@virtual_time
async def test_a_human_agent_who_hangs_up_on_the_way_is_not_hung_up(leg: str, tmp_path: Path) -> None:
    """The dialplan brings the caller back."""
    async with Office(tmp_path) as office:
        join = await Join.of(office, leg)
        office.ari.joins_s = 1e3
        await join.asked()
        office.ari.leaves(join.humans[0])
        await office.over(join.call)
        assert join.hung_up == []
        assert_nothing_left(office, join.call)


@virtual_time
async def test_a_call_that_waits_for_the_join_is_no_warm_transfer_any_more(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        join = await Join.of(office, "c1")
        assert join.call.live().state == "warm_transfer"
        office.ari.hanging_up.add("c1")
        await office.until(lambda: join.call.over)
        await passes(JOIN_S / 2)
        assert (join.call.live().state, len(join.humans)) == ("ending", 1)
        assert join.call.owns(join.humans[0])
        await join.nobody_waits(time.monotonic())
