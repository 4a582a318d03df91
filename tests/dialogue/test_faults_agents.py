"""One AI agent hands a caller over to another one, in memory."""

import pytest

from ariagent.config import AgentSettings
from ariagent.dialogue.history import Said
from ariagent.dialogue.memory import Memory
from tests.scriptedcall import ScriptedCall, creates, texts, tone

SAID = (Said("agent", "Hello, this is the day desk."), Said("caller", "I have a question about my bill."))


def arrives(agent: str, *, why_back: str = "", opening: str = "Hello, this is billing.", rendered: bool = True):
    memory = Memory(SAID, "night", "100", "Ann", agent)
    sound = tone(1000) if rendered else None
    return ScriptedCall(AgentSettings(opening=opening), memory=memory, why_back=why_back, phrase=sound)


def test_the_second_agent_knows_what_was_said_and_greets_as_itself() -> None:
    call = arrives("day")
    told = texts(call.begun)
    assert told[:2] == [SAID[0].text, SAID[1].text]
    assert told[2] == "Hello, this is billing."
    assert 'Another automated agent ("day")' in told[3]
    assert "sorry" not in told[3]
    assert len(creates(call.begun)) == 1
    call.wait(1.5)
    assert call.played_ms == 1000
    [opening] = [m for m in call.begun if m.get("item", {}).get("id", "").startswith("aria_opening")]
    assert "previous_item_id" not in opening  # behind what was said before


def test_an_opening_that_is_not_rendered_is_spoken_by_the_model() -> None:
    call = arrives("day", rendered=False)
    [create] = [m for m in call.begun if m["type"] == "response.create"]
    assert create["response"]["instructions"].startswith("Say exactly: Hello, this is billing.")


@pytest.mark.parametrize(("agent", "why_back"), [("main", ""), ("main", "NOANSWER"), ("day", "NOANSWER"), ("", "")])
def test_a_caller_who_comes_back_is_told_why(agent: str, why_back: str) -> None:
    call = arrives(agent, why_back=why_back)
    assert "the caller has come back to you" in texts(call.begun)[-1]


def test_the_memory_of_a_call_names_its_agent() -> None:
    call = ScriptedCall()
    assert call.dialogue.memory("night").agent == "main"
