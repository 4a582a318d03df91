"""How the agent begins: what is played, what the model is told, and what is remembered of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ariagent.audio.format import SLIN24
from ariagent.audio.playout import Playout
from ariagent.audio.rates import ModelCodec
from ariagent.audio.uplink import Uplink
from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.dialogue import notes, opening
from ariagent.dialogue.background import Background
from ariagent.dialogue.conversation import Conversation
from ariagent.dialogue.events import AgentSaid, DialogueEvent, Interrupted
from ariagent.dialogue.history import History, Said, Used
from ariagent.dialogue.introduction import Introduction, Party
from ariagent.dialogue.leaving import Leaving
from ariagent.dialogue.memory import Memory, Unfinished
from ariagent.dialogue.role import Role
from ariagent.realtime.profile import SessionProfile
from ariagent.realtime.session import RealtimeSession
from ariagent.tools.plugins import CallFacts
from tests.scriptedcall import ScriptedCall, creates, texts, tone

SAID = Said("caller", "a bill")
ANNA = Party("1001", "Anna")


class Line:
    """A conversation that has not begun, and its ``history``."""

    def __init__(self, words: str | None = "Good day.", *, rendered: bool = False, **role: Any) -> None:
        agent = AgentSettings(opening=words)
        profile = SessionProfile.of(agent, RealtimeSettings())
        self.session = RealtimeSession(profile)
        self.session.receive(json.dumps({"type": "session.created", "session": {"id": "s"}}), 0.0)
        updated = {"type": "session.updated", "session": {"id": "s", **profile.session()}}
        self.session.receive(json.dumps(updated), 0.0)
        self.session.take_outgoing()
        self.playout = Playout(SLIN24)
        codec = ModelCodec(SLIN24, profile.encoding)
        self.conversation = Conversation(
            self.session, self.playout, Uplink(SLIN24), codec, Leaving("en", None, transcribes=True), Background()
        )
        self.history = History()
        self.role = Role(agent, "", CallFacts("1.1", "sales", language="de"), **role)
        self.rendered = SLIN24.silence(100) if rendered else None
        self.asked: list[tuple[str, str]] = []

    def phrase(self, words: str, language: str) -> bytes | None:
        self.asked.append((words, language))
        return self.rendered

    def begin(self) -> list[DialogueEvent]:
        return opening.begin(self.role, self.conversation, self.history, self.phrase, 1.0)

    def caller_changed(self, *, talked: bool) -> list[DialogueEvent]:
        return opening.greet_next_caller(
            self.role, self.conversation, self.history, self.phrase, 1.0, before=ANNA, caller=Party("5"), talked=talked
        )

    def told(self) -> tuple[list[str], list[dict[str, Any]]]:
        """The texts that the model was told, and the responses that it was asked for."""
        messages = [json.loads(message) for message in self.session.take_outgoing()]
        items = [message["item"] for message in messages if "item" in message]
        asked = [message["response"] for message in messages if "response" in message]
        return [item["content"][0]["text"] for item in items], asked


class TestNew:
    def test_a_rendered_opening_is_looked_for_in_the_callers_language(self) -> None:
        line = Line(rendered=True)
        assert line.begin() == [AgentSaid("aria_opening", "Good day.")]
        assert line.asked == [("Good day.", "de")]
        assert line.told() == (["Good day."], [])
        assert line.playout.pending_ms == 100

    def test_one_that_is_not_rendered_is_asked_for(self) -> None:
        line = Line()
        assert line.begin() == []
        assert line.told() == ([], [{"instructions": "Say exactly: Good day."}])

    def test_without_one_nothing_is_looked_for_and_nothing_said(self) -> None:
        line = Line(None, rendered=True)
        assert line.begin() == []
        assert (line.asked, line.told(), line.playout.idle) == ([], ([], []), True)


class TestIntroduced:
    @pytest.mark.parametrize("rendered", [True, False])
    @pytest.mark.parametrize("why", ["a bill", ""])
    def test_the_model_goes_on_behind_the_opening_where_there_is_something_to_take_up(
        self, why: str, rendered: bool
    ) -> None:
        by = Introduction(ANNA, why)
        line = Line(rendered=rendered, introduced_by=by)
        line.begin()
        texts, asked = line.told()
        note = notes.introduced_note(by, opening=True)
        assert texts[-1] == note
        assert line.history.entries == (Said("note", note),)
        if rendered:
            assert asked == ([{}] if why else [])
        else:
            assert asked == [{"instructions": notes.opening_instructions("Good day.", continues=bool(why))}]


class TestBack:
    def test_after_a_transfer_that_nobody_took(self) -> None:
        line = Line(rendered=True, memory=Memory((SAID,), "desk"), why_back="BUSY")
        assert line.begin() == []
        assert line.told() == (["a bill", notes.returned_note("desk", "BUSY")], [{}])
        assert line.history.entries == (SAID,)
        assert line.playout.idle

    def test_after_a_human_agent_who_transferred_them_back(self) -> None:
        by = Introduction(ANNA, "wants the machine")
        line = Line(memory=Memory((SAID,), "desk"), introduced_by=by)
        line.begin()
        note = notes.sent_back_note("desk", by)
        assert line.told() == (["a bill", note], [{}])
        assert line.history.entries == (SAID, Said("note", note))

    @pytest.mark.parametrize("entries", [(SAID,), ()])
    def test_after_a_crash(self, entries: tuple[Said, ...]) -> None:
        line = Line(memory=Memory(entries, "", interrupted=True))
        line.begin()
        note = notes.resumed_note(known=bool(entries))
        assert line.told() == ([*(entry.text for entry in entries), note], [{}])

    def test_after_a_crash_in_which_a_human_agent_was_being_called(self) -> None:
        line = Line(memory=Memory((SAID,), "", interrupted=True, consulting=True))
        line.begin()
        assert line.told() == (["a bill", notes.resumed_note(known=True, consulting=True)], [{}])

    @pytest.mark.parametrize("unfinished", list(Unfinished))
    def test_after_a_planned_restart_the_model_speaks_unless_nothing_is_owed(self, unfinished: Unfinished) -> None:
        line = Line(memory=Memory((SAID,), "", interrupted=True, unfinished=unfinished))
        line.begin()
        note = notes.renewed_note(unfinished)
        assert line.told() == (["a bill", note], [] if unfinished is Unfinished.NOTHING else [{}])
        assert line.history.entries == (SAID, Said("note", note))

    @pytest.mark.parametrize("interrupted", [True, False], ids=["a crash", "a transfer"])
    def test_a_function_without_a_result_gets_none_any_more(self, interrupted: bool) -> None:
        done, open_ = Used("c1", "order_status", "{}", '{"state": "ready"}'), Used("c2", "book", "{}")
        line = Line(memory=Memory((SAID, done, open_), "desk", interrupted=interrupted))
        line.begin()
        messages = [json.loads(message) for message in line.session.take_outgoing()]
        items = [message["item"] for message in messages if "item" in message]
        outputs = {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}
        assert outputs == {"c1": '{"state": "ready"}', "c2": notes.LOST_RESULT}
        # Another session is told the same.
        assert line.history.entries[:3] == (SAID, done, replace(open_, output=notes.LOST_RESULT))


class TestMeet:
    def test_what_was_being_said_is_cut_off(self) -> None:
        line = Line(rendered=True)
        line.begin()
        line.told()
        cut, said = line.caller_changed(talked=False)
        assert isinstance(cut, Interrupted)
        assert said == AgentSaid("aria_opening_2", "Good day.")
        assert line.playout.pending_ms == 100

    @pytest.mark.parametrize(
        ("words", "talked", "asked"),
        [("Good day.", True, [{}]), ("Good day.", False, []), (None, True, [{}]), (None, False, [{}])],
    )
    def test_the_openings_own_question_is_enough_where_there_is_nothing_to_take_up(
        self, words: str | None, talked: bool, asked: list[dict[str, Any]]
    ) -> None:
        line = Line(words, rendered=True)
        line.caller_changed(talked=talked)
        note = notes.caller_changed_note(ANNA, Party("5"), opening=words is not None, talked=talked)
        texts, responses = line.told()
        assert (texts[-1], responses) == (note, asked)
        assert line.history.entries == (Said("note", note),)


# -- from one AI agent to another -------------------------------------------------------------------------------------


BEFORE = (Said("agent", "Hello, this is the day desk."), Said("caller", "I have a question about my bill."))


def arrives(agent: str, *, why_back: str = "", opening: str = "Hello, this is billing.", rendered: bool = True):
    memory = Memory(BEFORE, "night", "100", "Ann", agent)
    sound = tone(1000) if rendered else None
    return ScriptedCall(AgentSettings(opening=opening), memory=memory, why_back=why_back, phrase=sound)


def test_the_second_agent_knows_what_was_said_and_greets_as_itself() -> None:
    call = arrives("day")
    told = texts(call.begun)
    assert told[:2] == [BEFORE[0].text, BEFORE[1].text]
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
