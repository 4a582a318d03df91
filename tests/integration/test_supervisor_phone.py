"""Supervisors' feature codes: who may use them, what each party hears, where callers go, and what queue_log says."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

from lab.call_setup import CallRefused, CallState
from tests.dialplansteps import replaced

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
QUEUE_FIRST = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
DIRECT_FIRST = pytest.mark.parametrize("number", ["7001", pytest.param("7000", marks=pytest.mark.long)])
"""Both ways; ``make test`` has the first."""
SOON_NO_ANSWER = "GotoIf($[${ARIAGENT_WAITED} < 10]?wait)"
"""The service is waited for for a second; on a site for 5."""
LISTEN, WHISPER, BARGE = "*80", "*81", "*82"
SUPERVISOR, STRANGER = "1004", "1003"
AGENT_HZ, CALLER_HZ, SUPERVISOR_HZ = 440.0, 700.0, 1300.0
"""The sandbox's voice hums; the others play tones."""
DIAL_TONE_HZ = 350.0
"""One of its two, and not in the tone of congestion."""
SCENARIO = Path(__file__).parent / "scenarios" / "handoff.yaml"
AGENT = {"transcription": None}
IN_THE_LAB = {"ARIAGENT_SUPERVISORS": SUPERVISOR, "ARIAGENT_SUPERVISOR_SAY": "yes"}


class Codes:
    """The settings of the codes, which are globals of the dialplan."""

    def __init__(self, asterisk: Any) -> None:
        self._asterisk = asterisk
        self._changed: set[str] = set()

    async def set(self, name: str, value: str) -> None:
        self._changed.add(name)
        await self._asterisk.cli(f'dialplan set global {name} "{value}"')

    async def restore(self) -> None:
        for name in self._changed:
            await self.set(name, IN_THE_LAB.get(name, ""))
        for device in ("PJSIP1003", "PJSIP1004", "PJSIPanonymous"):
            for name in (f"ARIAGENT_WRONG_{device}", f"ARIAGENT_WRONG_{device}_UNTIL"):
                await self.set(name, "0")


@pytest.fixture
async def codes(asterisk: Any) -> AsyncIterator[Codes]:
    """Calls are announced by a tone only."""
    found = Codes(asterisk)
    await found.set("ARIAGENT_SUPERVISOR_SAY", "no")
    yield found
    await found.restore()


def rows(asterisk: Any, call_id: str) -> set[tuple[str, ...]]:
    """Rows of queue_log for a call, without times: a set, for the order is not certain."""
    rows = asterisk.queue_rows(call_id)
    return {tuple(line[2:7]) if line[4] == "BLINDTRANSFER" else tuple(line[2:5]) for line in rows}


def holds(heard: Any, hz: float, rate_hz: int = 8000) -> bool:
    """Whether a tone of this frequency is in it for a tenth of a second."""
    window = rate_hz // 10
    turn = np.exp(-2j * np.pi * hz * np.arange(window) / rate_hz)
    pieces = (heard[at : at + window].astype(float) for at in range(0, len(heard) - window, window // 2))
    return any(2 * abs(np.dot(piece, turn)) / window > 1000 for piece in pieces)


@dataclass
class Scene:
    """A caller who talks with the agent, and a supervisor on the line."""

    call: Any
    hearing: Any
    boss: Any
    listening: Any
    session: Any
    sound: Any
    call_id: str

    async def everybody_plays(self) -> tuple[set[float], set[float], set[float]]:
        """Supervisor, caller and agent are heard one after another: what supervisor, caller and model heard of it."""
        began = len(self.boss.heard()), len(self.call.heard()), len(self.sound.appended(self.session))
        await self.boss.play(self.sound.tone(0.6, hz=SUPERVISOR_HZ))
        await self.hearing.wait_quiet(0.6)
        await self.call.play(self.sound.tone(0.6, hz=CALLER_HZ))
        await self.hearing.utterance(self.hearing.spoke_until(), quiet_s=0.6)
        await self.listening.wait_quiet()
        heard = (
            (self.boss.heard()[began[0] :], 8000),
            (self.call.heard()[began[1] :], 8000),
            (self.sound.appended(self.session)[began[2] :], 24000),
        )
        tones = (AGENT_HZ, CALLER_HZ, SUPERVISOR_HZ)
        supervisor, caller, model = ({hz for hz in tones if holds(pcm, hz, rate)} for pcm, rate in heard)
        return supervisor, caller, model

    def notes(self) -> str:
        """Everything that the model was told in writing."""
        return " ".join(part.get("text", "") for item in self.session.items for part in item.get("content", []))

    async def told(self, words: str) -> None:
        """Return once the model was told this."""
        async with asyncio.timeout(LIMIT_S):
            while words not in self.notes():
                await asyncio.sleep(0.02)

    async def talk_with_each_other(self) -> None:
        """Caller and supervisor hear each other, and the agent is gone."""
        marks = len(self.call.heard()), len(self.boss.heard())
        await asyncio.gather(
            self.call.play(self.sound.tone(1.0, hz=CALLER_HZ)), self.boss.play(self.sound.tone(1.0, hz=SUPERVISOR_HZ))
        )
        await asyncio.gather(self.hearing.wait_quiet(), self.listening.wait_quiet())
        heard = self.call.heard()[marks[0] :], self.boss.heard()[marks[1] :]
        assert (holds(heard[0], SUPERVISOR_HZ), holds(heard[1], CALLER_HZ)) == (True, True)
        assert (holds(heard[0], AGENT_HZ), holds(heard[1], AGENT_HZ)) == (False, False)


@pytest.fixture
def scene(sandbox: Any, service: Any, phone: Any, dial: Any, sound: Any, log: Any, codes: Codes) -> Any:
    """``await scene("7000", LISTEN)``: the opening is over, and the supervisor listens."""

    async def make(number: str, code: str = LISTEN, mode: str = "listen", **settings: Any) -> Scene:
        model = await sandbox(scenario=SCENARIO)
        await service(model, agent=AGENT, **settings)
        call, hearing = await dial(number)
        await hearing.utterance()
        boss, listening = await dial(code, await phone(SUPERVISOR))
        entry = await log.wait("call.supervised", mode=mode, by=f"phone {SUPERVISOR}")
        await listening.wait_quiet()
        return Scene(call, hearing, boss, listening, await model.wait_session(1), sound, entry["call"])

    return make


# -- hearing and speaking ----------------------------------------------------------------------------------------------


@QUEUE_FIRST
async def test_who_listens_hears_both_and_is_heard_by_nobody(number: str, scene: Any, log: Any) -> None:
    here = await scene(number)
    supervisor, caller, model = await here.everybody_plays()
    assert supervisor == {AGENT_HZ, CALLER_HZ}
    assert caller == {AGENT_HZ}
    assert model == {CALLER_HZ}
    assert "supervisor" not in here.notes()
    await here.boss.hangup()
    await log.wait("call.supervised", mode="leave")
    await here.call.hangup()


@DIRECT_FIRST
async def test_a_whisper_is_heard_by_the_agent_alone(number: str, scene: Any, log: Any) -> None:
    here = await scene(number)
    await here.boss.send_dtmf("5")
    await log.wait("call.supervised", mode="whisper")
    supervisor, caller, model = await here.everybody_plays()
    assert supervisor == {AGENT_HZ, CALLER_HZ}
    assert caller == {AGENT_HZ}
    assert model == {CALLER_HZ, SUPERVISOR_HZ}
    await here.told("The caller does not hear me")
    await here.boss.send_dtmf("4")
    await log.wait("call.supervised", mode="listen", count=2)
    assert SUPERVISOR_HZ not in (await here.everybody_plays())[2]
    await here.told("I do not speak any more")
    await here.boss.hangup()
    await here.call.hangup()


@QUEUE_FIRST
async def test_who_barges_in_is_heard_by_both(number: str, scene: Any, log: Any) -> None:
    here = await scene(number, BARGE, "barge")
    supervisor, caller, model = await here.everybody_plays()
    assert supervisor == {AGENT_HZ, CALLER_HZ}
    assert caller == {AGENT_HZ, SUPERVISOR_HZ}
    assert model == {CALLER_HZ, SUPERVISOR_HZ}
    await here.boss.hangup()
    await log.wait("call.supervised", mode="leave")
    await here.told("I do not speak any more")
    await here.call.hangup()


# -- moving ------------------------------------------------------------------------------------------------------------


@DIRECT_FIRST
async def test_a_supervisor_takes_a_call_over(number: str, scene: Any, asterisk: Any, log: Any) -> None:
    here = await scene(number)
    await here.boss.send_dtmf("1")
    handed = await log.wait("call.transferred", destination="supervisor", by=f"phone {SUPERVISOR}")
    await log.wait("call.ended", call=handed["call"], result="transferred")
    await here.talk_with_each_other()
    await here.boss.hangup()
    await here.call.ended(LIMIT_S)
    found = rows(asterisk, here.call_id)
    if number == "7000":
        assert ("frontline", "AI Agent", "BLINDTRANSFER", SUPERVISOR, "ariagent-join") in found
    else:
        assert found == set()


async def test_a_caller_who_hangs_up_ends_the_call_that_was_taken_over(scene: Any, log: Any) -> None:
    here = await scene("7000")
    await here.boss.send_dtmf("1")
    await log.wait("call.ended", result="transferred")
    await here.talk_with_each_other()
    await here.call.hangup()
    await here.boss.ended(LIMIT_S)


@QUEUE_FIRST
async def test_a_caller_stays_with_the_agent_when_who_takes_over_is_gone(number: str, scene: Any, log: Any) -> None:
    here = await scene(number)
    await here.call.send_dtmf("9")  # the agent speaks, and ends its sentence before the caller is moved
    await here.hearing.wait_loud(time.monotonic())
    await here.boss.send_dtmf("1")
    await log.wait("call.transfer_ordered")
    await here.boss.hangup()
    await log.wait("call.transferred")
    back = await log.wait("call.answered", count=2) if number == "7000" else await log.wait("call.started", count=2)
    await here.hearing.wait_loud(back.at)
    assert {entry["call"] for entry in log.named("call.started")} == {here.call_id}
    await here.call.hangup()
    await log.wait("call.ended", count=2)


@QUEUE_FIRST
async def test_a_call_is_moved_to_the_peoples_queue(
    number: str, scene: Any, asterisk: Any, phone: Any, ends_with_people: Any, log: Any
) -> None:
    human = await phone("1001", register=True)
    here = await scene(number)
    await here.boss.send_dtmf("2")
    await log.wait("call.transferred", destination="support", by=f"phone {SUPERVISOR}")
    # There is no other call: a tone says so.
    await here.boss.ended(LIMIT_S)
    await ends_with_people(here.call, human)
    found = rows(asterisk, here.call_id)
    assert ("support", "Agent 1001", "CONNECT") in found
    if number == "7000":
        assert ("frontline", "AI Agent", "BLINDTRANSFER", "support", "ariagent-handoff") in found


async def test_a_key_moves_a_call_to_a_destination_of_the_settings_and_to_no_other(
    scene: Any, codes: Codes, phone: Any, log: Any
) -> None:
    await codes.set("ARIAGENT_SUPERVISOR_TO_7", "office")
    await codes.set("ARIAGENT_SUPERVISOR_TO_8", "elsewhere")
    office = await phone("1002", register=True)
    here = await scene("7000", destinations={"office": {"extension": "1002", "description": "the office"}})
    await here.boss.send_dtmf("8")
    await log.wait("supervisor.request_failed", call=here.call_id)
    await here.boss.send_dtmf("9")  # which is not set
    await log.wait("supervisor.request_failed", count=2)
    assert log.named("call.transfer_ordered") == []
    await here.listening.wait_quiet()
    await here.boss.send_dtmf("7")
    answering = await office.incoming(LIMIT_S)
    await log.wait("call.ended", result="transferred")
    await answering.answer()
    await here.call.hangup()
    await answering.ended(LIMIT_S)
    await here.boss.ended(LIMIT_S)


# -- which call --------------------------------------------------------------------------------------------------------


async def test_one_hops_among_the_calls_and_goes_on_to_the_next_when_one_ends(
    scene: Any, dial: Any, phone: Any, codes: Codes, log: Any
) -> None:
    here = await scene("7000")
    other, hearing = await dial("7001", await phone("5552000"))
    await hearing.utterance()
    second = log.named("call.started")[1]["call"]
    await here.boss.send_dtmf("*")
    await log.wait("call.supervised", mode="listen", call=second)
    await codes.set("ARIAGENT_SUPERVISOR_SAY", "yes")  # any key interrupts what is said
    await here.boss.send_dtmf("*")
    await log.wait("call.supervised", mode="leave", call=second)
    await here.listening.wait_loud(time.monotonic())
    await here.boss.send_dtmf("5")
    await log.wait("call.supervised", mode="whisper", call=here.call_id)
    await codes.set("ARIAGENT_SUPERVISOR_SAY", "no")
    await here.call.hangup()
    await log.wait("call.supervised", mode="whisper", call=second)
    await here.boss.hangup()
    await log.wait("call.supervised", mode="leave", call=second, count=2)
    assert other.state is CallState.ANSWERED
    await other.hangup()


async def test_that_there_is_no_call_is_heard(sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes) -> None:
    await service(await sandbox())
    boss, listening = await dial(LISTEN, await phone(SUPERVISOR))
    await listening.wait_loud()
    await boss.ended(LIMIT_S)


async def test_that_there_is_no_service_is_heard(asterisk: Any, phone: Any, dial: Any, codes: Codes) -> None:
    wait = "GotoIf($[${ARIAGENT_WAITED} < 50]?wait)"
    async with replaced(asterisk, "ask@ariagent-supervise", wait, SOON_NO_ANSWER):
        boss, listening = await dial(WHISPER, await phone(SUPERVISOR))
        await listening.wait_loud()
        await boss.ended(LIMIT_S)


# -- who may -----------------------------------------------------------------------------------------------------------


async def dial_tone(call: Any) -> None:
    """Return once it is heard, from now on."""
    mark = len(call.heard())
    async with asyncio.timeout(LIMIT_S):
        while not holds(call.heard()[mark:], DIAL_TONE_HZ):
            await asyncio.sleep(0.05)


CONGESTION_HZ = 480.0
"""One of the two of the tone of congestion, and not in the dial tone."""


async def congestion(call: Any) -> None:
    """Return once it is heard, from now on: the PIN was wrong."""
    mark = len(call.heard())
    async with asyncio.timeout(LIMIT_S):
        while not holds(call.heard()[mark:], CONGESTION_HZ):
            await asyncio.sleep(0.05)


async def refused(dialling: Any) -> None:
    ended = await dialling.ended(LIMIT_S)
    assert ended.status == 403


async def test_who_is_not_on_the_list_is_refused(
    sandbox: Any, service: Any, phone: Any, codes: Codes, log: Any
) -> None:
    await service(await sandbox())
    for count, code in enumerate((LISTEN, WHISPER, BARGE), 1):
        for user in (STRANGER, "5551000"):
            await refused(await (await phone(user)).dial(code))
            await log.wait("supervisor.refused", count=count, by=f"phone {user}")


async def test_without_list_and_pin_everybody_is_refused(phone: Any, codes: Codes) -> None:
    await codes.set("ARIAGENT_SUPERVISORS", "")
    await refused(await (await phone(SUPERVISOR)).dial(LISTEN))


async def test_a_device_may_be_on_the_list(scene: Any, codes: Codes, phone: Any) -> None:
    await codes.set("ARIAGENT_SUPERVISORS", f"1001&PJSIP/{SUPERVISOR}")
    here = await scene("7000")
    await refused(await (await phone(STRANGER)).dial(LISTEN))
    await here.boss.hangup()
    await here.call.hangup()


async def test_a_wrong_pin_is_refused_after_three_tries(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any
) -> None:
    await codes.set("ARIAGENT_SUPERVISOR_PIN", "4711")
    await service(await sandbox())
    boss, _ = await dial(LISTEN, await phone(SUPERVISOR))
    for _ in range(3):
        await dial_tone(boss)
        await boss.send_dtmf("4712#")
    await boss.ended(LIMIT_S)
    await log.wait("supervisor.refused", by=f"phone {SUPERVISOR}")


async def test_with_the_pin_alone_anybody_may_and_with_both_both_are_needed(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any
) -> None:
    await codes.set("ARIAGENT_SUPERVISOR_PIN", "4711")
    await service(await sandbox(), agent=AGENT)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await refused(await (await phone(STRANGER)).dial(LISTEN))
    for place, (user, allowed) in enumerate(((SUPERVISOR, SUPERVISOR), (STRANGER, "")), start=1):
        await codes.set("ARIAGENT_SUPERVISORS", allowed)
        boss, _ = await dial(LISTEN, await phone(user))
        await dial_tone(boss)
        await boss.send_dtmf("4711#")
        await log.wait("call.supervised", mode="listen", by=f"phone {user}")
        await boss.hangup()
        await log.wait("call.supervised", mode="leave", count=place)
    await call.hangup()


async def test_wrong_pins_lock_the_device_and_nobody_else(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any
) -> None:
    """To hang up and to dial again is no new try."""
    await codes.set("ARIAGENT_SUPERVISORS", "")
    await codes.set("ARIAGENT_SUPERVISOR_PIN", "4711")
    await service(await sandbox())
    for _ in range(2):
        boss, _ = await dial(LISTEN, await phone(STRANGER))
        await dial_tone(boss)
        await boss.send_dtmf("04711#")
        await congestion(boss)
        await boss.hangup()
    boss, _ = await dial(LISTEN, await phone(STRANGER))
    await dial_tone(boss)
    await boss.send_dtmf("4712#")
    await boss.ended(LIMIT_S)
    await refused(await (await phone(STRANGER)).dial(LISTEN))
    await log.wait("supervisor.refused", count=2, by=f"phone {STRANGER}")
    boss, _ = await dial(LISTEN, await phone(SUPERVISOR))
    await dial_tone(boss)
    await boss.hangup()


# -- who may not, whatever the number is -------------------------------------------------------------------------------

NUMBERS = [
    "5551234",
    # The six of the audit of November 2026.
    "10-04",
    "1 0 0 4",
    '" = "" ? "1?allowed:x" :: "',
    '" = "" ? "1?in:x" :: "',
    '" = "" ? "1?ariagent-internal,600,1:x" :: "',
    # A function's argument ends early, and a part of the result is taken: FILTER is 1004, LEN is 4, FIELDNUM is 1.
    "1004):0",
    "1004):0:4",
    "1004)",
    "(1004",
    "1004,x",
    "1004&x",
    "x&1004",
    "&",
    "&1004&",
    "PJSIP/1004",
    "PJSIP/1004-00000001",
    '1004"',
    '"1004"',
    "'1004'",
    "1004\\",
    "\\1004",
    "1004 ",
    " 1004",
    "1004\n",
    "1004\r\n\r\n",
    "1004\t",
    "1004\x7f",
    "10\u200b04",
    "1004\u00a0",
    "１００４",
    "1004é",
    "$[1=1]",
    "${ARIAGENT_SUPERVISORS}",
    "${ARIAGENT_SUPERVISOR_PIN}",
    "${SHELL(id)}",
    "1004${",
    "1004]",
    "]?allowed:x",
    '" | 1 | "',
    '"] | $["1" = "1',
    "1?allowed",
    "1004?allowed:refused",
    "1004<sip:1004@127.0.0.1>",
    "+1004",
    "1004#",
    "*1004",
    "1004%",
    "1004;x=1",
    "0",
    "s",
    "h",
    "1004" * 19,
]


def batched(of: Iterable[Any], size: int = 10) -> Iterator[list[Any]]:
    """Lists of so many, the last one may be shorter."""
    rest = iter(of)
    while some := list(itertools.islice(rest, size)):
        yield some


@pytest.mark.parametrize(
    ("supervisors", "pin"),
    [
        (SUPERVISOR, ""),
        (f"PJSIP/{SUPERVISOR}", "471100"),
        pytest.param(f"PJSIP/{SUPERVISOR}", "", marks=pytest.mark.long),
        pytest.param(f"1001&{SUPERVISOR}", "471100", marks=pytest.mark.long),
    ],
)
async def test_no_number_passes_the_list(
    supervisors: str, pin: str, sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any, asterisk: Any
) -> None:
    await codes.set("ARIAGENT_SUPERVISORS", supervisors)
    await codes.set("ARIAGENT_SUPERVISOR_PIN", pin)
    await service(await sandbox(), agent=AGENT)
    call, hearing = await dial("7001")
    await hearing.utterance()
    before = len(asterisk.log_path.read_text())

    async def is_refused(number: str, code: str) -> None:
        dialling = await (await phone(quote(number, safe=""))).dial(code)
        with pytest.raises(CallRefused) as refusal:
            await dialling.answered(LIMIT_S)
        assert refusal.value.status == 403, repr(number)

    for some in batched(zip(NUMBERS, itertools.cycle((LISTEN, WHISPER, BARGE)))):
        await asyncio.gather(*(is_refused(*each) for each in some))
    said = asterisk.log_path.read_text()[before:]
    assert [what for what in ("ChanSpy(", "Echo(", "Read(", "Do: next", "600@") if what in said] == []
    assert log.named("call.supervised") == log.named("call.transfer_ordered") == []
    assert call.state is CallState.ANSWERED
    await call.hangup()


async def test_a_phone_that_forwards_its_calls_to_a_code_lets_nobody_in(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any, asterisk: Any
) -> None:
    """Asterisk makes a Local channel of it (a 302 does the same), with the number that the caller chose."""
    await service(await sandbox(), agent=AGENT)
    call, hearing = await dial("7000")
    await hearing.utterance()
    inside = "ariagent-internal"
    forward = f'7806,1,Dial("Local/{LISTEN}@{inside}")'
    assert "added" in (await asterisk.cli(f"dialplan add extension {forward} into {inside}")).lower()
    try:
        for place, user in enumerate((quote(f"{SUPERVISOR};x=1", safe=""), SUPERVISOR), 1):
            dialling = await (await phone(user)).dial("7806")
            await log.wait("supervisor.refused", count=place, by=f"phone {SUPERVISOR}")
            await dialling.hangup()
    finally:
        await asterisk.cli(f"dialplan remove extension 7806@{inside}")
    assert log.named("call.supervised") == []
    await call.hangup()


async def test_with_a_pin_alone_every_number_is_asked_for_it(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any, asterisk: Any
) -> None:
    await codes.set("ARIAGENT_SUPERVISORS", "")
    await codes.set("ARIAGENT_SUPERVISOR_PIN", "471100")
    await service(await sandbox(), agent=AGENT)
    call, hearing = await dial("7001")
    await hearing.utterance()
    before = len(asterisk.log_path.read_text())

    async def is_asked(number: str) -> None:
        boss, _ = await dial(LISTEN, await phone(quote(number, safe="")))
        await dial_tone(boss)
        await boss.hangup()

    for some in batched(NUMBERS):
        await asyncio.gather(*(is_asked(number) for number in some))
    said = asterisk.log_path.read_text()[before:]
    assert [what for what in ("ChanSpy(", "Echo(", "Do: next", "600@") if what in said] == []
    assert log.named("call.supervised") == []
    await call.hangup()


# -- the key of the dialplan's events ----------------------------------------------------------------------------------


async def test_the_key_survives_a_reload_and_is_set_again_where_it_is_lost(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any, asterisk: Any
) -> None:
    await service(await sandbox(), agent=AGENT)
    call, hearing = await dial("7000")
    await hearing.utterance()
    await asterisk.cli("dialplan reload")
    await codes.set("ARIAGENT_SUPERVISOR_SAY", "no")  # digits would be spoken for seconds
    boss, _ = await dial(LISTEN, await phone(SUPERVISOR))
    await log.wait("call.supervised", mode="listen")
    await boss.hangup()
    await log.wait("call.supervised", mode="leave")
    # `clearglobalvars` does this at a reload: the first question gets no answer, and the service learns of it by that.
    await codes.set("ARIAGENT_KEY", "")
    async with (
        replaced(asterisk, "ask@ariagent-supervise", "GotoIf($[${ARIAGENT_WAITED} < 50]?wait)", SOON_NO_ANSWER),
        replaced(asterisk, "*@ariagent-supervise", "Wait(2)", "Wait(0.5)"),
    ):
        boss, _ = await dial(LISTEN, await phone(SUPERVISOR))
        await log.wait("supervisor.key_missing")
        await boss.ended(LIMIT_S)
    boss, _ = await dial(LISTEN, await phone(SUPERVISOR))
    await log.wait("call.supervised", mode="listen", count=2)
    await boss.hangup()
    await log.wait("call.supervised", mode="leave", count=2)
    await call.hangup()


async def test_two_services_of_one_asterisk_share_the_key(
    sandbox: Any, service: Any, phone: Any, dial: Any, codes: Codes, log: Any
) -> None:
    """The old and the new process of an upgrade do this."""
    model = await sandbox()
    old = await service(model, agent=AGENT)
    call, hearing = await dial("7000")
    await hearing.utterance()
    new = await service(model, agent=AGENT, asterisk={"app": "ariagent-other"}, settle=False)
    assert old.phones is not None
    await asyncio.wait_for(_has_key(new), LIMIT_S)
    assert new.phones._key._value == old.phones._key._value != ""
    # Both hear what a phone does, and neither doubts it.
    boss, _ = await dial(LISTEN, await phone(SUPERVISOR))
    await boss.hangup()
    await call.hangup()
    assert log.named("supervisor.wrong_key") == log.named("supervisor.key_missing") == []


async def _has_key(service: Any) -> None:
    while not service.phones._key._value:
        await asyncio.sleep(0.02)
