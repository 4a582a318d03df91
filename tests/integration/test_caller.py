"""The synthetic caller on a real Asterisk: the echo, refusals, hang-ups from either side, and nothing left behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import wave
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from pydantic import SecretStr

from ariagent.audio.format import SLIN8
from ariagent.audio.waiting_tone import waiting_tone
from ariagent.caller import script as do
from ariagent.caller.caller import hold_call
from ariagent.caller.plan import CallPlan
from ariagent.caller.report import CallReport, Narrator
from ariagent.caller.script import Script
from ariagent.config import AsteriskSettings, Settings
from ariagent.errors import AriError
from lab import environment as bed
from lab.asterisk import AsteriskInstance

pytestmark = pytest.mark.asterisk

LIMIT_S = 20.0
GREETING = do.Say("Hello, what are your opening hours?")


@pytest.fixture
def settings(asterisk: AsteriskInstance) -> Settings:
    return Settings(
        asterisk=AsteriskSettings(
            url=asterisk.ari_url, user=asterisk.ari_user, password=SecretStr(asterisk.ari_password)
        )
    )


async def call(settings: Settings, *steps: do.Step, extension: str = "600", **options: object) -> CallReport:
    """Talk with whoever answers, which mostly is the echo."""
    plan = CallPlan(extension, Script(steps), **{"anyone": True, **options})  # type: ignore[arg-type]
    return await hold_call(settings, plan, Narrator(lambda line: None))


async def left_behind(asterisk: AsteriskInstance) -> dict[str, list[str]]:
    """Remains of synthetic callers in Asterisk, by kind; waits a while for those that are ending."""
    auth = aiohttp.BasicAuth(asterisk.ari_user, asterisk.ari_password)
    deadline = time.monotonic() + LIMIT_S
    async with aiohttp.ClientSession(auth=auth) as session:
        while True:
            found = {}
            for kind in ("channels", "bridges", "applications"):
                async with session.get(f"{asterisk.ari_url}/ari/{kind}") as answer:
                    things = await answer.json()
                names = [str(thing.get("id") or thing.get("name")) for thing in things]
                if mine := [name for name in names if "caller-" in name]:
                    found[kind] = mine
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(0.05)


async def test_the_echo_says_what_the_caller_said(
    settings: Settings, asterisk: AsteriskInstance, tmp_path: Path
) -> None:
    pytest.importorskip("pocketsphinx")
    shown: list[str] = []
    steps = (
        GREETING,
        do.WaitAnswer(5),
        do.Expect(("opening", "hours"), any_of=True),
        do.Press("1"),
        do.Silence(0.1),
        do.HangUp(),
    )
    plan = CallPlan("600", Script(steps), anyone=True, record_dir=tmp_path / "kept")
    report = await hold_call(settings, plan, Narrator(shown.append))
    assert (report.outcome, report.failures, report.ended_by) == ("ok", [], "caller")
    assert [turn.who for turn in report.turns] == ["caller", "agent"]
    said, echoed = report.turns
    # The echo begins and ends with what it echoes, a few milliseconds later.
    assert 0 <= echoed.start_s - said.start_s < 1
    assert echoed.end_s - echoed.start_s == pytest.approx(said.end_s - said.start_s, abs=0.3)
    assert echoed.latency_ms is None
    assert report.digits[0].digits == "1"
    assert any("(presses 1)" in line for line in shown)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "kept").iterdir()} == {0o600}
    with wave.open(str(tmp_path / "kept" / "call.wav")) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() / file.getframerate() == pytest.approx(report.duration_s, abs=1.5)
    assert json.loads((tmp_path / "kept" / "call.json").read_text())["outcome"] == "ok"
    assert await left_behind(asterisk) == {}


async def test_words_that_were_not_said_fail_their_step(settings: Settings) -> None:
    pytest.importorskip("pocketsphinx")
    report = await call(settings, GREETING, do.WaitAnswer(5), do.Expect(("bicycle",)), do.HangUp())
    assert report.outcome == "failed"
    (failure,) = report.failures
    assert failure.step == "step 3 (expect)"
    assert failure.cause.startswith('expected "bicycle", understood "')


async def test_silence_is_no_answer(settings: Settings, asterisk: AsteriskInstance) -> None:
    report = await call(settings, do.WaitAnswer(0.5), GREETING)
    assert [(failure.step, failure.cause) for failure in report.failures] == [
        ("step 1 (wait_answer)", "no answer within 0.5 s")
    ]
    assert report.turns == []
    assert await left_behind(asterisk) == {}


async def test_a_slow_tools_tone_is_no_answer(settings: Settings, tmp_path: Path) -> None:
    """The echo gives back a tone, which the caller does not take for an answer; then words, which it does."""
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(waiting_tone(SLIN8))
    tone = do.Play(tmp_path / "tone.wav")
    report = await call(settings, tone, do.WaitAnswer(1.5, 0.3))
    assert [failure.cause for failure in report.failures] == ["no answer within 1.5 s"]
    assert [turn.who for turn in report.turns] == ["caller"]
    report = await call(settings, tone, do.Silence(0.5), GREETING, do.WaitAnswer(LIMIT_S), do.HangUp())
    assert report.outcome == "ok"
    assert [turn.who for turn in report.turns] == ["caller", "caller", "agent"]


async def test_a_phone_that_rings_until_the_time_is_up(settings: Settings, phone: Any) -> None:
    await phone("1001", register=True)
    report = await call(settings, GREETING, extension="1001", timeout_s=2.0)
    [failure] = report.failures
    assert failure.cause.startswith("still ringing after 2 s at ariagent-internal,1001,3: Dial(PJSIP/1001,30,")


async def test_an_agent_that_talks_on_fails_the_interruption(settings: Settings) -> None:
    """The hold music of a queue does not stop for anybody."""
    report = await call(settings, do.Interrupt(0.3, "Wait a moment.", 0.5), extension="7100")
    assert [failure.cause for failure in report.failures] == [
        "the agent was still talking 0.5 s after the caller began to talk"
    ]
    assert report.interruptions == []


async def test_a_silent_agent_cannot_be_interrupted(settings: Settings) -> None:
    report = await call(settings, GREETING, do.Interrupt(3.5, "Wait a moment."))
    assert "too short to interrupt" in report.failures[0].cause


@pytest.mark.parametrize(
    ("extension", "context", "cause"),
    [
        (
            "9999",
            "ariagent-internal",
            "the dialplan has no extension 9999 in context ariagent-internal. Name the context",
        ),
        ("600", "nowhere", "in context nowhere; ariagent-internal has it. Give --context ariagent-internal"),
        ("1001", "ariagent-internal", "no route at ariagent-internal,1001,4: Hangup()"),
    ],
    ids=["no extension", "no context", "nobody registered"],
)
async def test_calls_that_are_not_answered(
    settings: Settings, asterisk: AsteriskInstance, extension: str, context: str, cause: str
) -> None:
    report = await call(settings, GREETING, extension=extension, context=context)
    assert (report.outcome, report.answered_after_ms) == ("not_answered", None)
    assert report.failures[0].step == "call"
    assert cause in report.failures[0].cause
    assert await left_behind(asterisk) == {}


async def test_the_other_side_hangs_up(settings: Settings, asterisk: AsteriskInstance) -> None:
    async def hang_up_soon() -> None:
        while True:
            rows = (await asterisk.cli("core show channels concise")).splitlines()
            if echo := [row.partition("!")[0] for row in rows if "!Echo!" in row]:
                break
            await asyncio.sleep(0.05)
        await asterisk.cli(f"channel request hangup {echo[0]}")

    hanging_up = asyncio.create_task(hang_up_soon())
    report = await call(settings, do.ExpectHangup(LIMIT_S))
    await hanging_up
    assert (report.outcome, report.ended_by) == ("ok", "other side")

    hanging_up = asyncio.create_task(hang_up_soon())
    report = await call(settings, do.Silence(LIMIT_S), GREETING)
    await hanging_up
    assert report.failures[0].cause == "the other side had hung up"
    assert report.duration_s < LIMIT_S
    assert await left_behind(asterisk) == {}


async def test_a_call_longer_than_allowed_is_ended(settings: Settings, asterisk: AsteriskInstance) -> None:
    report = await call(settings, do.ExpectHangup(60), timeout_s=1.0)
    assert report.outcome == "failed"
    assert report.ended_by == "caller"
    assert await left_behind(asterisk) == {}


async def test_nothing_is_left_wherever_it_is_broken_off(settings: Settings, asterisk: AsteriskInstance) -> None:
    """Cancelled at many moments, most of them while requests are in flight."""
    for number in range(30):
        task = asyncio.create_task(call(settings, do.Silence(LIMIT_S)))
        await asyncio.sleep(0.01 * number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await left_behind(asterisk) == {}


async def test_nothing_is_left_when_it_is_broken_off_while_it_ends(
    settings: Settings, asterisk: AsteriskInstance
) -> None:
    for number in range(20):
        task = asyncio.create_task(call(settings, do.Silence(0.05)))
        await asyncio.sleep(0.05 + 0.01 * number)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert await left_behind(asterisk) == {}


async def test_audio_that_cannot_be_connected(settings: Settings, asterisk: AsteriskInstance) -> None:
    # 192.0.2.1 is nobody's (RFC 5737); Asterisk gives up after 2 s or at once.
    changed = settings.model_copy(
        update={"audiosocket": settings.audiosocket.model_copy(update={"advertise": "192.0.2.1:9092"})}
    )
    with pytest.raises(AriError):
        await call(changed, GREETING)
    assert await left_behind(asterisk) == {}


def written(asterisk: AsteriskInstance, folder: Path) -> Path:
    """Settings for a caller."""
    path = folder / "caller.yaml"
    access = {"url": asterisk.ari_url, "user": asterisk.ari_user, "password": asterisk.ari_password}
    path.write_text(yaml.safe_dump({"asterisk": access}))
    return path


def test_the_command_ends_cleanly_at_ctrl_c(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    path = written(asterisk, tmp_path)
    (tmp_path / "wait.yaml").write_text("steps:\n  - silence: 60\n")
    command = [sys.executable, "-m", "ariagent", "call", "600", "--anyone", "--script", "wait.yaml", "-c", str(path)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A test run in the background has SIGINT ignored, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler) and None,
    )
    try:
        assert process.stdout is not None
        lines: list[str] = []
        while "(answers)" not in (lines or [""])[-1]:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 130
    assert rest.endswith("interrupted; the call was hung up\n")
    assert asyncio.run(left_behind(asterisk)) == {}


async def test_json_is_all_that_standard_output_gets(asterisk: AsteriskInstance, tmp_path: Path) -> None:
    path = written(asterisk, tmp_path)
    (tmp_path / "short.yaml").write_text(
        "steps:\n  - say: Hello, can you hear me?\n  - wait_answer\n  - wait_answer: {within: 0.5}\n"
    )
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "ariagent",
            "call",
            "600",
            "--anyone",
            "--script",
            "short.yaml",
            "--json",
            "-c",
            str(path),
        ),
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    document = json.loads(out)
    assert process.returncode == 1
    assert document["failures"][0]["step"] == "short.yaml:4: step 3 (wait_answer)"
    assert "(answers)" in err.decode()
    assert [turn["who"] for turn in document["turns"]] == ["caller", "agent"]


@pytest.mark.long
async def test_a_conversation_with_the_service(settings: Settings, asterisk: AsteriskInstance, tmp_path: Path) -> None:
    """Through queue and seat: answered, measured, interrupted, a key, and hung up by the agent."""
    pytest.importorskip("pocketsphinx")
    steps = (
        do.WaitAnswer(),
        do.Say("Tell me about your prices."),
        do.Interrupt(1.5, "Wait a moment."),
        do.WaitAnswer(),
        do.Expect(("of course", "like to know"), any_of=True),
        do.Press("2"),
        do.WaitAnswer(),
        do.Say("Thank you, goodbye."),
        do.WaitAnswer(),
        do.Expect(("goodbye", "thank you", "calling"), any_of=True),
        do.ExpectHangup(),
    )
    async with bed.sandbox(tmp_path) as (_, url):
        realtime = {"realtime": {"url": url, "api_key": "sandbox"}}
        async with bed.service(asterisk, tmp_path, realtime) as service:
            report = await call(settings, *steps, extension="7000", anyone=False)
            ended = await service.wait_for("call.ended")
            interrupted = await service.wait_for("turn.interrupted")
    assert report.failures == []
    assert (report.ended_by, report.answered_by) == ("other side", "ai")
    assert [turn.after for turn in report.turns if turn.who == "agent"] == [
        "answer",
        "speech",
        "speech",
        "digits",
        "speech",
    ]
    # Turn detection waits 500 ms and the sandbox thinks for 250: less cannot be, and seconds would be a fault.
    assert all(600 < latency < 5000 for latency in report.latencies_ms)
    assert len(report.interruptions) == 1
    assert f"call={report.channel} " in ended
    assert "result=done" in ended
    assert "heard_ms=" in interrupted
    assert await left_behind(asterisk) == {}
