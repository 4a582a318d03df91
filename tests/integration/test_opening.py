"""The fixed first sentence: heard at once, word for word, known to the model, and open to interruption."""

import itertools
import time
from typing import Any

import numpy as np
import pytest

from ariagent.audio.resample import Resampler
from ariagent.sandbox.faults import Faults
from lab.call_setup import CallState

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
MS_PER_LETTER = 65
"""Speaking time of a letter in the sandbox's voice ``tone``."""
WORDS = "Good day, I am a machine."


def assistant(session: Any) -> list[tuple[str, str]]:
    """Id and words of the model's own items in its conversation."""
    found = []
    for item in session.items:
        if item.get("role") == "assistant":
            [part] = item["content"]
            found.append((item["id"], part.get("text") or part.get("transcript")))
    return found


async def test_heard_from_the_first_frame_though_the_model_is_slow(
    sandbox: Any, service: Any, phone: Any, ear: Any, log: Any
) -> None:
    """The model needs 600 ms until it can be talked to: the phone rings meanwhile."""
    model = await sandbox(faults=Faults.parse("late_created:600"))
    await service(model, agent={"opening": WORDS})
    call = await (await phone()).dial("7000")
    hearing = ear(call)
    dialled = time.monotonic()
    await call.ringing(LIMIT_S)
    assert call.state is CallState.RINGING
    await call.answered(LIMIT_S)
    assert call.answered_at is not None
    assert call.answered_at - dialled >= 0.55
    first = await hearing.wait_loud()
    # 100 ms is the aim, measured by the bench; a busy machine gets more here.
    assert first - call.answered_at < 2
    begun, ended = await hearing.utterance(first)
    assert hearing.loud_ms(begun, ended) == pytest.approx(MS_PER_LETTER * len(WORDS), abs=60)
    assert hearing.longest_gap_ms(first, ended) < 1000
    await call.hangup()
    await log.wait("call.ended", reason="caller_hung_up")
    session = await model.wait_session(1)
    assert [words for _, words in assistant(session)] == [WORDS]
    assert session.received_events("response.create") == []  # the model was not asked to say it


async def test_the_exact_words_though_the_model_paraphrases(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    """Rendered until it says what it was told; what is heard is that, and the model knows it said it."""
    model = await sandbox(paraphrase=2, voice="rms")
    text = "Good day, this is a machine."
    await service(model, agent={"opening": text}, usable=False)
    await log.wait("phrases.ready")
    spoken = [said for session in model.sessions for said in sound.said(session)]
    model.count_anew()
    [rendered] = log.named("phrase.rendered")
    assert rendered["tries"] == 3
    call, hearing = await dial("7001")
    await hearing.utterance(quiet_s=0.6)
    await call.hangup()
    await log.wait("call.ended")

    assert len(spoken) == 3
    wanted, rate_hz = spoken[-1]
    at8 = np.frombuffer(Resampler(rate_hz, 8000).process(wanted.astype("<i2").tobytes()), "<i2")
    assert sound.share_heard(at8, call.heard()) > sound.MOST
    heard = sound.loud_part(call.heard(), 8000)
    assert len(heard) == pytest.approx(len(sound.loud_part(at8, 8000)), rel=0.15)
    assert [entry["said"] for entry in log.named("turn.agent")] == [text]
    assert [words for _, words in assistant(await model.wait_session(1))] == [text]


async def test_a_caller_who_talks_over_it_is_heard_and_answered(
    sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    model = await sandbox()
    await service(model, agent={"opening": WORDS + " How can I help you today?"})
    call, hearing = await dial("7001")
    first = await hearing.wait_loud()
    session = await model.wait_session(1)
    await session.wait_appended(800, LIMIT_S)
    await call.play(sound.tone(0.8))
    interrupted = await log.wait("turn.interrupted")
    answer, ended = await hearing.utterance(hearing.spoke_until())
    assert hearing.loud_ms(answer, ended) == pytest.approx(MS_PER_LETTER * len("The answer."), abs=60)
    assert hearing.spoke_until() < answer < hearing.spoke_until() + 1.0
    await call.hangup()
    await log.wait("call.ended")

    # The model's record of its words agrees with the caller's ears.
    heard_ms = hearing.loud_ms(first, answer - 0.1)
    assert interrupted["heard_ms"] == pytest.approx(heard_ms, abs=60)
    (opening, words), (_, said) = assistant(session)
    assert opening == "aria_opening_heard"
    assert said == "The answer."
    assert words.endswith(" ...")
    begun = words.removesuffix(" ...")
    assert WORDS.startswith(begun)
    assert len(begun) * MS_PER_LETTER == pytest.approx(interrupted["heard_ms"], abs=14 * MS_PER_LETTER)
    assert session.sent_events("error") == []
    # The first of what they said was not lost.
    audio = sound.loud_part(sound.appended(session), 24_000)
    assert 1000 * len(audio) / 24_000 == pytest.approx(800, abs=60)


async def test_while_it_is_not_rendered_yet_the_model_says_it(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    """A model that paraphrases for a long time; the first callers cannot wait for it."""
    model = await sandbox(paraphrase=8)
    await service(model, agent={"opening": "Hello there."}, usable=False)
    await log.wait("model.usable")
    assert log.named("phrases.ready") == []
    call, hearing = await dial("7001")
    await hearing.utterance()
    assert log.named("phrases.ready") == []
    session = next(session for session in model.sessions if session.appended_ms)
    [asked] = session.received_events("response.create")
    assert asked["response"]["instructions"] == "Say exactly: Hello there."
    assert len(assistant(session)) == 1
    await call.hangup()
    await log.wait("call.ended")


async def test_rendered_once_and_kept_on_disk(sandbox: Any, service: Any, dial: Any, log: Any) -> None:
    """The next start finds it, and renders nothing."""
    model = await sandbox()
    first = await service(model)
    where = first.settings.state_directory
    first.stop()
    await log.wait("service.stopped")
    await service(model, state_directory=where, usable=False)
    await log.wait("phrases.ready", count=2)
    assert len(log.named("phrase.rendered")) == 1
    call, hearing = await dial("7001")
    await hearing.utterance()
    assert hearing.loud_ms(0) == pytest.approx(MS_PER_LETTER * len("Good day."), abs=60)
    await call.hangup()
    await log.wait("call.ended")
    assert [entry["phrases"] for entry in log.named("phrases.ready")] == [1, 1]


async def test_there_is_no_dead_air(sandbox: Any, service: Any, dial: Any, sound: Any, log: Any) -> None:
    """A whole conversation: whenever it is the agent's turn it is heard within a second."""
    model = await sandbox(think_ms=200)
    await service(model, agent={"opening": "Hello there."})
    call, hearing = await dial("7000")
    quiet_since = call.answered_at
    await hearing.utterance()
    waits = [hearing.loud[0] - quiet_since]
    await call.play(sound.tone(0.4))
    spoke_until = hearing.spoke_until()
    begun, _ = await hearing.utterance(spoke_until)
    waits.append(begun - spoke_until)
    await call.send_dtmf("9")
    await call.ended(LIMIT_S)
    await log.wait("call.ended", reason="agent_ended")
    assert max(waits) < 1.0
    arrivals = [packet.arrival for packet in hearing.packets]
    assert max(b - a for a, b in itertools.pairwise(arrivals)) < 1.0
