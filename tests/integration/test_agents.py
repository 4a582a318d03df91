"""The agent that takes a call, and the model's knowledge of the call before it is answered."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiohttp import web

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
BOTH_WAYS = pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])


@pytest.fixture
async def extension(asterisk: Any) -> AsyncIterator[Any]:
    """``await extension("7801", "NoOp()", "Goto(7000,1)")``: one more extension to dial."""
    added: list[str] = []

    async def add(number: str, *lines: str) -> None:
        added.append(number)
        for priority, line in enumerate(lines, start=1):
            command = f'dialplan add extension "{number},{priority},{line}" into ariagent-internal replace'
            answer = await asterisk.cli(command)
            assert "failed" not in answer, answer

    yield add
    for number in added:
        await asterisk.cli(f"dialplan remove extension {number}@ariagent-internal")


def agents(*names: str) -> dict[str, Any]:
    """Agents who know their names."""
    usual = {"opening": None, "transcription": None, "machines": "ignore"}
    return {name: {**usual, "instructions": f"You are {name}."} for name in names}


def instructions(session: Any) -> str:
    """The instructions and notes that the model got."""
    return str(session.received_events("session.update")[0]["session"]["instructions"])


async def test_the_agent_is_chosen_by_all_that_can_choose_it(
    sandbox: Any, service: Any, dial: Any, extension: Any, log: Any
) -> None:
    model = await sandbox()
    names = ("inside", "queue", "outside", "gold", "named", "argument")
    routes = [
        {"agent": "gold", "variables": {"TIER": "gold*"}},
        {"agent": "outside", "dialled": "4930555*"},
        {"agent": "inside", "extension": "7001"},
        {"agent": "queue", "queue": "frontline"},
    ]
    await service(model, agents=agents("default", *names), routes=routes)
    for way in ("7000", "7001"):
        await extension(f"78{way[-1]}0", "Set(__TIER=golden)", f"Goto({way},1)")
        await extension(f"78{way[-1]}1", "Set(CALLERID(dnid)=493055512)", f"Goto({way},1)")
        await extension(f"78{way[-1]}2", "Set(__ARIAGENT_AGENT=named)", "Set(__TIER=golden)", f"Goto({way},1)")
    await extension("7820", "Set(__TIER=golden)", "Stasis(ariagent,argument)", "Hangup()")
    await extension("7821", "Stasis(ariagent)", "Hangup()")
    wanted = {
        "7000": "queue",
        "7001": "inside",
        "7800": "gold",
        "7810": "gold",
        "7801": "outside",
        "7811": "outside",
        "7802": "named",
        "7812": "named",
        "7820": "argument",
        "7821": "default",
    }
    found = {}
    for count, number in enumerate(wanted, start=1):
        call, _ = await dial(number)
        started = await log.wait("call.started", count=count)
        session = await model.wait_session(count)
        assert f"You are {started['agent']}." in instructions(session)
        found[number] = started["agent"]
        await call.hangup()
        await log.wait("call.ended", count=count)
    assert found == wanted


@pytest.mark.parametrize("way", ["7001", pytest.param("7000", marks=pytest.mark.long)])
async def test_an_agent_that_is_not_there_is_no_guess(
    way: str, sandbox: Any, service: Any, phone: Any, extension: Any, ends_with_people: Any, log: Any
) -> None:
    await service(await sandbox())
    await extension("7830", "Set(__ARIAGENT_AGENT=nobody)", f"Goto({way},1)")
    human = await phone("1001", register=True)
    call = await (await phone()).dial("7830")
    ended = await log.wait("call.ended", result="error", reason="unknown_agent")
    assert "nobody" in ended["cause"]
    await ends_with_people(call, human)
    assert len(log.named("call.started")) == 1, "other seats were tried"


# -- what the model is told --------------------------------------------------------------------------------------------

TOLD = (
    "{agent.name} talks to {caller.name|nobody} ({caller.number}), {variable.TIER|no tier}, {lookup.name|a stranger} "
    "of {lookup.city|nowhere}, who dialled {called.number} and came through {queue|no queue} on {now.date}."
)


def knowing(site: Any, **lookup: Any) -> dict[str, Any]:
    """An agent who asks the site about the caller."""
    return {
        "opening": "Hi.",
        "instructions": TOLD,
        "variables": ["TIER"],
        "lookup": {
            "url": f"{site.url}/who?n={{caller.number}}&tier={{variable.TIER}}",
            "answer": {"name": "person.name", "city": "person.address.city"},
            **lookup,
        },
    }


@BOTH_WAYS
async def test_the_callers_data_is_filled_in(
    number: str,
    sandbox: Any,
    service: Any,
    phone: Any,
    dial: Any,
    extension: Any,
    site: Any,
    outbound: Any,
    log: Any,
) -> None:
    site.says("/who", {"person": {"name": "Ann Lee", "address": {"city": "Delft"}}, "secret": "x"})
    model = await sandbox()
    await service(model, agent=knowing(site), outbound=outbound)
    await extension("7840", "Set(__TIER=gold & more)", f"Goto({number},1)")
    call, _ = await dial("7840", await phone("5551234", display_name="Ann"))
    told = instructions(await model.wait_session(1))
    queue = "frontline" if number == "7000" else "no queue"
    expected = (
        "default talks to Ann (5551234), gold & more, Ann Lee of Delft, who dialled 7840 and came through "
        f"{queue} on {time.strftime('%Y-')}"
    )
    assert expected in told
    assert 'lookup.name: "Ann Lee"' in told  # said to be data, not orders
    assert "secret" not in told
    assert site.asked == [("GET", "/who?n=5551234&tier=gold%20%26%20more")]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")
    assert log.named("agent.values_missing") == []


async def _never(request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.json_response({})


async def _html(request: web.Request) -> web.Response:
    return web.Response(text="<h1>It works!</h1>", content_type="text/html")


@pytest.mark.parametrize("failure", ["slow", "404"])
async def test_without_an_answer_about_the_caller_the_call_goes_on(
    failure: str, sandbox: Any, service: Any, phone: Any, ear: Any, site: Any, outbound: Any, log: Any
) -> None:
    answers = {"slow": _never, "HTML": _html}
    if failure in answers:
        site.answers["/who"] = answers[failure]
    agent = knowing(site, timeout_s=0.6)
    if failure == "down":
        port = int(site.url.rpartition(":")[2])
        agent["lookup"]["url"] = agent["lookup"]["url"].replace(f":{port}", ":1")
    model = await sandbox()
    await service(model, agent=agent, outbound=outbound)
    call = await (await phone("5551234")).dial("7001")
    hearing = ear(call)
    begun = time.monotonic()
    await call.ringing(LIMIT_S)
    await call.answered(LIMIT_S)
    waited = time.monotonic() - begun
    assert waited < 2
    if failure == "slow":
        assert waited > 0.5  # ringing meanwhile, not in silence
    await hearing.wait_loud()
    told = instructions(await model.wait_session(1))
    assert "default talks to" in told
    assert "no tier, a stranger of nowhere" in told
    assert log.named("tool.failed", tool="lookup")[0]["call"] == log.named("call.started")[0]["call"]
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")


async def test_languages_voice_and_turn_detection_are_the_agents(
    sandbox: Any, service: Any, dial: Any, log: Any
) -> None:
    """A Spanish agent who may change to English, beside the English one."""
    spanish = {
        "language": "es",
        "languages": ["en"],
        "opening": {"en": "Hello.", "es": "Hola."},
        "voice": "cedar",
        "speed": 1.2,
        "turn_detection": {"type": "semantic_vad", "eagerness": "high"},
        "noise_reduction": "far_field",
        "transcription": {"language": "es", "keywords": ["Delft"]},
        "machines": "ignore",
    }
    model = await sandbox()
    await service(
        model,
        agents={**agents("default"), "spanish": spanish},
        routes=[{"agent": "spanish", "extension": "7001"}],
    )
    call, hearing = await dial("7001")
    await hearing.wait_loud()
    session = await model.wait_session(1)
    told = instructions(session)
    assert "Begin in Spanish." in told
    assert "clearly speaks English" in told
    assert "You speak only Spanish and English on this line." in told
    audio = session.received_events("session.update")[0]["session"]["audio"]
    assert (audio["output"]["voice"], audio["output"]["speed"]) == ("cedar", 1.2)
    assert audio["input"]["turn_detection"]["type"] == "semantic_vad"
    assert audio["input"]["turn_detection"]["eagerness"] == "high"
    assert audio["input"]["noise_reduction"] == {"type": "far_field"}
    assert audio["input"]["transcription"]["language"] == "es"
    assert log.named("turn.agent")[0]["said"] == "Hola."
    await call.hangup()
    await log.wait("call.ended")


# -- variables that have no value --------------------------------------------------------------------------------------

UNREADABLE = (
    "PJSIP_HEADER(read,X-Absent)",
    "CHANNEL(nonsense)",
    "CHANNEL(pjsip,nonsense)",
    "NOSUCH(a)",
    "CDR_PROP(disable)",
    "CURL(http://127.0.0.1:9/)",
    "SHELL(id)",
    "DB(family/key)",
    "UNSET",
)
"""No such header, item or function; one that can only be written; two that ARI may not read; nothing there."""


async def test_variables_without_a_value_have_their_defaults(
    sandbox: Any, service: Any, phone: Any, extension: Any, dial: Any, log: Any
) -> None:
    model = await sandbox()
    told = " ".join(f"{{variable.{name}|no{at}}}" for at, name in enumerate(UNREADABLE))
    agent = {"instructions": f"<{told}> {{variable.PJSIP_HEADER(read,X-Customer)|none}}"}
    agent["variables"] = [*UNREADABLE, "PJSIP_HEADER(read,X-Customer)", "CHANNEL(channeltype)", "PLAIN"]
    agent["instructions"] += " {variable.CHANNEL(channeltype)} {variable.PLAIN}."
    await service(model, agent=agent, routes=[{"agent": "default", "variables": {"NOSUCH(b)": "x"}}])
    await extension("7860", "Set(PLAIN=plain)", "Goto(7000,1)")
    call, ear = await dial("7860", headers={"X-Customer": "4711"})
    await ear.utterance()
    filled = " ".join(f"no{at}" for at in range(len(UNREADABLE)))
    assert f"<{filled}> 4711 PJSIP plain." in instructions(await model.wait_session(1))
    await call.hangup()
    await log.wait("call.ended", result="done")
    assert {entry["variable"] for entry in log.named("call.variable_unreadable")} == {*UNREADABLE[:-1], "NOSUCH(b)"}
    assert len(log.named("call.started")) == 1, "other seats were tried"


@pytest.fixture
def machine_in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("machine_in_utc")
async def test_opening_hours_and_the_model_have_the_same_clock(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    model = await sandbox()
    zone = ZoneInfo("Pacific/Auckland")
    await service(
        model,
        agent={"instructions": "<{now.date} {now.time} {now.weekday}>", "language": "de", "opening": {"de": "Hallo."}},
        hours={"office": {"timezone": "Pacific/Auckland", "week": {"mon-sun": "00:00-24:00"}}},
    )
    before = datetime.now(zone)
    call, ear = await dial("7001")
    await ear.utterance()
    days = ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag")
    wanted = {f"<{at:%Y-%m-%d %H:%M} {days[at.weekday()]}>" for at in (before, datetime.now(zone))}
    told = instructions(await model.wait_session(1))
    assert any(words in told for words in wanted), (told[:80], wanted)
    await call.hangup()
    await log.wait("call.ended")
