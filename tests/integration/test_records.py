"""A call through the real Asterisk, and what ``ariagent calls`` tells of it, while it runs and when it is over."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ariagent.cli import application
from ariagent.config import RecordsSettings
from ariagent.records import events as rec
from ariagent.records.journal import Journal

pytestmark = pytest.mark.asterisk

SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
ORDER = {
    "description": "Says where an order is.",
    "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
    "timeout_s": 5,
    "retries": 0,
}
PRICES = dict.fromkeys(("input_text", "cached_text", "output_text", "input_audio", "cached_audio"), 10)
COST = {"currency": "EUR", "prices": {"gpt-realtime-2.1": {**PRICES, "output_audio": 100}}}
Calls = Callable[..., Any]


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    """``await calls(service, "--json")``: what the command prints for this service's settings."""

    async def run(service: Any, *words: str) -> str:
        settings = tmp_path / "calls.yaml"
        settings.write_text(
            json.dumps(
                {
                    "state_directory": str(service.settings.state_directory),
                    "asterisk": {"user": "a", "password": "b"},
                    "agents": {"default": {}},
                    "cost": COST,
                }
            )
        )
        command = ["calls", "-c", str(settings), *words]
        result = await asyncio.to_thread(CliRunner(env={"COLUMNS": "200"}).invoke, application(), command)
        assert result.exit_code == 0, result.output
        return str(result.output)

    return run


async def shown(calls: Calls, service: Any, *words: str, until: Callable[[Any], bool]) -> Any:
    """The command's data as soon as it is so: what happens is written a moment later."""
    end = time.monotonic() + 20
    while not until(data := json.loads(await calls(service, *words, "--json"))):
        assert time.monotonic() < end, data
        await asyncio.sleep(0.1)
    return data


@pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
async def test_a_call_is_told_while_it_runs_and_when_it_is_over(
    number: str,
    sandbox: Any,
    service: Any,
    dial: Any,
    sound: Any,
    site: Any,
    outbound: Any,
    log: Any,
    calls: Calls,
    tmp_path: Path,
) -> None:
    site.says("/orders/4711", {"status": "on its way"}, after_s=1.3)
    model = await sandbox(scenario=SCENARIO, generation_speed=1.5, think_ms=100)
    tools = {"order": {**ORDER, "url": f"{site.url}/orders/{{number}}"}}
    agent = {"tools": ["order"], "keypad": {"pause_ms": 150}}
    running = await service(model, agent=agent, tools=tools, outbound=outbound, cost=COST)
    call, hearing = await dial(number)
    await hearing.utterance()
    # A spoken turn, a tool that is slow, and a story that is interrupted.
    await call.play(sound.tone(0.8))
    await hearing.utterance(hearing.spoke_until())
    listed = await shown(calls, running, until=lambda data: bool(data["live"]) and data["live"][0]["answered"])
    [live] = listed["live"]
    assert (live["agent"], live["state"], live["live"]) == ("default", "talking", True)
    assert live["caller"] == "5551000"
    before = time.monotonic()
    await call.send_dtmf("1")
    await log.wait("turn.agent", count=3)
    await hearing.utterance(before + 1.2)
    before = time.monotonic()
    await call.send_dtmf("8")
    await hearing.wait_loud(before)
    await asyncio.sleep(1.2)
    await call.play(sound.tone(0.9))
    interrupted = await log.wait("turn.interrupted")
    await hearing.utterance(hearing.spoke_until())
    await call.hangup()
    await log.wait("call.ended")

    listed = await shown(calls, running, until=lambda data: bool(data["past"]))
    [past] = listed["past"]
    assert listed["live"] == []
    assert (past["id"], past["result"], past["reason"]) == (live["id"], "done", "caller_hung_up")
    data = json.loads(await calls(running, past["id"], "--json"))
    turns = [entry for entry in data["timeline"] if entry["type"] == "turn"]
    answers = [turn for turn in turns if turn["latency"]]
    logged = log.named("turn.answered")
    assert [answer["latency"]["response_ms"] for answer in answers] == [entry["response_ms"] for entry in logged]
    assert len(answers) >= 2
    [cut] = [turn for turn in turns if turn["heard_ms"] is not None]
    assert cut["heard_ms"] == interrupted["heard_ms"]
    assert cut["text"].startswith(cut["heard_text"])
    assert 0 < len(cut["heard_text"]) < len(cut["text"])
    [tool] = [entry for entry in data["timeline"] if entry["type"] == "tool"]
    assert (tool["tool"], tool["ok"], tool["slow"]) == ("order", True, True)
    assert 1300 <= tool["ms"] < 4000
    assert json.loads(tool["arguments"]) == {"number": "4711"}
    assert data["cost"] > 0
    assert data["currency"] == "EUR"
    value = running.metrics.registry.get_sample_value
    assert data["cost"] == pytest.approx(sum(row["cost"] for row in data["use"]))
    assert value("ariagent_calls_active") == 0

    text = await calls(running, past["id"])
    assert f"interrupted after {cut['heard_ms']:.0f} ms; heard:" in text
    assert "SLOW" in text
    page = tmp_path / "call.html"
    await calls(running, past["id"], "--html", str(page))
    html = page.read_text()
    for side in ("caller", "agent"):
        # Both sides were heard: their waves are drawn.
        assert f'class="wave {side}" d="M' in html


async def test_what_a_day_has_cost_is_remembered_and_over_the_cap_calls_are_refused(
    sandbox: Any, service: Any, phone: Any, log: Any, calls: Calls, tmp_path: Path
) -> None:
    """An earlier service of today spent all that today may cost."""
    state = tmp_path / "earlier"
    journal = Journal.open(state, RecordsSettings())
    record = journal.begin("17.1", time.time())
    record.tell(rec.ModelUsed("gpt-realtime-2.1", 5.0, output_audio=50_000), time.time())
    record.tell(rec.CallEnded(result="done", reason="caller_hung_up"), time.time())
    assert journal.close()
    running = await service(await sandbox(), cost={**COST, "daily_cap": 5.0}, state_directory=state)
    refused = await (await phone()).dial("7001")
    ended = await log.wait("call.ended")
    assert (ended["result"], ended["reason"]) == ("busy", "over_daily_cap")
    await refused.hangup()
    spent = json.loads(await calls(running, "--cost", "--json"))
    assert sum(row["cost"] for row in spent["use"]) == 5.0
