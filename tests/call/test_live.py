"""A call as its supervisors see it, from its arrival to its end."""

from pathlib import Path

import pytest

from tests.call.incall import Office
from tests.call.virtualtime import BEGAN_AT, passes, virtual_time


@virtual_time
async def test_a_direct_call(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        call = office.enter("c1", "default")
        assert call is not None
        live = call.live()
        assert (live.state, live.agent, live.answered_s, live.last_said) == ("preparing", "", None, None)
        assert live.arrived == pytest.approx(BEGAN_AT, abs=1.0)
        await office.until(lambda: call.state.value == "talking")
        await passes(5.0)
        live = call.live()
        assert (live.call_id, live.agent, live.language, live.seat) == ("c1", "default", "en", "")
        assert (live.caller_number, live.channel) == ("5551000", "PJSIP/c1")
        assert live.answered_s == pytest.approx(5.0, abs=0.1)
        assert live.last_said == ("agent", "Words of item_1.")


@virtual_time
async def test_a_queues_caller(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        office.ari.variables["s1", "ARIAGENT_QUEUE"] = "support"
        call = await office.answered("s1")
        live = call.live()
        assert (live.seat, live.queue) == ("03", "support")
        assert live.channel == "Local/03@ariagent-seat-s1;2"


@virtual_time
async def test_each_change_is_told_to_whoever_watches(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        seen: list[str] = []
        office.registry.watchers.append(lambda call: seen.append(call.live().state))
        call = await office.answered("c1")
        call.transfer(office.handoff("warm"))
        await passes(1.0)
        office.ari.leaves("c1")
        await office.over(call)
        assert list(dict.fromkeys(seen)) == ["media_ready", "answering", "talking", "warm_transfer", "ending", "ended"]


@virtual_time
async def test_a_watcher_that_fails_harms_no_call_and_no_other_watcher(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        seen: list[str] = []

        def boom(call: object) -> None:
            raise ZeroDivisionError("a bug of ours")

        office.registry.watchers += [boom, lambda call: seen.append(call.live().state)]
        call = await office.answered("c1")
        office.ari.leaves("c1")
        await office.over(call)
        await office.registry.drained()
        assert office.ended() == {"done/caller_hung_up": 1}
        assert "talking" in seen
        assert {fields["call"] for fields in office.events("call.watcher_failed")} == {"c1"}
