"""Sessions that are near their longest duration, or at it: what callers notice of it."""

import dataclasses
import time
from typing import Any

import pytest

from ariagent.sandbox.speech import TONE_MS_PER_LETTER

LIMIT_S = 60.0
MOST_SILENCE_S = 1.5


def texts(session: Any) -> list[tuple[str, str]]:
    """Speakers and words, as far as they are written."""
    items = [item for item in session.items if item["type"] == "message"]
    return [
        (item["role"], "".join(part.get("text") or part.get("transcript") or "" for part in item["content"]))
        for item in items
    ]


@pytest.mark.parametrize(
    ("number", "renewals", "lasts_s"), [("7001", 1, 8), pytest.param("7000", 4, 16, marks=pytest.mark.chaos)]
)
async def test_a_session_is_changed_between_turns_and_nobody_hears_it(
    number: str, renewals: int, lasts_s: float, sandbox: Any, service: Any, dial: Any, log: Any, sound: Any
) -> None:
    """A caller asks before it is due, speaks while it becomes due, and asks again after it."""
    model = await sandbox(session_seconds=lasts_s)
    await service(model, agent={"keypad": {"pause_ms": 100}})
    call, hearing = await dial(number)
    await hearing.utterance()
    expected = ["Good day."]
    waits: dict[str, list[float]] = {"before": [], "during": [], "after": []}

    async def press(key: str, when: str) -> None:
        await hearing.wait_quiet()
        pressed = time.monotonic()
        await call.send_dtmf(key)
        waits[when].append(await hearing.wait_loud(pressed) - pressed)
        expected.append(f"You pressed {key}.")

    for count in range(1, renewals + 1):
        old = model.session
        await press("1", "before")
        await hearing.wait_quiet()
        # Until another session is there, which cannot take over in mid-sentence.
        while model.session is old:
            await call.play(sound.tone(0.2))
        await call.play(sound.tone(0.3))
        spoke = hearing.spoke_until()
        waits["during"].append(await hearing.wait_loud(spoke) - spoke)
        expected.append("The answer.")
        renewed = await log.wait("model.reconnected", count=count, timeout=LIMIT_S)
        assert renewed["lost_ms"] == 0
        # The reply came from the session that heard the question, and was heard to its end.
        assert hearing.loud[-1] <= renewed.at + 0.2
        assert len(old.sent_events("response.done")) == (2 if count == 1 else 3)
        await press("3", "after")
        said = texts(model.session)
        assert [text for role, text in said if role == "assistant"][: len(expected) - 1] == expected[:-1]
        assert any(role == "user" and "1" in text for role, text in said), said
        assert not any(role == "system" for role, _ in said), said
    await hearing.wait_quiet(0.5)
    assert [entry["said"] for entry in log.named("turn.agent")] == expected
    assert log.named("turn.interrupted") == []
    assert log.named("model.lost") == []
    said_s = sum(map(len, expected)) * TONE_MS_PER_LETTER / 1000
    heard_s = hearing.loud_ms(0.0) / 1000
    shown = "; ".join(f"{when} {max(found):.2f} s" for when, found in waits.items())
    print(
        f"\n{number}: {renewals} renewals unheard; answers after at most: {shown}; "
        f"{heard_s:.2f} of {said_s:.2f} s were heard"
    )
    assert heard_s == pytest.approx(said_s, rel=0.1)
    assert max(waits["during"] + waits["after"]) <= 3 * max(waits["before"]) + 0.5
    await call.hangup()
    await log.wait("call.ended", result="done")


@pytest.mark.chaos
@pytest.mark.parametrize("number", ["7000", "7001"])
async def test_one_that_ends_while_the_agent_speaks_is_followed_by_another_at_once(
    number: str, sandbox: Any, service: Any, dial: Any, log: Any
) -> None:
    """Closed with 1001 in mid-sentence, as the API does after an hour."""
    model = await sandbox(session_seconds=5, generation_speed=1.0)
    await service(model, agent={"keypad": {"pause_ms": 100}})
    call, hearing = await dial(number)
    model.options = dataclasses.replace(model.options, session_seconds=600)
    await hearing.utterance()
    pressed = time.monotonic()
    await call.send_dtmf("8")  # a story of eleven seconds
    began = await hearing.wait_loud(pressed)
    lost = await log.wait("model.lost", timeout=LIMIT_S)
    assert lost["fault"] == "expired"
    await log.wait("model.reconnected")
    # Lost audio is sent again, without a pause that would be noticed.
    silence_s = hearing.longest_silence_s(began, await hearing.wait_loud(lost.at + 2.0))
    print(f"\n{number}: closed with 1001 in mid-sentence; longest silence {silence_s:.2f} s")
    assert silence_s <= MOST_SILENCE_S
    assert model.sessions[0].close_code == 1001
    assert len(model.sessions) == 2
    await call.hangup()
    await log.wait("call.ended", result="done")
