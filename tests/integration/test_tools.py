"""Functions of the site's in a call: HTTP tools against a real server, Python tools, MCP.

What the caller hears of them, and who is answered first, is in ``tests/call/test_site_tools.py``, in memory; what goes
wrong with a tool in ``tests/tools``.
"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml
from aiohttp import web

from ariagent.records.store import Store

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
SCENARIO = Path(__file__).parent / "scenarios" / "features.yaml"
SORRY = "Sorry."


def order(site: Any, **changes: Any) -> dict[str, Any]:
    """An HTTP tool of the site's."""
    return {
        "description": "Says where an order is.",
        "url": f"{site.url}/orders/{{number}}",
        "parameters": {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]},
        "timeout_s": 5,
        "retries": 0,
        **changes,
    }


def stock(site: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {"part": {"type": "string"}}, "required": ["part"]}
    return {"description": "Says how many there are.", "url": f"{site.url}/stock", "parameters": parameters}


def outputs(session: Any) -> dict[str, Any]:
    """Results of function calls that the model got, by the function's name."""
    names = {item["call_id"]: item["name"] for item in session.items if item["type"] == "function_call"}
    found = [item for item in session.items if item["type"] == "function_call_output"]
    assert len(found) == len({item["call_id"] for item in found})
    return {names[item["call_id"]]: json.loads(item["output"]) for item in found}


def said(log: Any) -> list[str]:
    """The agent's words after its opening."""
    return [entry["said"] for entry in log.named("turn.agent")][1:]


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that the site's server sees."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def begin(sandbox: Any, service: Any, dial: Any, site: Any, outbound: Any) -> Any:
    """``model, running, call, hearing = await begin("7001", tools={...})``: a call whose opening is over."""

    async def make(
        number: str, tools: dict[str, Any], *, agent: dict[str, Any] | None = None, options: Any = None, **settings: Any
    ) -> Any:
        model = await sandbox(**{"scenario": SCENARIO, **(options or {})})
        chosen = {"opening": "Hi.", "tools": list(tools), "keypad": {"pause_ms": 150}, **(agent or {})}
        running = await service(model, agent=chosen, tools=tools, **{"outbound": outbound, **settings})
        call, hearing = await dial(number)
        await hearing.utterance(quiet_s=0.2)
        return await model.wait_session(1), running, call, hearing

    return make


async def over(call: Any, log: Any) -> None:
    """The call still is a call; end it."""
    await call.hangup()
    await log.wait("call.ended", result="done", reason="caller_hung_up")


async def test_the_answer_of_an_http_tool_is_spoken_about(begin: Any, site: Any, log: Any) -> None:
    site.says("/orders/4711", {"order": {"items": [{"status": "on its way", "secret": "x"}]}})
    tool = order(site, answer={"status": "order.items.0.status"}, headers={"X-Key": "k"})
    session, running, call, hearing = await begin("7000", {"order": tool})
    [declared] = [each for each in session.settings["tools"] if each["name"] == "order"]
    assert declared["description"] == tool["description"]
    assert declared["parameters"] == tool["parameters"]

    before = hearing.loud[-1] + 0.02
    await call.send_dtmf("1")
    first, last = await hearing.utterance(before)
    assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * len("It is on its way."), abs=60)
    await over(call, log)
    assert site.asked == [("GET", "/orders/4711")]
    assert outputs(session) == {"order": {"status": "on its way"}}
    assert len(session.received_events("response.create")) == 2
    done = log.named("tool.called", tool="order")
    assert [entry["kind"] for entry in done] == ["ok"]
    value = running.metrics.registry.get_sample_value
    assert value("ariagent_tool_seconds_count", {"tool": "order", "kind": "ok"}) == 1


async def _never(request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.json_response({})


async def _broken(request: web.Request) -> web.Response:
    return web.Response(status=500, text="Traceback (most recent call last): secret")


FAILURES: dict[str, tuple[Any, str]] = {
    "500": (_broken, "http_status"),
    "no answer": (_never, "timeout"),
}


async def test_a_tool_that_fails_is_told_to_the_model_and_the_call_goes_on(begin: Any, site: Any, log: Any) -> None:
    session, running, call, hearing = await begin(
        "7001", {"order": order(site, timeout_s=0.5, answer={"status": "status"})}
    )
    for number, (answer, _) in enumerate(FAILURES.values(), start=1):
        site.answers["/orders/4711"] = answer
        before = hearing.loud[-1] + 0.02
        await call.send_dtmf("1")
        first, last = await hearing.utterance(before, quiet_s=0.2)
        assert hearing.loud_ms(first, last) == pytest.approx(MS_PER_LETTER * len(SORRY), abs=60)
        await log.wait("tool.failed", count=number)
        assert len(site.asked) == number
    await call.send_dtmf("*")
    await log.wait("turn.agent", count=len(FAILURES) + 2)
    await over(call, log)

    assert said(log) == [SORRY] * len(FAILURES) + ["You pressed *."]
    told = [item["output"] for item in session.items if item["type"] == "function_call_output"]
    assert len(told) == len(FAILURES)
    for output in told:
        assert json.loads(output)["error"]
        assert "secret" not in output
        assert len(output) < 400
    failed = log.named("tool.failed")
    assert [entry["kind"] for entry in failed] == [kind for _, kind in FAILURES.values()]
    assert {entry["call"] for entry in failed} == {log.named("call.started")[0]["call"]}
    value = running.metrics.registry.get_sample_value
    for _, kind in FAILURES.values():
        assert value("ariagent_tool_seconds_count", {"tool": "order", "kind": kind}) == 1


@pytest.mark.parametrize(("number", "prompt"), [("7000", "Wait.")])
async def test_a_slow_tool_is_bridged_by_a_waiting_prompt(
    number: str, prompt: str, begin: Any, site: Any, log: Any
) -> None:
    site.says("/orders/4711", {"status": "ready"}, after_s=1.6)
    session, running, call, hearing = await begin(number, {"order": order(site, waiting_prompt=prompt)})
    await call.send_dtmf("1")
    pressed = (await log.wait("call.digits")).at
    await log.wait("turn.agent", count=2)
    await hearing.utterance(pressed + 1.65)
    answer = next(at for at in hearing.loud if at > pressed + 1.6)
    between = [at for at in hearing.loud if pressed < at < answer - 0.1]
    length_ms = 20 * len(between)
    # A second after the tool was called, and over before the answer.
    assert 1.0 <= between[0] - pressed < 1.4
    wanted = 150 if prompt == "tone" else MS_PER_LETTER * len(prompt)
    assert length_ms == pytest.approx(wanted, abs=80)
    assert said(log) == ["It is ready."]
    assert outputs(session) == {"order": {"status": "ready"}}
    await over(call, log)
    # A waiting prompt is nothing that the model said.
    assert [item for item in session.items if item.get("role") == "assistant" and "Wait" in json.dumps(item)] == []
    store = Store(running.settings.state_directory)
    async with asyncio.timeout(LIMIT_S):
        while not (kept := await asyncio.to_thread(store.past, None)):
            await asyncio.sleep(0.05)
    prompts = [event.fields for event in store.events(kept[0]) if event.name == "tool.waiting_prompt"]
    assert prompts == [{"prompt": prompt}]


async def test_the_tools_of_a_response_that_was_interrupted_are_never_run(
    begin: Any, site: Any, log: Any, sound: Any
) -> None:
    site.says("/orders/4711", {"status": "ready"})
    session, _, call, hearing = await begin("7001", {"order": order(site)}, options={"generation_speed": 1.5})
    await call.send_dtmf("4")
    await hearing.wait_loud(hearing.loud[-1] + 0.02)
    await call.play(sound.tone(0.9))
    await log.wait("turn.interrupted")
    await log.wait("turn.agent", count=3)
    await hearing.wait_quiet()
    assert said(log)[-1] == "The answer."
    await over(call, log)
    assert site.asked == []
    assert outputs(session) == {}
    assert session.sent_events("error") == []


async def test_hanging_up_gives_a_running_tool_up(begin: Any, site: Any, log: Any) -> None:
    site.answers["/orders/4711"] = _never
    _, _, call, _ = await begin("7001", {"order": order(site, timeout_s=30, waiting_prompt=None)})
    await call.send_dtmf("1")
    await until(lambda: site.asked)
    await over(call, log)
    await until(lambda: site.given_up == ["/orders/4711"])


# -- arguments that the model cannot choose, and results that it cannot use -------------------------------------------

CALLER, OTHER = "5550100", "5559999"


def scenario(path: Path, *rules: dict[str, Any]) -> Path:
    tree = {"digits": "caller pressed ([0-9*#]+)", "opening": [{"say": "Good day."}], "rules": list(rules)}
    path.write_text(yaml.safe_dump({**tree, "otherwise": [{"say": "I see."}]}))
    return path


def calls(name: str, count: int = 1, **arguments: Any) -> list[dict[str, Any]]:
    return [{"call": {"name": name, "arguments": arguments}}] * count


async def test_the_caller_gets_their_own_data_whatever_the_model_says(
    sandbox: Any, service: Any, phone: Any, dial: Any, site: Any, outbound: Any, log: Any, tmp_path: Path
) -> None:
    headers: list[str] = []

    async def balance(request: web.Request) -> web.Response:
        headers.append(f"{request.headers['X-Caller']} {request.query['of']} {(await request.json())['customer']}")
        return web.json_response({"balance": 1})

    site.answers[f"/accounts/{CALLER}"] = balance
    plan = scenario(
        tmp_path / "scenario.yaml",
        {"when": {"digits": "1"}, "then": calls("balance", customer=OTHER)},
        {"when": {"digits": "2"}, "then": calls("balance", note=OTHER)},
        {"when": {"tool_result": "balance", "contains": "error"}, "then": "Sorry."},
        {"when": {"tool_result": "balance"}, "then": "It is {result.balance}."},
    )
    tool = {
        "description": "Says the balance.",
        "method": "POST",
        "url": f"{site.url}/accounts/{{caller.number}}?of={{caller.number}}",
        "headers": {"X-Caller": "tel:{caller.number}"},
        "bound": {"customer": "{caller.number}"},
        "parameters": {"type": "object", "properties": {"note": {"type": "string"}}},
    }
    model = await sandbox(scenario=plan)
    agent = {"opening": "Hi.", "tools": ["balance"], "keypad": {"pause_ms": 150}}
    await service(model, agent=agent, tools={"balance": tool}, outbound=outbound)
    call, hearing = await dial("7001", await phone(CALLER))
    await hearing.utterance(quiet_s=0.2)
    session = await model.wait_session(1)
    await call.send_dtmf("1")
    await log.wait("turn.agent", count=2)
    assert site.asked == []
    assert [entry["kind"] for entry in log.named("tool.failed")] == ["bad_arguments"]
    await call.send_dtmf("2")
    await log.wait("turn.agent", count=3)
    assert said(log) == ["Sorry.", "It is 1."]
    assert site.asked == [("POST", f"/accounts/{CALLER}?of={CALLER}")]
    assert headers == [f"tel:{CALLER} {CALLER} {CALLER}"]
    [declared] = [each for each in session.settings["tools"] if each["name"] == "balance"]
    assert CALLER not in json.dumps(declared)
    assert "customer" not in json.dumps(declared)
    await over(call, log)


LOOP = {"when": {"tool_result": "*"}, "then": calls("stock", part="lamp")}


async def test_a_model_that_calls_functions_in_circles_has_to_speak(
    begin: Any, site: Any, log: Any, tmp_path: Path
) -> None:
    site.says("/stock", {"left": 3})
    plan = scenario(
        tmp_path / "scenario.yaml",
        {"when": {"digits": "1"}, "then": calls("stock", part="lamp")},
        LOOP,
        {"when": {"note": "/functions 10 times in a row/"}, "then": "Three are left."},
    )
    session, _, call, _ = await begin("7001", {"stock": stock(site)}, options={"scenario": plan})
    for round_trip in (1, 2):
        await call.send_dtmf("1")
        await log.wait("turn.agent", count=1 + round_trip)
        assert len(site.asked) == 10 * round_trip
    assert said(log) == ["Three are left."] * 2
    created = [event.get("response", {}) for event in session.received_events("response.create")]
    assert [response.get("tool_choice") for response in created].count("none") == 2
    await over(call, log)


async def test_slow_tools_of_one_call_do_not_keep_another_waiting(
    begin: Any, dial: Any, phone: Any, site: Any, log: Any, tmp_path: Path
) -> None:
    now = most = 0

    async def slow(request: web.Request) -> web.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await site.over.wait()
        return web.json_response({})

    site.answers["/orders/4711"] = slow
    site.says("/stock", {"left": 3})
    plan = scenario(
        tmp_path / "scenario.yaml",
        {"when": {"digits": "1"}, "then": calls("order", 32, number="4711")},
        {"when": {"digits": "2"}, "then": calls("stock", part="lamp")},
        {"when": {"tool_result": "stock"}, "then": "{result.left} left."},
    )
    tools = {"order": order(site, timeout_s=60, waiting_prompt=None), "stock": stock(site)}
    session, _, call, _ = await begin("7001", tools, options={"scenario": plan})
    await call.send_dtmf("1")
    await until(lambda: most == 4)
    other, hearing = await dial("7001", await phone("5552000"))
    await hearing.utterance(quiet_s=0.2)
    before = hearing.loud[-1] + 0.02
    await other.send_dtmf("2")
    await hearing.utterance(before)
    assert log.named("turn.agent")[-1]["said"] == "3 left."
    assert most == 4
    refused = log.named("tool.refused")
    assert [entry["count"] for entry in refused] == [24]
    told = [item for item in session.items if item["type"] == "function_call_output"]
    assert len(told) == 24
    assert all("no more than 8" in item["output"] for item in told)
    await other.hangup()
    await call.hangup()
    await log.wait("call.ended", count=2)


# -- Python tools and MCP ----------------------------------------------------------------------------------------------

WEATHER = """
    class Weather:
        name = "weather"
        description = "Says how the weather is."
        parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}

        async def __call__(self, arguments, facts):
            if arguments["city"] == "Atlantis":
                raise LookupError("under water")
            return {"city": arguments["city"], "caller": facts.caller_number, "agent": facts.agent}

    weather = Weather()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """``installed(code)``: a package on the path whose entry point ``weather`` is a tool."""
    before = set(sys.modules)
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def put(code: str) -> None:
        (folder / "call_site_tools.py").write_text(dedent(code))
        info = folder / "call_site_tools-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: call-site-tools\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[ariagent.tools]\nweather = call_site_tools:weather\n")

    yield put
    for name in set(sys.modules) - before:
        if name.startswith("call_site_tools"):
            del sys.modules[name]


async def test_a_python_tool_of_the_sites(begin: Any, installed: Any, log: Any) -> None:
    installed(WEATHER)
    session, _, call, hearing = await begin("7001", {}, agent={"tools": ["weather"]})
    await call.send_dtmf("0")
    await hearing.utterance(hearing.loud[-1] + 0.02)
    assert said(log) == ["Delft is fine."]
    assert outputs(session) == {"weather": {"city": "Delft", "caller": "5551000", "agent": "default"}}
    await over(call, log)


async def test_a_python_tool_that_raises_is_told_to_the_model(begin: Any, installed: Any, log: Any) -> None:
    """Its traceback is in the log, with the call's id, and nowhere else."""
    installed(WEATHER.replace('"Atlantis"', '"Delft"'))
    session, _, call, hearing = await begin("7001", {}, agent={"tools": ["weather"]})
    await call.send_dtmf("0")
    await hearing.utterance(hearing.loud[-1] + 0.02)
    assert said(log) == [SORRY]
    assert "water" not in json.dumps(outputs(session))
    await over(call, log)
    [raised] = log.named("tool.raised")
    assert "under water" in raised.traceback
    assert raised["call"] == log.named("call.started")[0]["call"]
    log.entries.remove(raised)  # expected: no internal error


async def test_mcp_servers_are_declared_to_the_model(begin: Any, log: Any) -> None:
    server = {
        "url": "https://mcp.example.com/sse",
        "authorization": "tok-1",
        "allowed_tools": ["find"],
        "headers": {"X-Site": "a"},
    }
    session, _, call, _ = await begin("7001", {}, agent={"mcp": ["crm"]}, mcp_servers={"crm": server})
    update = session.received_events("session.update")[0]["session"]
    [declared] = [tool for tool in update["tools"] if tool["type"] == "mcp"]
    assert declared["server_label"] == "crm"
    assert declared["server_url"] == server["url"]
    assert declared["allowed_tools"] == ["find"]
    assert declared["authorization"] == "tok-1"
    # Our own functions are there as before.
    assert {"end_call", "collect_digits", "hold_on"} <= {tool.get("name") for tool in update["tools"]}
    await over(call, log)
    assert "tok-1" not in repr([entry.fields for entry in log.entries])
