"""Twenty calls at once through the queue: by SIPp, whose SIP and RTP are not ours, and by phones that listen."""

import asyncio
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ariagent.audio.g711 import encode_ulaw
from lab import ports
from lab.phone import Phone

pytestmark = pytest.mark.asterisk

SCENARIOS = Path(__file__).parent / "sipp"
CALLS = 20
LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""


def terminations(running: Any) -> dict[tuple[str, str], float]:
    """``ariagent_calls_total`` by result and reason."""
    samples = [s for metric in running.metrics.calls.collect() for s in metric.samples if s.name.endswith("_total")]
    found: Counter[tuple[str, str]] = Counter()
    for sample in samples:
        found[sample.labels["result"], sample.labels["reason"]] += sample.value
    return dict(found)


async def test_twenty_calls_of_sipp_are_answered_talk_and_end(
    sandbox: Any, service: Any, asterisk: Any, sipp: list[str], log: Any, sound: Any, tmp_path: Path
) -> None:
    model = await sandbox(keep_audio=False)
    running = await service(model)
    rest = np.zeros(8000 * 3, np.int16)
    speech = np.concatenate((sound.tone(0.6, peak=9000), rest))
    (tmp_path / "speech.ulaw").write_bytes(encode_ulaw(speech))
    first_media_port, _ = ports.rtp_range()
    process = await asyncio.create_subprocess_exec(
        *sipp,
        f"127.0.0.1:{asterisk.sip_port}",
        *("-sf", str(SCENARIOS / "conversation.xml"), "-s", "7000", "-nostdin", "-timeout", "60", "-trace_err"),
        *("-m", str(CALLS), "-l", str(CALLS), "-r", str(CALLS), "-rp", "1000"),
        *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(ports.free_udp_port())),
        *("-min_rtp_port", str(first_media_port), "-max_rtp_port", str(first_media_port + 4 * CALLS)),
        cwd=tmp_path,
        env={**os.environ, "TERM": "dumb"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), LIMIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    errors = "".join(path.read_text(errors="replace") for path in tmp_path.glob("*_errors.log"))
    assert process.returncode == 0, errors + output.decode(errors="replace")[-2000:]

    await log.wait("call.ended", count=CALLS)
    assert len(log.named("call.answered")) == CALLS
    assert len({entry["call"] for entry in log.named("call.started")}) == CALLS
    assert len({entry["seat"] for entry in log.named("call.started")}) == CALLS
    assert terminations(running) == {("done", "caller_hung_up"): CALLS}
    # Every one of them was greeted, heard by the model, and answered.
    assert len(log.named("turn.answered")) == CALLS
    sessions = model.sessions
    assert len(sessions) == CALLS
    for session in sessions:
        assert [event["response"]["status"] for event in session.sent_events("response.done")] == ["completed"]
        assert session.appended_ms > 3000


@pytest.mark.long
async def test_twenty_phones_at_once_are_all_greeted_to_the_end(
    sandbox: Any, service: Any, phone: Any, ear: Any, sound: Any, log: Any
) -> None:
    opening = "Good day, you are one of twenty."
    model = await sandbox(keep_audio=False)
    running = await service(model, agent={"opening": opening})
    phones: list[Phone] = [await phone() for _ in range(4)]
    calls = [await one.dial("7000") for one in phones for _ in range(CALLS // len(phones))]
    ears = [ear(call) for call in calls]
    await asyncio.gather(*(call.answered(LIMIT_S) for call in calls))
    assert len(running.calls) == CALLS
    assert running.metrics.registry.get_sample_value("ariagent_calls_active") == CALLS
    heard = await asyncio.gather(*(hearing.utterance(quiet_s=0.5) for hearing in ears))
    for (first, last), hearing in zip(heard, ears, strict=True):
        # To its end. A machine that runs other tests loses some frames; `make bench` measures the spacing.
        whole_ms = MS_PER_LETTER * len(opening)
        assert sound.MOST * whole_ms < hearing.loud_ms(first, last) < whole_ms + 60
        span_ms = len(sound.loud_part(hearing.call.heard(), 8000)) / 8
        assert -60 <= span_ms - whole_ms <= 3000
    # Half of them hang up, the other half has the agent do it.
    for index, call in enumerate(calls):
        if index % 2:
            await call.hangup()
        else:
            await call.send_dtmf("9")
    await asyncio.gather(*(call.ended(LIMIT_S) for call in calls))
    await log.wait("call.ended", count=CALLS)
    assert terminations(running) == {("done", "caller_hung_up"): CALLS // 2, ("done", "agent_ended"): CALLS // 2}
    assert sum(entry["underruns"] for entry in log.named("call.ended")) == 0
    assert [call.stats.lost for call in calls] == [0] * CALLS
