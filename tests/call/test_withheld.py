"""Callers who withhold their number or their name: it is nowhere, neither in the log nor in what the model is told.

What Asterisk makes of SIP's headers is in ``tests/integration/test_withheld.py``.
"""

from pathlib import Path
from typing import Any

import pytest

from ariagent.call.call import Call
from ariagent.call.presentation import NAME, NUMBER
from ariagent.termination import Result, Termination
from tests.call.incall import Office
from tests.call.virtualtime import virtual_time

SECRET, WINIFRED = "5550199123", "WinifredWithheld"
BOTH_WAYS = pytest.mark.parametrize("leg", ["c1", "s1"], ids=["direct", "seat"])
PRESENTATIONS = ["prohib_not_screened", "prohib_passed_screen", "prohib_failed_screen", "prohib", "unavailable"]
AGENT = {"instructions": "The caller is {caller.name}, number {caller.number}."}


async def calls(office: Office, leg: str, number: str = SECRET, **variables: str) -> Call:
    """A caller with a name and a number, in conversation. ``variables``: of their channel."""
    names = {"num_pres": NUMBER, "name_pres": NAME}
    office.ari.variables.update({(leg, names[name]): value for name, value in variables.items()})
    return await office.answered(leg, number=number, caller_name=WINIFRED)


async def kept(office: Office, call: Call) -> set[str]:
    """Where the number or the name is, while the call continues and after it."""
    found = traces(office, SECRET, WINIFRED)
    office.ari.leaves(call.leg)
    await office.over(call)
    return found | traces(office, SECRET, WINIFRED)


def traces(office: Office, *secrets: str) -> set[str]:
    """Where one of the secrets is: the log, what the model was told, what supervisors see."""
    texts: list[tuple[str, Any]] = list(office.logged.lines)
    texts += [("model", session.heard) for session in office.model.sessions]
    texts += [("live", call.live()) for call in office.registry.calls]
    return {where for where, text in texts if any(secret in repr(text) for secret in secrets)}


@BOTH_WAYS
@virtual_time
async def test_a_number_that_may_be_shown_is_told(leg: str, tmp_path: Path) -> None:
    """So the other tests look in the right places."""
    async with Office(tmp_path, agent=AGENT) as office:
        call = await calls(office, leg, num_pres="allowed_passed_screen")
        assert (call.live().caller_number, call.live().caller_name) == (SECRET, WINIFRED)
        assert {"call.started", "model", "live"} <= traces(office, SECRET)
        assert {"model", "live"} <= traces(office, WINIFRED)


@BOTH_WAYS
@pytest.mark.parametrize("presentation", PRESENTATIONS)
@virtual_time
async def test_a_withheld_number_is_nowhere_and_neither_is_the_name(
    leg: str, presentation: str, tmp_path: Path
) -> None:
    async with Office(tmp_path, agent=AGENT) as office:
        call = await calls(office, leg, num_pres=presentation)
        assert (call.live().caller_number, call.live().caller_name) == ("", "")
        assert await kept(office, call) == set()
        assert [fields["caller"] for fields in office.events("call.started")] == ["-"]


@BOTH_WAYS
@virtual_time
async def test_a_withheld_name_is_nowhere(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent=AGENT) as office:
        call = await calls(office, leg, name_pres="prohib")
        assert (call.live().caller_number, call.live().caller_name) == (SECRET, "")
        await kept(office, call)
        assert traces(office, WINIFRED) == set()


@BOTH_WAYS
@pytest.mark.parametrize(
    "number",
    ["anonymous", "Anonymous", "unavailable", "restricted", "private", "+anonymous", "anonymous@anonymous.invalid"],
)
@virtual_time
async def test_words_that_stand_for_no_number(leg: str, number: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent=AGENT) as office:
        call = await calls(office, leg, number)
        assert (call.live().caller_number, call.live().caller_name) == ("", "")
        assert [fields["caller"] for fields in office.events("call.started")] == ["-"]


@BOTH_WAYS
@virtual_time
async def test_withheld_numbers_count_without_being_shown(leg: str, tmp_path: Path) -> None:
    async with Office(tmp_path, agent=AGENT, caps={"calls_per_caller_per_hour": 1}) as office:
        call = await calls(office, leg, num_pres="prohib")
        assert await kept(office, call) == set()
        office.ari.variables["late", NUMBER] = "prohib"
        late = office.enter("late", "default", number=SECRET, caller_name=WINIFRED)
        assert late is not None
        assert await office.over(late) == Termination(Result.BUSY, "caller_often")
        assert traces(office, SECRET, WINIFRED) == set()
        other = office.enter("other", "default", number="5550000001")
        assert other is not None
        await office.until(lambda: other.state.value == "talking")
