"""``ariagent call`` says whether the AI took the call, and why it did not; the words are the agent's own."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from ariagent.caller import script as do
from ariagent.caller.caller import hold_call
from ariagent.caller.plan import CallPlan
from ariagent.caller.report import CallReport, Narrator
from ariagent.caller.script import Script
from ariagent.config import AmiSettings, AsteriskSettings, HttpSettings, Settings
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir, ensure_asterisk

pytestmark = pytest.mark.asterisk

LIMIT_S = 20.0
SCENARIO = Path(__file__).parent / "scenarios" / "plain.yaml"
OPENING = "Good day, this is the test."
AGENT = {"opening": OPENING, "machines": "ignore"}
QUESTION = do.Say("What are your opening hours?")
GREETED = (do.WaitAnswer(LIMIT_S), QUESTION, do.WaitAnswer(LIMIT_S), do.HangUp())


def settings_of(asterisk: AsteriskInstance, running: Any = None, **changes: Any) -> Settings:
    """Settings that the caller gets: Asterisk, and the place of the service ``running`` and of its records."""
    ari = AsteriskSettings(url=asterisk.ari_url, user=asterisk.ari_user, password=SecretStr(asterisk.ari_password))
    ami = AmiSettings(port=asterisk.ami_port, user=asterisk.ami_user, password=SecretStr(asterisk.ami_password))
    given: dict[str, Any] = {"asterisk": ari, "ami": ami, "http": HttpSettings(port=0)}
    if running is not None:
        given |= {"http": HttpSettings(port=running.http_port), "state_directory": running.settings.state_directory}
    return Settings(**{**given, **changes})


async def call(settings: Settings, extension: str, *steps: do.Step, **options: Any) -> tuple[CallReport, list[str]]:
    shown: list[str] = []
    plan = CallPlan(extension, Script(steps or GREETED), **options)
    return await hold_call(settings, plan, Narrator(shown.append)), shown


async def all_paused(running: Any) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not all(seat.paused for seat in running.pool.seats.view()):
            await asyncio.sleep(0.05)


def cause_of(report: CallReport) -> str:
    assert report.outcome == "not_taken"
    [failure] = report.failures
    assert failure.step == "call"
    assert failure.cause.startswith("the AI did not take this call: ")
    return failure.cause


@pytest.mark.parametrize("extension", ["7000", pytest.param("7001", marks=pytest.mark.long)])
async def test_the_agents_words_are_those_of_the_services_records(
    extension: str, asterisk: Any, sandbox: Any, service: Any
) -> None:
    running = await service(await sandbox(scenario=SCENARIO), agent=AGENT)
    report, shown = await call(settings_of(asterisk, running), extension)
    assert (report.outcome, report.answered_by, report.failures) == ("ok", "ai", [])
    agent = [turn for turn in report.turns if turn.who == "agent"]
    assert [(turn.text, turn.words_from, turn.heard) for turn in agent] == [
        (OPENING, "records", None),
        ("The answer.", "records", None),
    ]
    assert [line[29:] for line in shown if " agent " in line] == ["(answers)", OPENING, "The answer."]


async def test_without_records_the_api_tells_the_words(
    asterisk: Any, sandbox: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "viewer-token-0123456789abcdef-viewer"
    tokens = [{"name": "wall", "token": token, "role": "viewer"}]
    running = await service(await sandbox(scenario=SCENARIO), agent=AGENT, control={"port": 0, "tokens": tokens})
    monkeypatch.setenv("ARIAGENT_API_URL", f"http://127.0.0.1:{running.control.port}")
    monkeypatch.setenv("ARIAGENT_API_TOKEN", token)
    report, _ = await call(settings_of(asterisk, running, state_directory=tmp_path / "none"), "7001")
    assert report.failures == []
    agent = [turn for turn in report.turns if turn.who == "agent"]
    assert [(turn.text, turn.words_from) for turn in agent] == [(OPENING, "api"), ("The answer.", "api")]


async def test_without_records_a_recognisers_guess_is_called_one(
    asterisk: Any, sandbox: Any, service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pocketsphinx")
    model = await sandbox(scenario=SCENARIO, voice="rms")
    running = await service(model, agent=AGENT)
    settings = settings_of(asterisk, running, state_directory=tmp_path / "none")
    report, shown = await call(settings, "7001", do.WaitAnswer(LIMIT_S), do.HangUp())
    [opening] = [turn for turn in report.turns if turn.who == "agent"]
    assert opening.words_from == "recogniser"
    assert any("agent    (sounds like) " in line for line in shown)
    # Without a recogniser either, how long it spoke is all that is known.
    monkeypatch.setattr("ariagent.caller.recognise.available", lambda: False)
    report, shown = await call(settings, "7001", do.WaitAnswer(LIMIT_S), do.HangUp())
    [opening] = [turn for turn in report.turns if turn.who == "agent"]
    assert (opening.text, report.wordless, report.outcome) == (None, True, "ok")
    assert any("agent    (speaking " in line for line in shown)


async def test_an_interrupted_sentence_is_shown_as_far_as_it_was_heard(
    asterisk: Any, sandbox: Any, service: Any
) -> None:
    running = await service(await sandbox(scenario=SCENARIO), agent=AGENT)
    steps = (
        do.WaitAnswer(LIMIT_S),
        do.Press("8"),
        do.Interrupt(1.0, QUESTION.text),
        do.WaitAnswer(LIMIT_S),
        do.HangUp(),
    )
    report, _ = await call(settings_of(asterisk, running), "7001", *steps)
    assert report.failures == []
    cut = next(turn for turn in report.turns if turn.interrupted)
    assert cut.text is not None
    assert cut.text.startswith("This is a long story")
    assert cut.text.endswith(" ...")
    assert "while it is being told" not in cut.text


def all_seats(asterisk: Any) -> str:
    return f"all {asterisk.seats} seats of queue frontline"


@pytest.mark.parametrize("extension", ["7000", pytest.param("7001", marks=pytest.mark.long)])
async def test_no_service(extension: str, asterisk: Any, unused_tcp_port: int) -> None:
    """The human queue answers at once; the caller does not stay to hear its music."""
    settings = settings_of(asterisk, http=HttpSettings(port=unused_tcp_port))
    began = time.monotonic()
    report, _ = await call(settings, extension)
    assert time.monotonic() - began < LIMIT_S
    cause = cause_of(report)
    assert "queue support answered" in cause
    assert f"the service does not answer at http://127.0.0.1:{unused_tcp_port}/healthz" in cause
    assert (all_seats(asterisk) if extension == "7000" else "no service is connected") in cause
    assert report.turns == []


@pytest.mark.parametrize("extension", ["7001", pytest.param("7000", marks=pytest.mark.long)])
async def test_a_model_that_cannot_be_used(extension: str, asterisk: Any, service: Any, log: Any) -> None:
    running = await service("ws://127.0.0.1:9/v1/realtime", usable=False)
    await log.wait("model.unusable")
    async with asyncio.timeout(LIMIT_S):
        while any(seat.state != "unavailable" for seat in running.pool.seats.view()):
            await asyncio.sleep(0.05)
    report, _ = await call(settings_of(asterisk, running), extension)
    cause = cause_of(report)
    assert "queue support answered" in cause
    assert "model: cannot reach the model at 127.0.0.1:9" in cause
    if extension == "7000":
        assert f"{all_seats(asterisk)} are Unavailable: the service does not take calls" in cause


async def test_seats_that_are_paused_by_hand(asterisk: Any, sandbox: Any, service: Any) -> None:
    running = await service(await sandbox(scenario=SCENARIO), agent=AGENT)
    running.pool.pause()
    await all_paused(running)
    report, _ = await call(settings_of(asterisk, running), "7000")
    paused = f"{all_seats(asterisk)} are paused (ariagent: manual); queue support answered"
    assert paused in cause_of(report)
    running.pool.resume()


async def test_a_human_agent_who_answers_is_left_alone(asterisk: Any, phone: Any) -> None:
    human = await phone("1001", register=True)
    calling = asyncio.create_task(call(settings_of(asterisk), "7100"))
    answering = await human.incoming(LIMIT_S)
    await answering.answer()
    began = time.monotonic()
    report, _ = await calling
    assert time.monotonic() - began < LIMIT_S / 2
    assert "of queue support answered" in cause_of(report)
    assert report.answered_by == "member"
    assert [turn for turn in report.turns if turn.who == "caller"] == []
    await answering.ended(LIMIT_S)


async def test_an_extension_that_is_not_the_ais(asterisk: Any) -> None:
    report, shown = await call(settings_of(asterisk), "600", do.WaitAnswer(0.5))
    assert cause_of(report) == (
        "the AI did not take this call: the dialplan does not send this number to the AI; "
        "the dialplan answered with Echo()"
    )
    assert not any("no answer within" in line for line in shown)
    report, _ = await call(settings_of(asterisk), "600", QUESTION, do.WaitAnswer(LIMIT_S), anyone=True)
    assert (report.outcome, report.answered_by) == ("ok", "other")


SITE = """
[from-internal]
exten => 7002,1,Dial(Local/7001@ariagent-internal/n,30)
exten => 7003,1,Answer()
 same => n,Playtones(dial)
 same => n,Wait(1)
 same => n,StopPlaytones()
 same => n,Stasis(ariagent)
 same => n,Hangup()
"""


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[AsteriskInstance]:
    """An Asterisk with a site's own dialplan beside the shipped one."""
    program = await asyncio.to_thread(ensure_asterisk, default_lab_dir())
    async with AsteriskInstance(program, folder, additions={"extensions.conf": SITE}) as asterisk:
        yield asterisk


async def test_a_sites_own_way_to_the_ai(tmp_path: Path) -> None:
    """Behind a Local channel of the site's, and answered before the AI is asked; the context is named by its flag."""
    from lab import environment

    async with (
        site(tmp_path / "site") as asterisk,
        environment.sandbox(tmp_path, "--scenario", str(SCENARIO)) as (_, url),
    ):
        realtime = {"realtime": {"url": url, "api_key": "x"}, "agents": {"default": {"instructions": "x", **AGENT}}}
        async with environment.service(asterisk, tmp_path, realtime):
            settings = settings_of(asterisk, state_directory=tmp_path / "service-state")
            for extension in ("7002", "7003"):
                report, _ = await call(settings, extension, *GREETED[:1], context="from-internal")
                assert (report.outcome, report.answered_by, report.failures) == ("ok", "ai", [])
                assert [turn.text for turn in report.turns] == [OPENING]
        report, _ = await call(settings, "7002")
        assert report.failures[0].cause == (
            "the dialplan has no extension 7002 in context ariagent-internal; from-internal has it. "
            "Give --context from-internal"
        )
        assert report.outcome == "not_answered"
