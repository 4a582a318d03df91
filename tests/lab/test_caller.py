"""The caller without an Asterisk: its end of the audio on a real socket, the account of a call, the command."""

import asyncio
import json
import os
import time
import wave
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from ariagent.audio.format import SLIN24
from ariagent.audiosocket.frames import Kind, audio_frame, uuid_frame
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.caller.line import Line
from ariagent.caller.report import WIDTH, CallReport, Entry, Failure, Interruption, Narrator, Turn, lines_of
from ariagent.config import AgentSettings
from lab import demo
from lab.humanagent import Encounter
from tests import forked

FRAME_BYTES = SLIN24.frame_bytes
LIMIT_S = 60.0


def loud(frames: int) -> bytes:
    return (np.sin(np.arange(frames * SLIN24.frame_samples) / 5) * 8000).astype("<i2").tobytes()


def never(now: float) -> bool | None:
    return True if now < 0 else None


class Peer:
    """Asterisk's side of one AudioSocket connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), FRAME_BYTES):
            self.writer.write(audio_frame(Kind.SLIN24, pcm[at : at + FRAME_BYTES]))

    async def frame(self) -> bytes:
        header = await asyncio.wait_for(self._reader.readexactly(3), LIMIT_S)
        assert header == bytes([Kind.SLIN24]) + FRAME_BYTES.to_bytes(2, "big")
        return await self._reader.readexactly(FRAME_BYTES)


@pytest.fixture
async def connected() -> AsyncIterator[tuple[Line, Peer]]:
    line, uuid = Line(SLIN24, keep=True), uuid4()
    server = AudioSocketServer()
    await server.start("127.0.0.1", 0)
    server.expect(uuid, line, SLIN24)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(uuid_frame(uuid))
    peer = Peer(reader, writer)
    await peer.frame()
    yield line, peer
    writer.close()
    await server.close()


async def test_what_is_said_is_sent_and_timed(connected: tuple[Line, Peer]) -> None:
    line, peer = connected
    speech = loud(5) + SLIN24.silence(100)
    before = time.monotonic()
    line.say(speech)
    assert line.talking
    heard = b""
    while len(heard) < len(speech):
        frame = await peer.frame()
        if heard or any(frame):
            heard += frame
    assert heard == speech
    assert line.began_at is not None
    assert line.last_loud_at is not None
    assert before <= line.began_at < line.last_loud_at <= time.monotonic()
    assert not line.talking


async def test_the_last_frame_is_filled_up(connected: tuple[Line, Peer]) -> None:
    line, peer = connected
    line.say(loud(1)[:500])
    while not any(frame := await peer.frame()):
        pass
    assert frame == loud(1)[:500].ljust(FRAME_BYTES, b"\0")


async def test_until_sees_what_arrives(connected: tuple[Line, Peer]) -> None:
    line, peer = connected
    peer.send(loud(10))
    assert await line.until(lambda now: line.ear.began_at, time.monotonic() + LIMIT_S) is not None


async def test_until_ends_at_its_deadline(connected: tuple[Line, Peer]) -> None:
    line, _ = connected
    assert await line.until(never, time.monotonic() + 0.05) is None


async def test_until_ends_with_the_connection(connected: tuple[Line, Peer]) -> None:
    line, peer = connected
    line.say(loud(500))
    waiting = asyncio.ensure_future(line.until(never, time.monotonic() + 60))
    peer.writer.close()
    assert await asyncio.wait_for(waiting, LIMIT_S) is None
    assert line.ended == "peer_closed"
    assert not line.talking


async def test_recording_has_both_sides(connected: tuple[Line, Peer], tmp_path: Path) -> None:
    line, peer = connected
    line.say(loud(5))
    peer.send(loud(10))
    await line.until(lambda now: line.ear.began_at if not line.talking else None, time.monotonic() + LIMIT_S)
    line.write(tmp_path / "call.wav")
    assert (tmp_path / "call.wav").stat().st_mode & 0o777 == 0o600
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 24_000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert np.count_nonzero(both[:, 0]) > 4 * SLIN24.frame_samples
    assert np.count_nonzero(both[:, 1]) > 4 * SLIN24.frame_samples


async def test_the_agent_is_heard_beside_the_callers_sentences(connected: tuple[Line, Peer]) -> None:
    line, peer = connected
    pause = bytes(40 * FRAME_BYTES)
    line.say(loud(5) + pause + loud(5))
    began = await line.until(lambda now: line.began_at, time.monotonic() + LIMIT_S)
    peer.send(loud(10))
    await line.until(lambda now: True if not line.talking else None, time.monotonic() + LIMIT_S)
    assert began is not None
    assert line.last_loud_at is not None
    line.sentences.said.append((began, line.last_loud_at, "two words"))
    [cut_in] = line.sentences.cut_ins()
    assert began < cut_in.began_at < line.last_loud_at
    # The pause of 0.8 s was the caller's own, also if it were longer.
    assert line.silences.waits == []


# -- the account ----------------------------------------------------------------------------------


def test_lines_are_aligned_and_short_enough() -> None:
    lines = lines_of(Entry(12.3456, "agent", "word " * 60, 873.4))
    assert lines[0].startswith("  12.35     873 ms  agent    word")
    assert all(len(line) <= WIDTH for line in lines)
    assert all(line.startswith(" " * 29 + "word") for line in lines[1:])
    assert lines_of(Entry(0, "caller", "")) == ["   0.00             caller"]


def test_an_answer_that_is_not_recognised_yet_holds_back_what_follows() -> None:
    shown: list[str] = []
    narrator = Narrator(shown.append)
    answer = Entry(1, "agent", "", ready=False)
    narrator.add(Entry(0, "caller", "one"))
    narrator.add(answer)
    narrator.add(Entry(2, "caller", "three"))
    assert len(shown) == 1
    answer.text, answer.ready = "two", True
    narrator.update()
    assert [line.split()[-1] for line in shown] == ["one", "two", "three"]
    narrator.add(Entry(3, "agent", "late", ready=False))
    narrator.end()
    assert len(shown) == 4


def report(**changes: object) -> CallReport:
    turns = [
        Turn("agent", 0.3, 2.0, "hello", latency_ms=300.0, after="answer"),
        Turn("caller", 3.0, 4.0, "Hello."),
        Turn("agent", 4.5, 6.0, "How can I help?", latency_ms=500.12345, after="speech", words_from="records"),
        Turn("caller", 7.0, 8.0, "Prices?"),
        Turn("agent", 8.7, 9.0, "forty", words_from="recogniser", latency_ms=700.0, after="speech", interrupted=True),
        Turn("agent", 10.0, 11.0, "you pressed two", latency_ms=1200.0, after="digits"),
    ]
    values: dict[str, object] = {
        "answered_after_ms": 20.0,
        "turns": turns,
        "interruptions": [Interruption(9.0, 250.0)],
        "duration_s": 12.0,
    }
    return CallReport("7000", "caller-1", "slin/24000", **{**values, **changes})  # type: ignore[arg-type]


def test_only_answers_to_speech_count_as_latency() -> None:
    assert report().latencies_ms == [500.12345, 700.0]
    assert "answered after 700 ms (median), 700 ms (longest)" in report().summary()


def test_the_summary_says_how_it_went_and_which_words_are_guesses() -> None:
    assert report().summary().startswith("as expected: 6 turns in 12.0 s; ")
    assert "words after (sounds like) are a recogniser's guess" in report().summary()
    assert "guess" not in report(turns=[Turn("agent", 0.3, 2.0, "hello", words_from="records")]).summary()
    assert report(outcome="not_taken").summary().startswith("not taken by the AI: ")
    assert report(outcome="not_answered").summary().startswith("not answered: ")


def test_the_document_is_json() -> None:
    document = json.loads(json.dumps(report(failures=[Failure("step 1 (say)", "no")]).document()))
    assert document["turns"][2] == {
        "who": "agent",
        "start_s": 4.5,
        "end_s": 6.0,
        "text": "How can I help?",
        "words_from": "records",
        "heard": None,
        "latency_ms": 500.1234,
        "after": "speech",
        "interrupted": False,
    }
    assert document["interruptions"] == [{"start_s": 9.0, "stopped_after_ms": 250.0}]
    assert document["failures"] == [{"step": "step 1 (say)", "cause": "no"}]


# -- the demo's verdict ---------------------------------------------------------------------------

LOG = """2026-01-31T12:00:00.000 INFO service.ready
2026-01-31T12:00:01.000 INFO call.started call=caller-1 seat=01
2026-01-31T12:00:02.000 INFO turn.interrupted call=caller-1 item=i heard_ms=2000 dropped_ms=500
2026-01-31T12:00:03.000 INFO call.digits call=caller-1 count=1
2026-01-31T12:00:03.000 INFO call.digits call=another count=1
2026-01-31T12:00:04.000 INFO turn.agent call=caller-1 item=i said="You pressed two. \\"Good\\"."
Traceback (most recent call last): it's not an event
2026-01-31T12:00:05.000 INFO call.ended call=caller-1 result=transferred reason=handed_over
"""


def part_ms(**parts: float) -> dict[str, float]:
    """Metrics of two answers with these means."""
    samples = {}
    for part, mean_ms in parts.items():
        name = "ariagent_response_part_seconds"
        samples |= {f'{name}_sum{{part="{part}"}}': 2 * mean_ms / 1000, f'{name}_count{{part="{part}"}}': 2.0}
    total_s = sum(parts.values()) * 2 / 1000
    return samples | {"ariagent_response_seconds_sum": total_s, "ariagent_response_seconds_count": 2.0}


def evidence() -> demo.Evidence:
    return demo.Evidence(
        log=list(demo.service_events(LOG, "caller-1")),
        metrics={
            'ariagent_calls_total{result="transferred"}': 1.0,
            'ariagent_speculative_responses_total{outcome="used"}': 6.0,
            'ariagent_speculative_responses_total{outcome="discarded"}': 1.0,
            'ariagent_turn_judgements_total{outcome="judged"}': 5.0,
            'ariagent_turn_judgements_total{outcome="cancelled"}': 1.0,
            **part_ms(detection=240, model=252, held=50, service=2),
        },
        queue_log=[
            "1|caller-1;2|frontline|AI Agent|CONNECT|0",
            "9|caller-1;2|frontline|AI Agent|BLINDTRANSFER|support|ariagent-handoff|0|8|1",
            "9|caller-1;2|support|NONE|ENTERQUEUE||5550100|1",
            "12|caller-1;2|support|Agent 1001|CONNECT|3",
            "20|caller-1;2|support|Agent 1001|COMPLETECALLER|3|8|1",
        ],
        met=Encounter('"AI:" <sip:5550100@x>', "what it is about", "what it is about", 3.0, 0.99, 1.0),
        channels_left=0,
        kept=[("call.started", ""), *[("turn.caller", "yes"), ("turn.agent", "good")] * 4, ("call.ended", "")],
    )


def test_service_events_are_those_of_the_call() -> None:
    events = list(demo.service_events(LOG, "caller-1"))
    assert [name for name, _ in events] == [
        "call.started",
        "turn.interrupted",
        "call.digits",
        "turn.agent",
        "call.ended",
    ]
    assert events[3][1]["said"] == 'You pressed two. "Good".'


def four_answers() -> CallReport:
    found = report()
    found.turns.append(Turn("agent", 11.5, 11.9, "goodbye", latency_ms=480.0, after="speech"))
    return found


def test_the_demo_is_content_when_all_went_right() -> None:
    assert [check.name for check in demo.judge(four_answers(), evidence()) if not check.ok] == []


def test_the_demo_notices_each_thing_that_goes_wrong() -> None:
    nothing = report(answered_after_ms=None, turns=[], interruptions=[], outcome="not_answered")
    assert failing(demo.Evidence(), nothing) == list(range(15))
    assert failing(evidence(), report(turns=[])) == [1, 2, 3]
    late = four_answers()
    late.turns[0].latency_ms = 400.0
    assert failing(evidence(), late) == [1]
    wrong_words = four_answers()
    wrong_words.outcome = "failed"
    assert failing(evidence(), wrong_words) == [4]
    slow = four_answers()
    slow.interruptions = [Interruption(9.0, 2500.0)]
    assert failing(evidence(), slow) == [5]


def test_half_of_the_answers_must_begin_within_their_budget() -> None:
    [verdict] = [check for check in demo.judge(four_answers(), evidence()) if "half of the answers" in check.name]
    assert str(verdict) == "ok      half of the answers began within 520 ms: p50 500 ms"
    late = four_answers()
    late.turns[-1].latency_ms = 521.0
    assert failing(evidence(), late) == [3]
    late.turns[-1].latency_ms = 520.0
    assert failing(evidence(), late) == []
    late.turns[2].latency_ms = 530.0
    [verdict] = [check for check in demo.judge(late, evidence()) if not check.ok]
    assert str(verdict) == (
        "FAILED  half of the answers began within 520 ms: p50 530 ms; "
        "the end-of-turn judge answered 5 of 6 requests in time"
    )
    busy = evidence()
    busy.metrics |= part_ms(model=311)
    assert "the model took 311 ms (mean), not 250" in demo.judge(late, busy)[3].detail


def test_without_a_judge_the_demo_does_not_promise_fast_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.agent(has_judge=True)["turns"] == "fast"
    detection = AgentSettings.model_validate(demo.agent(has_judge=True)).used_turn_detection
    assert detection.model_dump()["silence_duration_ms"] == demo.EARLY_SILENCE_MS
    assert demo.agent(has_judge=False)["turns"] == "server"
    slow, found = four_answers(), evidence()
    slow.turns[2].latency_ms = slow.turns[-1].latency_ms = 870.0
    found.has_judge = False
    assert failing(found, slow) == []
    assert str(demo.judge(slow, found)[3]) == (
        "skip    half of the answers began within 520 ms: p50 870 ms; there is no end-of-turn judge"
    )
    shown = "\n".join(demo.table(slow, found))
    assert "none, because there is no end-of-turn judge" in shown
    assert "p50 870 ms, longest 870 ms" in shown
    assert demo._conclude(slow, found, {}, tmp_path / "demo.json") == 0
    assert "All that could be tried went right" in capsys.readouterr().out


def test_the_demo_shows_the_answer_delay_beside_its_budget_and_in_parts() -> None:
    shown = "\n".join(demo.table(four_answers(), evidence()))
    assert "p50 500 ms of at most 520 ms, longest 700 ms (3 answers to speech)" in shown
    assert (
        "mean 544 ms by the service over 2 turns = detection 240 ms + model 252 ms + held 50 ms + service 2 ms" in shown
    )
    assert "6 played, 1 discarded; the end-of-turn judge answered 5 of 6 requests in time" in shown


def test_the_demos_document_has_the_same_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo._conclude(four_answers(), evidence(), {}, tmp_path / "demo.json") == 0
    out = capsys.readouterr().out
    assert "ok      half of the answers" in out
    assert "All of it went right" in out
    document = json.loads((tmp_path / "demo.json").read_text())
    assert document["latency_ms"] == {
        "p50": 500.1,
        "max": 700.0,
        "p50_budget": 520.0,
        "parts_mean": {"detection": 240.0, "model": 252.0, "held": 50.0, "service": 2.0},
    }
    assert document["answers_held"] == {"used": 6, "discarded": 1}
    assert document["has_judge"] is True


def test_the_demo_notices_what_the_others_noticed() -> None:
    found = evidence()
    found.channels_left = 2
    assert failing(found, four_answers()) == [14]
    found = evidence()
    found.kept[1:3] = [("turn.caller", ""), ("turn.agent", "")]
    assert failing(found, four_answers()) == [13]
    found = evidence()
    del found.kept[-1]
    assert failing(found, four_answers()) == [13]
    found = evidence()
    found.log.append(found.log[-1])
    assert failing(found, four_answers()) == [8]
    found = evidence()
    del found.queue_log[-1]
    assert failing(found, four_answers()) == [12]


def test_the_demo_notices_what_the_person_did_not_hear() -> None:
    for change, number in (({"shown": "<sip:5550100@x>"}, 9), ({"likeness": 0.7}, 10), ({"caller_heard_s": 0.0}, 11)):
        found = evidence()
        found.met = replace(found.met, **change)
        assert failing(found, four_answers()) == [number]


def failing(found: demo.Evidence, call: CallReport) -> list[int]:
    """The checks that fail, by their places."""
    return [index for index, check in enumerate(demo.judge(call, found)) if not check.ok]


def test_metrics_are_read_without_buckets() -> None:
    text = (
        "# TYPE ariagent_response_seconds histogram\n"
        'ariagent_response_seconds_bucket{agent="a",le="1.0"} 2\n'
        'ariagent_response_seconds_sum{agent="a"} 1\nariagent_response_seconds_count{agent="a"} 1\n'
        'ariagent_response_seconds_sum{agent="b"} 0.5\nariagent_response_seconds_count{agent="b"} 1\n'
        "# TYPE python_info gauge\npython_info 1\n"
        '# TYPE ariagent_calls_total counter\nariagent_calls_total{result="done",reason="x"} 1\n'
    )
    found = demo.samples(text)
    assert found['ariagent_calls_total{result="done",reason="x"}'] == 1
    assert demo.mean_ms(found, "ariagent_response_seconds") == 750
    assert demo.mean_ms(found, "ariagent_response_seconds", '{agent="b"}') == 500
    assert demo.mean_ms(found, "ariagent_answer_seconds") is None
    assert not [name for name in found if "bucket" in name or "python" in name]


@pytest.mark.parametrize(("output", "channels"), [("3 active channels\n1 active call", 3), ("Unable to connect", -1)])
def test_channel_count(output: str, channels: int) -> None:
    assert demo.active_channels(output) == channels


# -- the command ----------------------------------------------------------------------------------


async def ariagent_call(folder: Path, *arguments: str) -> tuple[int, str, str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ARIAGENT_")}
    return await forked.ariagent("call", *arguments, environment=environment, folder=folder)


async def test_wrong_usage_and_configuration_exit_2(tmp_path: Path) -> None:
    assert (await ariagent_call(tmp_path))[0] == 2
    code, out, err = await ariagent_call(tmp_path, "600", "-c", "none.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("ariagent: none.yaml: there is no such file")
    (tmp_path / "site.yaml").write_text("asterisk: {}\n")
    (tmp_path / "bad.yaml").write_text("steps:\n  - shout: x\n")
    code, _, err = await ariagent_call(tmp_path, "600", "-c", "site.yaml", "--script", "bad.yaml")
    assert code == 2
    assert "bad.yaml:2: steps[0].shout: unknown key" in err


async def test_an_unreachable_asterisk_exits_1_with_a_remedy(tmp_path: Path, unused_tcp_port: int) -> None:
    (tmp_path / "site.yaml").write_text(f"asterisk: {{url: 'http://127.0.0.1:{unused_tcp_port}'}}\n")
    code, out, err = await ariagent_call(tmp_path, "600", "-c", "site.yaml", "--json")
    assert (code, out) == (1, "")
    assert "cannot reach Asterisk" in err
