"""Callers who withhold their number or their name: it is nowhere, neither in the log nor in what the model is told.

Here is what Asterisk makes of SIP's headers and of the dialplan's functions; the rest is in memory
(``tests/call/test_withheld.py``).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
NUMBER, NAME = "5550199123", "WinifredWithheld"
AGENT = {"instructions": "The caller is {caller.name}, number {caller.number}.", "handoff": ["desk"]}
DESK = {"queue": "support", "description": "human agents", "kind": "blind", "timeout_s": 20}


@pytest.fixture
async def through(asterisk: Any) -> AsyncIterator[Any]:
    """Makes an extension that sets functions of the caller's channel and continues at a number of the agent."""
    made: list[str] = []

    async def make(number: str, **functions: str) -> str:
        extension = f"78{50 + len(made)}"
        made.append(extension)
        steps = [f"Set(CALLERID({name.replace('_', '-')})={value})" for name, value in functions.items()]
        for priority, step in enumerate((*steps, f"Goto({number},1)"), 1):
            added = await asterisk.cli(f"dialplan add extension {extension},{priority},{step} into ariagent-internal")
            assert "added" in added.lower(), added
        return extension

    yield make
    for extension in made:
        await asterisk.cli(f"dialplan remove extension {extension}@ariagent-internal")


@dataclass
class Watched:
    """A service, and every place where it may leave what a caller withholds."""

    log: Any
    model: Any
    running: Any
    directory: Path

    def traces(self, *secrets: str) -> list[str]:
        """Where one of the secrets is: log, what the model's server was sent, records, live calls."""
        texts = [(entry.event, f"{entry.fields} {entry.traceback}") for entry in self.log.entries]
        texts += [("model", repr(vars(session))) for session in self.model.sessions]
        texts += [("live", repr(call.live())) for call in self.running.calls.calls]
        files = [path for path in self.directory.rglob("*") if path.is_file()]
        texts += [(path.name, path.read_bytes().decode("latin-1")) for path in files]
        return [where for where, text in texts if any(secret in text for secret in secrets)]

    async def hung_up(self, call: Any) -> None:
        """The call ends, and its record is complete."""
        await call.hangup()
        await self.log.wait("call.ended")
        self.running.journal.close()


@pytest.fixture
def watched(sandbox: Any, service: Any, log: Any, tmp_path: Path) -> Any:
    """``await watched(records={...})``: see ``Watched``."""

    async def make(**settings: Any) -> Watched:
        model, state = await sandbox(), tmp_path / "kept"
        given = {"agent": AGENT, "destinations": {"desk": DESK}, "state_directory": state, **settings}
        return Watched(log, model, await service(model, **given), state)

    return make


async def test_a_withheld_number_is_nowhere(through: Any, watched: Any, dial: Any, phone: Any, log: Any) -> None:
    site = await watched()
    presentations = ("prohib_not_screened", "prohib_passed_screen", "unavailable")
    for place, (number, presentation) in enumerate(zip(("7001", "7000", "7001"), presentations, strict=True), 1):
        extension = await through(number, name=NAME, num_pres=presentation)
        call, hearing = await dial(extension, await phone(NUMBER))
        await hearing.utterance()
        assert (await log.wait("call.started", count=place))["caller"] == "-", presentation
        assert site.traces(NUMBER, NAME) == [], presentation
        await call.hangup()
        await log.wait("call.ended", count=place)
    site.running.journal.close()
    assert site.traces(NUMBER, NAME) == []


PRIVATE = [
    {"Privacy": "id"},
    {"Privacy": "user"},
    {"Privacy": "Header;ID"},
    {"Privacy": "id;critical"},
    {"Privacy": "id", "P-Asserted-Identity": f"<sip:{NUMBER}@127.0.0.1>"},
    {"Remote-Party-ID": f'"{NAME}" <sip:{NUMBER}@127.0.0.1>;party=calling;privacy=full'},
    {"Remote-Party-ID": f"<sip:{NUMBER}@127.0.0.1>;privacy=uri;party=calling"},
]


async def test_who_asks_for_privacy_is_nowhere(watched: Any, dial: Any, phone: Any, log: Any) -> None:
    """RFC 3323: of an endpoint without ``trust_id_inbound`` Asterisk tells the number of From as one to show."""
    site = await watched()
    lines = []
    for place, headers in enumerate(PRIVATE, 1):
        lines.append(await dial("7000", await phone(NUMBER, display_name=NAME), headers=headers))
        assert (await log.wait("call.started", count=place))["caller"] == "-", headers
        assert site.traces(NUMBER, NAME) == [], headers
    await asyncio.gather(*(hearing.utterance() for _, hearing in lines))
    assert site.traces(NUMBER, NAME) == []
    for call, _ in lines:
        await call.hangup()
    await log.wait("call.ended", count=len(lines))


async def test_who_asks_for_no_privacy_is_shown(watched: Any, dial: Any, phone: Any, log: Any) -> None:
    site = await watched()
    shown = [
        ({"Privacy": "none"}, NAME),
        ({"Privacy": "session"}, NAME),
        ({"Remote-Party-ID": f"<sip:{NUMBER}@127.0.0.1>;privacy=off"}, NAME),
        ({"Remote-Party-ID": f"<sip:{NUMBER}@127.0.0.1>;privacy=name"}, ""),
    ]
    for place, (headers, name) in enumerate(shown, 1):
        call, hearing = await dial("7001", await phone(NUMBER, display_name=NAME), headers=headers)
        await hearing.utterance()
        [live] = [each.live() for each in site.running.calls.calls]
        assert (live.caller_number, live.caller_name) == (NUMBER, name), headers
        await call.hangup()
        await log.wait("call.ended", count=place)


async def test_a_human_agent_who_withholds_is_known_by_the_device_alone(
    through: Any, watched: Any, phone: Any, log: Any, ear: Any, sound: Any
) -> None:
    site = await watched()
    human = await phone("1001", register=True)
    extension = await through("1001", num=NUMBER, name=NAME, num_pres="prohib")
    call = await (await phone("1002")).dial(extension)
    answering = await human.incoming(LIMIT_S)
    await answering.answer()
    await call.answered(LIMIT_S)
    # Asterisk refuses (400) to transfer who is not in a bridge yet.
    hearing, spoke = ear(answering), time.monotonic()
    await call.play(sound.tone(0.5))
    await hearing.wait_loud(spoke)
    assert await call.refer("7000") == 200
    await log.wait("call.answered")
    async with asyncio.timeout(LIMIT_S):
        while not any("A human agent" in repr(vars(session)) for session in site.model.sessions):
            await asyncio.sleep(0.05)
    assert site.traces(NUMBER, NAME) == []
    await answering.hangup()
    await log.wait("call.ended")


async def test_a_number_that_may_be_shown_is_told(through: Any, watched: Any, dial: Any, phone: Any, log: Any) -> None:
    """So the other tests look in the right places."""
    site = await watched()
    extension = await through("7001", name=NAME, num_pres="allowed_passed_screen")
    call, hearing = await dial(extension, await phone(NUMBER))
    await hearing.utterance()
    await site.hung_up(call)
    assert {"call.started", "model", "calls.db"} <= set(site.traces(NUMBER))
    assert "model" in site.traces(NAME)


async def test_a_withheld_name_is_nowhere(through: Any, watched: Any, dial: Any, phone: Any, log: Any) -> None:
    site = await watched()
    extension = await through("7000", name=NAME, name_pres="prohib")
    call, hearing = await dial(extension, await phone(NUMBER))
    await hearing.utterance()
    assert (await log.wait("call.started"))["caller"] == NUMBER
    assert site.traces(NAME) == []
    await call.hangup()
    await log.wait("call.ended")


async def test_words_that_stand_for_no_number(watched: Any, dial: Any, phone: Any, log: Any) -> None:
    site = await watched()
    for place, (number, user) in enumerate((("7001", "anonymous%40anonymous.invalid"), ("7000", "Anonymous")), 1):
        call, hearing = await dial(number, await phone(user, display_name=NAME))
        await hearing.utterance()
        assert (await log.wait("call.started", count=place))["caller"] == "-", user
        [live] = [each.live() for each in site.running.calls.calls]
        assert (live.caller_number, live.caller_name) == ("", ""), user
        await call.hangup()
        await log.wait("call.ended", count=place)


async def test_withheld_numbers_count_without_being_shown(
    through: Any, watched: Any, dial: Any, phone: Any, log: Any, ends_with_people: Any
) -> None:
    site = await watched(caps={"calls_per_caller_per_hour": 1})
    human = await phone("1001", register=True)
    extension = await through("7000", num_pres="prohib")
    often = await phone(NUMBER)
    call, hearing = await dial(extension, often)
    await hearing.utterance()
    await call.hangup()
    await log.wait("call.ended", result="done")
    late = await often.dial(extension)
    await ends_with_people(late, human)
    await log.wait("call.ended", result="busy", reason="caller_often")
    site.running.journal.close()
    assert site.traces(NUMBER) == []


async def test_a_site_may_keep_withheld_numbers(through: Any, watched: Any, dial: Any, phone: Any, log: Any) -> None:
    """In the call's record, and nowhere else."""
    site = await watched(records={"withheld_numbers": True})
    extension = await through("7001", num_pres="prohib")
    call, hearing = await dial(extension, await phone(NUMBER))
    await hearing.utterance()
    await site.hung_up(call)
    assert {Path(where).suffix for where in site.traces(NUMBER)} <= {".db", ".db-wal"}
    assert site.traces(NUMBER) != []


@pytest.mark.parametrize(
    ("number", "headers"), [("7000", {}), ("7001", {"Privacy": "id"})], ids=["presentation", "header"]
)
async def test_a_caller_who_withholds_is_put_through_by_a_human_agent(
    number: str, headers: dict[str, str], through: Any, watched: Any, dial: Any, phone: Any, log: Any
) -> None:
    """An attended transfer: the newcomer's presentation counts."""
    site = await watched()
    human = await phone("1001", register=True)
    extension = "1001" if headers else await through("1001", name=NAME, num_pres="prohib")
    call = await (await phone(NUMBER, display_name=NAME)).dial(extension, headers=headers)
    answering = await human.incoming(LIMIT_S)
    await answering.answer()
    await call.answered(LIMIT_S)
    await answering.hold()
    consultation, hearing = await dial(number, human)
    await hearing.utterance()
    assert await answering.refer_attended(consultation) == 200
    changed = await log.wait("call.caller_changed")
    assert changed["caller"] == "-"
    await site.hung_up(call)
    assert site.traces(NUMBER, NAME) == []
