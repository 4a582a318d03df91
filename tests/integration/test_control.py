"""Supervisors see and steer real calls: over HTTP, and with the commands."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from lab import waiting
from lab.conf import FEW_SEATS
from tests import forked

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
SCENARIO = Path(__file__).parent / "scenarios" / "steering.yaml"
TOKENS = {name: f"the long token of {name}" for name in ("anna", "ben", "vera")}
CONTROL = {
    "tokens": [
        {"name": name, "role": "viewer" if name == "vera" else "supervisor", "token": token}
        for name, token in TOKENS.items()
    ]
}
DESTINATIONS = {"desk": {"queue": "support", "description": "the service desk", "timeout_s": 20, "kind": "blind"}}
AGENT = {"handoff": ["desk"], "transcription": None}
BOTH_WAYS = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])


@dataclass
class Api:
    """The service's, as its clients have it."""

    session: aiohttp.ClientSession
    url: str
    settings: Path
    """A file that the commands load."""

    async def ask(self, method: str, path: str, by: str = "anna", **body: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {TOKENS.get(by, by)}"}
        more = {"json": body} if method == "POST" else {}
        async with self.session.request(method, f"{self.url}/v1/{path}", headers=headers, **more) as answer:
            return answer.status, await answer.json()

    async def only_call(self) -> dict[str, Any]:
        status, found = await self.ask("GET", "calls")
        assert status == 200
        [call] = found["calls"]
        return dict(call)

    async def command(self, *words: str) -> tuple[int, str, str]:
        """Exit code and both outputs of ``ariagent WORDS``."""
        return await forked.ariagent(
            *words, "-c", str(self.settings), environment={**os.environ, "COLUMNS": "120"}, limit_s=60
        )

    @asynccontextmanager
    async def events(self) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
        """``await wait(name, test)``: the data of the first event of this name for which the test holds."""
        headers = {"Authorization": f"Bearer {TOKENS['vera']}"}
        seen: list[tuple[str, Any]] = []
        changed = asyncio.Event()

        async def listen(stream: aiohttp.StreamReader) -> None:
            name = ""
            while line := await stream.readline():
                word, _, text = line.decode().rstrip("\n").partition(": ")
                if word == "event":
                    name = text
                elif word == "data":
                    seen.append((name, json.loads(text)))
                    changed.set()

        async def wait(name: str, test: Callable[[Any], object] = lambda data: True) -> Any:
            try:
                async with asyncio.timeout(LIMIT_S):
                    while not (found := [data for each, data in seen if each == name and test(data)]):
                        changed.clear()
                        await changed.wait()
            except TimeoutError:
                raise TimeoutError(f"no {name}; seen: {[event for event in seen if event[0] != 'seats']}") from None
            return found[0]

        async with self.session.get(f"{self.url}/v1/events", headers=headers) as answer:
            listening = asyncio.create_task(listen(answer.content))
            yield wait
            listening.cancel()
            await asyncio.wait([listening])


@pytest.fixture
async def steered(sandbox: Any, service: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """``model, running, api = await steered()``: a service with supervisors; ``fault``: of the model's server."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:

        async def make(fault: str = "", **settings: Any) -> tuple[Any, Any, Api]:
            model = await sandbox(scenario=SCENARIO)
            if fault:
                settings["realtime"] = {"url": f"{model.url}?fault={fault}"}
            chosen = {"agent": AGENT, "destinations": DESTINATIONS, "control": CONTROL, **settings}
            running = await service(model, **chosen)
            file = tmp_path / "commands.yaml"
            file.write_text(yaml.safe_dump({"state_directory": str(running.settings.state_directory)}))
            return model, running, Api(session, f"http://127.0.0.1:{running.control.port}", file)

        yield make


def rows(asterisk: Any, call_id: str) -> set[tuple[str, ...]]:
    """queue_log's queue, agent and verb of a call: a set, for the order is not certain."""
    return {tuple(row[2:5]) for row in asterisk.queue_rows(call_id)}


until = partial(waiting.until, limit_s=LIMIT_S)


@BOTH_WAYS
async def test_a_call_is_moved_to_a_queue_where_somebody_answers(
    number: str, steered: Any, asterisk: Any, phone: Any, dial: Any, ends_with_people: Any, log: Any
) -> None:
    _, _, api = await steered()
    human = await phone("1001", register=True)
    call, hearing = await dial(number)
    await hearing.utterance()
    seen = await api.only_call()
    assert (seen["state"], seen["agent"], seen["caller"]) == ("talking", "default", "5551000")
    assert (seen["seat"] != "", seen["queue"]) == ((True, "frontline") if number == "7000" else (False, ""))
    assert seen["last_words"] == {"side": "agent", "text": "Good day."}
    assert 0 < time.time() - seen["began"] < 60
    assert (await api.ask("GET", f"calls/{seen['id']}"))[1]["id"] == seen["id"]

    status, done = await api.ask(
        "POST", f"calls/{seen['id']}/transfer", queue="support", reason="a refund", summary="Order 4711.", wait_s=30
    )
    assert (status, done) == (200, {"id": seen["id"], "to": "desk", "state": "transferred"})
    await log.wait("call.transferred", by="anna", destination="desk")
    await ends_with_people(call, human)
    found = rows(asterisk, seen["id"])
    assert ("support", "Agent 1001", "CONNECT") in found
    if number == "7000":
        assert {("frontline", "AI Agent", "CONNECT"), ("frontline", "AI Agent", "BLINDTRANSFER")} <= found
    assert (await api.ask("GET", "calls"))[1]["calls"] == []
    status, refused = await api.ask("POST", f"calls/{seen['id']}/whisper", text="too late")
    assert (status, refused["error"]) == (404, "unknown_call")


async def test_a_call_is_moved_by_the_command(
    steered: Any, asterisk: Any, phone: Any, dial: Any, ends_with_people: Any
) -> None:
    _, _, api = await steered()
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    call_id = (await api.only_call())["id"]
    (code, out, err), (json_code, as_json, _) = await asyncio.gather(
        api.command("calls"), api.command("calls", "--json")
    )
    assert (code, err) == (0, "")
    assert "1 running" in out
    for words in (call_id, "default", "5551000", "frontline", "talking", "agent: Good day."):
        assert words in out
    [told] = json.loads(as_json)["live"]
    assert (json_code, told["id"], told["state"], told["queue"]) == (0, call_id, "talking", "frontline")
    assert told["last_words"]["text"] == "Good day."

    code, out, err = await api.command("transfer", call_id[:-1], "--queue", "nowhere")
    assert (code, out) == (1, "")
    assert err == "ariagent: there is no queue nowhere. There are: frontline, support\n"
    code, out, err = await api.command("transfer", call_id[:-1], "--to", "desk", "--reason", "a refund")
    assert (code, out, err) == (0, f"{call_id} is with desk now\n", "")
    await ends_with_people(call, human)
    assert ("frontline", "AI Agent", "BLINDTRANSFER") in rows(asterisk, call_id)


async def test_what_is_whispered_is_acted_on(steered: Any, dial: Any, log: Any) -> None:
    model, _, api = await steered()
    call, hearing = await dial("7001")
    await hearing.utterance()
    call_id = (await api.only_call())["id"]
    after = time.monotonic()
    status, told = await api.ask(
        "POST", f"calls/{call_id}/whisper", text="Offer her\x1b[2J the\nfree inspection \u202eö.", now=True
    )
    assert (status, told) == (200, {"id": call_id, "told": "Offer her [2J the free inspection ö."})
    await hearing.utterance(after)
    assert [entry["said"] for entry in log.named("turn.agent")][-1] == "We have a free inspection for you."
    code, out, _ = await api.command("whisper", call_id, "The free inspection, once more.", "--now")
    assert (code, out) == (0, f"The agent of {call_id} got this note: The free inspection, once more.\n")
    await log.wait("turn.agent", count=3)
    session = await model.wait_session(1)
    notes = [part["text"] for item in session.items if item.get("role") == "system" for part in item["content"]]
    assert any("Offer her [2J the free inspection ö." in note for note in notes), notes
    assert [entry["by"] for entry in log.named("call.whispered")] == ["anna", "local"]
    await call.hangup()


async def test_who_may_not_and_what_there_is_not_leaves_the_caller_alone(steered: Any, dial: Any) -> None:
    _, _, api = await steered()
    call, hearing = await dial("7000")
    await hearing.utterance()
    call_id = (await api.only_call())["id"]
    for by, path, body, expected in (
        ("nobody at all", "transfer", {"queue": "support"}, (401, "wrong_token")),
        ("vera", "transfer", {"queue": "support"}, (403, "wrong_role")),
        ("anna", "transfer", {"queue": "nowhere"}, (404, "unknown_queue")),
        ("anna", "transfer", {"destination": "+490190"}, (404, "unknown_destination")),
        ("anna", "transfer", {"queue": "support", "exten": "1"}, (422, "bad_body")),
        ("anna", "whisper", {"text": "\x00\n"}, (422, "bad_body")),
    ):
        status, refused = await api.ask("POST", f"calls/{call_id}/{path}", by, **body)
        assert (status, refused["error"]) == expected
    status, refused = await api.ask("POST", f"calls/{call_id}/transfer", queue="suport")
    assert refused == {
        "error": "unknown_queue",
        "reason": "there is no queue suport (did you mean support?)",
        "remedy": "There are: frontline, support",
    }
    after = time.monotonic()
    await call.send_dtmf("5")
    await hearing.utterance(after)
    assert (await api.only_call())["state"] == "talking"
    await call.hangup()


async def test_of_two_supervisors_one_moves_the_call_and_the_other_is_told(
    steered: Any, asterisk: Any, phone: Any, dial: Any, hearing_long: Any, ends_with_people: Any, log: Any
) -> None:
    _, _, api = await steered()
    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing_long(call, hearing)
    call_id = (await api.only_call())["id"]
    answers = await asyncio.gather(
        *(api.ask("POST", f"calls/{call_id}/transfer", by, queue="support", wait_s=30) for by in ("anna", "ben"))
    )
    assert sorted(status for status, _ in answers) == [200, 409]
    [refused] = [body for status, body in answers if status == 409]
    [by] = [entry["by"] for entry in log.named("call.transfer_ordered")]
    assert refused == {"error": "wrong_state", "reason": f"{by} is transferring the caller to desk already"}
    await ends_with_people(call, human)
    assert len(log.named("call.transferred")) == 1
    assert [row[4] for row in asterisk.queue_rows(call_id)].count("BLINDTRANSFER") == 1


@pytest.fixture
def hearing_long() -> Any:
    """Has the agent tell a long story, so that there is time until its sentence is over."""

    async def begin(call: Any, hearing: Any) -> None:
        await hearing.utterance()
        after = time.monotonic()
        await call.send_dtmf("8")
        await hearing.wait_loud(after)

    return begin


async def test_a_call_that_the_model_is_transferring_is_moved_by_the_supervisor(
    steered: Any, asterisk: Any, phone: Any, dial: Any, ends_with_people: Any, log: Any
) -> None:
    other = {"boss": {"extension": "1002", "description": "the boss", "timeout_s": 20, "kind": "blind"}}
    _, _, api = await steered(destinations={**DESTINATIONS, **other})
    boss = await phone("1002", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    call_id = (await api.only_call())["id"]
    async with api.events() as wait:
        await call.send_dtmf("1")  # "One moment ..." and a transfer to the desk
        await wait("call", lambda data: data["state"] == "before_transfer")
        status, done = await api.ask("POST", f"calls/{call_id}/transfer", destination="boss", wait_s=30)
        assert (status, done["state"], done["to"]) == (200, "transferred", "boss")
    await ends_with_people(call, boss)
    assert [entry["destination"] for entry in log.named("call.transferred")] == ["boss"]
    assert ("support", "NONE", "ENTERQUEUE") not in rows(asterisk, call_id)


async def test_a_call_that_still_rings_is_seen_but_not_steered(steered: Any, phone: Any) -> None:
    _, running, api = await steered(fault="late_updated:3000")
    call = await (await phone()).dial("7000")
    await until(lambda: any(each.live().agent for each in running.calls.calls), "the call to be known")
    seen = await api.only_call()
    assert (seen["answered_s"], seen["last_words"], seen["caller"]) == (None, None, "5551000")
    for path, body in (("transfer", {"queue": "support"}), ("whisper", {"text": "Be nice."})):
        status, refused = await api.ask("POST", f"calls/{seen['id']}/{path}", **body)
        assert (status, refused["error"]) == (409, "wrong_state")
    await call.answered(LIMIT_S)
    await until(lambda: running.calls.find(seen["id"]).live().state == "talking", "the conversation")
    assert (await api.only_call())["answered_s"] > 0
    await call.hangup()


async def test_a_caller_who_hangs_up_while_being_moved(steered: Any, dial: Any, hearing_long: Any, log: Any) -> None:
    _, _, api = await steered()
    call, hearing = await dial("7000")
    await hearing_long(call, hearing)
    call_id = (await api.only_call())["id"]
    async with api.events() as wait:
        moving = asyncio.create_task(api.ask("POST", f"calls/{call_id}/transfer", queue="support", wait_s=30))
        await wait("call", lambda data: data["state"] == "before_transfer")
        await call.hangup()
        status, refused = await moving
        assert (status, refused["error"]) == (409, "call_ended")
        assert refused["reason"].endswith("done (caller_hung_up)")
        assert await wait("ended") == {"id": call_id, "result": "done", "reason": "caller_hung_up"}
    assert log.named("call.transferred") == []


async def test_a_human_agent_is_looked_for_while_the_caller_talks_on(
    steered: Any, phone: Any, dial: Any, log: Any
) -> None:
    warm = {"queue": "support", "description": "the service desk", "kind": "warm"}
    destinations = {"warm": {**warm, "timeout_s": 30}, "nobody": {**warm, "timeout_s": 2}}
    _, _, api = await steered(destinations=destinations, agent={**AGENT, "handoff": ["warm"]})
    call, hearing = await dial("7000")
    await hearing.utterance()
    path = f"calls/{(await api.only_call())['id']}/transfer"
    status, refused = await api.ask("POST", path, destination="nobody", wait_s=30)
    assert (status, refused["error"]) == (409, "nobody_found")
    human = await phone("1001", register=True)
    assert await api.ask("POST", path, destination="warm") == (
        202,
        {"id": path.split("/")[1], "to": "warm", "state": "under_way"},
    )
    assert (await api.only_call())["state"] == "warm_transfer"
    status, refused = await api.ask("POST", path, "ben", destination="warm")
    assert (status, refused["reason"]) == (409, "a warm transfer is under way already")
    incoming = await human.incoming(30)
    await incoming.answer()
    await log.wait("call.transferred", by="anna", kind="warm", timeout=LIMIT_S)
    await log.wait("call.ended", result="transferred")
    await incoming.hangup()
    await call.ended(LIMIT_S)


async def test_a_transfer_that_cannot_be_made_is_told_and_the_agent_goes_on(
    steered: Any, asterisk: Any, proxy: Any, dial: Any, log: Any
) -> None:
    """Without the manager interface nobody can move a queue's caller."""
    between = await proxy()
    between.target = (asterisk.ami["host"], asterisk.ami["port"])
    _, running, api = await steered(ami={"host": "127.0.0.1", "port": between.port})
    call, hearing = await dial("7000")
    await hearing.utterance()
    call_id = (await api.only_call())["id"]
    between.cut(refuse=True)
    await until(lambda: not running.ami.connected, "the connection to be gone")
    for path, body in (("seats/pause", {}), (f"calls/{call_id}/transfer", {"queue": "frontline"})):
        status, refused = await api.ask("POST", path, **body)
        assert (status, "no connection to the manager interface" in refused["reason"]) == (503, True)
    after = time.monotonic()
    # The settings know this one.
    status, refused = await api.ask("POST", f"calls/{call_id}/transfer", queue="support", wait_s=30)
    assert (status, refused["error"]) == (502, "not_transferred")
    await hearing.utterance(after)
    await log.wait("turn.agent", said="I am sorry, that did not work.")
    assert (await api.only_call())["state"] == "talking"
    between.refusing = False
    await until(lambda: running.pool.settled.is_set(), "the connection to be back")
    await call.hangup()


async def test_a_calls_life_as_events(steered: Any, phone: Any, dial: Any) -> None:
    _, _, api = await steered()
    async with api.events() as wait:
        snapshot = await wait("snapshot")
        assert snapshot["calls"] == []
        assert {queue["name"] for queue in snapshot["queues"]["queues"]} == {"frontline", "support"}
        assert len(snapshot["seats"]["seats"]) == FEW_SEATS
        call, hearing = await dial("7000")
        began = await wait("call")
        assert (began["answered_s"], began["caller"]) == (None, "5551000")
        talking = await wait("call", lambda data: data["state"] == "talking")
        assert talking["id"] == began["id"]
        said = await wait("call", lambda data: data["last_words"] is not None)
        assert (said["id"], said["last_words"]) == (began["id"], {"side": "agent", "text": "Good day."})
        busy = await wait("seats", lambda data: any(seat["busy"] for seat in data["seats"]))
        assert [seat["number"] for seat in busy["seats"] if seat["busy"]] == [began["seat"]]
        await call.hangup()
        assert await wait("ended") == {"id": began["id"], "result": "done", "reason": "caller_hung_up"}
    assert hearing.packets


async def test_seats_are_paused_and_resumed_by_hand(
    steered: Any, asterisk: Any, phone: Any, dial: Any, ends_with_people: Any
) -> None:
    _, running, api = await steered()
    before = len(asterisk.queue_rows())

    def written(verb: str) -> set[tuple[str, ...]]:
        """Queue, agent and reason."""
        return {(row[2], row[3], row[5]) for row in asterisk.queue_rows(since=before) if row[4] == verb}

    human = await phone("1001", register=True)
    call, hearing = await dial("7000")
    await hearing.utterance()
    status, done = await api.ask("POST", "seats/pause", seat="7")
    assert (status, done) == (200, {"seats": ["07"], "paused": True, "settled": True})
    code, out, err = await api.command("pause")
    assert (code, out, err) == (0, f"{FEW_SEATS} seats paused\n", "")
    await until(lambda: written("PAUSE"), "queue_log")
    assert written("PAUSE") == {("frontline", "AI Agent", "ariagent: manual")}
    seats = (await api.ask("GET", "seats"))[1]["seats"]
    assert {(seat["paused"], seat["reason"]) for seat in seats} == {(True, "ariagent: manual")}
    assert running.health.json()["seats"]["reason"] == "manual"
    # The call that continues does so; the next one is for the human queue.
    after = time.monotonic()
    await call.send_dtmf("5")
    await hearing.utterance(after)
    late = await (await phone("5552000")).dial("7000")
    await ends_with_people(late, human)
    assert len((await api.ask("GET", "calls"))[1]["calls"]) == 1
    await call.hangup()

    code, out, err = await api.command("resume")
    assert (code, out, err) == (0, f"{FEW_SEATS} seats resumed\n", "")
    assert written("UNPAUSE") == {("frontline", "AI Agent", "ariagent: manual")}
    call, hearing = await dial("7000")
    await hearing.utterance()
    await call.hangup()
