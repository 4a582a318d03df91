"""What a session is asked to be, and which acknowledgements cannot be used."""

from typing import Any

import pytest

from ariagent.config import AgentSettings, RealtimeSettings, SemanticVad, ServerVad
from ariagent.realtime.profile import SessionProfile

TOOL: dict[str, Any] = {"type": "function", "name": "end_call", "parameters": {"type": "object", "properties": {}}}


def profile(agent: AgentSettings | None = None, **realtime: Any) -> SessionProfile:
    return SessionProfile.of(agent or AgentSettings(), RealtimeSettings(**realtime), (TOOL,))


def test_the_session_is_asked_for_in_the_words_of_the_wire() -> None:
    agent = AgentSettings(
        instructions="Be brief.",
        voice="cedar",
        speed=1.1,
        turn_detection=ServerVad(threshold=0.7, silence_duration_ms=300),
        max_output_tokens=900,
    )
    assert profile(agent).session() == {
        "type": "realtime",
        "output_modalities": ["audio"],
        "instructions": "Be brief.",
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24000},
                "noise_reduction": {"type": "near_field"},
                "transcription": {"model": "gpt-transcribe"},
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.7,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 300,
                    "create_response": True,
                    "interrupt_response": False,
                },
            },
            "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "cedar", "speed": 1.1},
        },
        "tools": [TOOL],
        "tool_choice": "auto",
        "max_output_tokens": 900,
    }


@pytest.mark.parametrize("encoding", ["pcmu", "pcma"])
def test_g711_has_no_rate(encoding: str) -> None:
    audio = profile(encoding=encoding).session()["audio"]
    assert audio["input"]["format"] == audio["output"]["format"] == {"type": f"audio/{encoding}"}


def test_what_is_switched_off_is_null() -> None:
    given = profile(AgentSettings(noise_reduction=None, transcription=None)).session()["audio"]["input"]
    assert given["noise_reduction"] is None
    assert given["transcription"] is None


def test_detection_by_meaning_has_no_keys_of_the_other() -> None:
    agent = AgentSettings(turn_detection=SemanticVad(type="semantic_vad", eagerness="high"))
    assert profile(agent).session()["audio"]["input"]["turn_detection"] == {
        "type": "semantic_vad",
        "eagerness": "high",
        "create_response": True,
        "interrupt_response": False,
    }


def test_the_agents_model_wins() -> None:
    assert profile(AgentSettings(model="own"), model="general").model == "own"
    assert profile(AgentSettings(), model="general").model == "general"


@pytest.mark.parametrize("flag", [True, False])
def test_who_answers_and_who_interrupts_is_the_turn_detections(flag: bool) -> None:
    agent = AgentSettings(turn_detection=ServerVad(create_response=flag, interrupt_response=not flag))
    assert profile(agent).server_answers is flag
    assert profile(agent).server_interrupts is not flag


class TestMismatch:
    def test_what_was_asked_for_fits(self) -> None:
        for encoding in ("pcm", "pcmu", "pcma"):
            asked = profile(encoding=encoding)
            assert asked.mismatch(asked.session()) == ""

    def test_more_keys_than_asked_for_fit(self) -> None:
        asked = profile(encoding="pcmu")
        session = asked.session()
        session["audio"]["input"]["format"] = {"type": "audio/pcmu", "rate": 8000}
        assert asked.mismatch(session) == ""

    @pytest.mark.parametrize("direction", ["input", "output"])
    @pytest.mark.parametrize("got", [{"type": "audio/pcm", "rate": 24000}, {"type": "audio/pcma"}, {}, None, "pcm"])
    def test_another_format_than_asked_for_is_named(self, direction: str, got: object) -> None:
        asked = profile(encoding="pcmu")
        session = asked.session()
        session["audio"][direction]["format"] = got
        assert asked.mismatch(session).startswith(f"{direction} format")

    def test_another_rate_than_asked_for(self) -> None:
        asked = profile()
        session = asked.session()
        session["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 16000}
        assert "16000" in asked.mismatch(session)

    @pytest.mark.parametrize("session", [{}, {"audio": None}, {"audio": {"input": 3}}])
    def test_none_at_all(self, session: dict[str, Any]) -> None:
        assert profile().mismatch(session).startswith("input format")


class TestSilenceWait:
    def acknowledged(self, detection: object) -> dict[str, Any]:
        return {"audio": {"input": {"turn_detection": detection}}}

    def test_is_what_the_server_acknowledged(self) -> None:
        session = self.acknowledged({"type": "server_vad", "silence_duration_ms": 200})
        assert profile().silence_wait_ms(session) == 200.0

    @pytest.mark.parametrize("detection", [None, {}, {"silence_duration_ms": None}, {"silence_duration_ms": "x"}, []])
    def test_is_what_was_asked_for_where_the_server_does_not_say(self, detection: object) -> None:
        agent = AgentSettings(turn_detection=ServerVad(silence_duration_ms=450))
        assert profile(agent).silence_wait_ms(self.acknowledged(detection)) == 450.0

    @pytest.mark.parametrize("huge", [10**400, float("inf"), float("nan"), -5])
    def test_a_number_that_cannot_be_counts_as_not_said(self, huge: float) -> None:
        assert profile().silence_wait_ms(self.acknowledged({"silence_duration_ms": huge})) == 500.0

    def test_is_nothing_fixed_with_detection_by_meaning(self) -> None:
        agent = AgentSettings(turn_detection=SemanticVad(type="semantic_vad"))
        assert profile(agent).silence_wait_ms(self.acknowledged({"silence_duration_ms": 200})) == 0.0
