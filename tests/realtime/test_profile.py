"""The profile that a session asks for, and acknowledgements that cannot be used."""

from typing import Any

import pytest

from ariagent.config import AgentSettings, RealtimeSettings, SemanticVad, ServerVad
from ariagent.config.agents import TranscriptionSettings
from ariagent.config.peers import FallbackSettings
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


def test_instructions_are_those_of_the_call_where_they_are_given() -> None:
    agent = AgentSettings(instructions="Serve {caller.name}.")
    assert SessionProfile.of(agent, RealtimeSettings()).session()["instructions"] == "Serve {caller.name}."
    given = SessionProfile.of(agent, RealtimeSettings(), instructions="Serve Ann.")
    assert given.session()["instructions"] == "Serve Ann."
    assert SessionProfile.of(agent, RealtimeSettings(), instructions="").session()["instructions"] == ""


@pytest.mark.parametrize(
    ("fallback", "own", "there"),
    [(None, None, "big"), (None, "mini", "mini"), ("spare", None, "spare"), ("spare", "mini", "spare")],
)
def test_at_the_fallback_the_model_is_the_one_that_it_names_else_the_agents(
    fallback: str | None, own: str | None, there: str
) -> None:
    second = FallbackSettings(url="wss://b.example/v1/realtime", model=fallback)
    here, at_second = RealtimeSettings(url="wss://a.example/v1/realtime", model="big", fallback=second).endpoints
    agent = AgentSettings(model=own)
    in_call = SessionProfile.of(agent, here)
    assert in_call.model == (own or "big")
    assert in_call.at(at_second).model == there
    assert SessionProfile.of(agent, at_second).model == there, "in a trial"


def test_a_voice_of_the_sites_own_is_named_by_its_id() -> None:
    assert profile(AgentSettings(voice="voice_123")).session()["audio"]["output"]["voice"] == {"id": "voice_123"}


def test_reasoning_is_only_there_where_it_is_set() -> None:
    assert "reasoning" not in profile().session()
    assert profile(AgentSettings(reasoning="low")).session()["reasoning"] == {"effort": "low"}


class TestTranscription:
    """Keys by model: ``openai.types.realtime.AudioTranscription``."""

    def asked(self, languages: tuple[str, ...] | None = None, language: str = "en", **settings: Any) -> Any:
        agent = AgentSettings(language=language, languages=languages, transcription=TranscriptionSettings(**settings))
        return profile(agent).session()["audio"]["input"]["transcription"]

    def test_words_to_expect(self) -> None:
        assert self.asked(keywords=("Acme", "Zoë")) == {"model": "gpt-transcribe", "keywords": ["Acme", "Zoë"]}
        assert self.asked(prompt="Bicycles.") == {"model": "gpt-transcribe", "prompt": "Bicycles."}

    @pytest.mark.parametrize("model", ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"])
    def test_models_without_keywords_have_them_in_their_prompt(self, model: str) -> None:
        assert self.asked(model=model, prompt="Bicycles.", keywords=("Acme", "Zoë")) == {
            "model": model,
            "prompt": "Bicycles. Acme, Zoë",
        }

    def test_one_without_either_gets_neither(self) -> None:
        asked = self.asked(model="gpt-realtime-whisper", prompt="Bicycles.", keywords=("Acme",))
        assert asked == {"model": "gpt-realtime-whisper"}

    @pytest.mark.parametrize(("language", "sent"), [("nb", "no"), ("fil", "tl"), ("zh-CN", "zh"), ("de-CH", "de")])
    def test_a_language_has_the_code_that_the_api_takes(self, language: str, sent: str) -> None:
        assert self.asked((), language)["language"] == sent

    @pytest.mark.parametrize("language", ["ga", "eu", "gsw"])
    def test_a_language_that_the_api_does_not_take_is_left_to_be_detected(self, language: str) -> None:
        assert self.asked((), language) == {"model": "gpt-transcribe"}
        assert self.asked(("es",), language) == {"model": "gpt-transcribe"}

    def test_the_language_where_there_is_but_one(self) -> None:
        assert self.asked((), "pt-BR") == {"model": "gpt-transcribe", "language": "pt"}
        assert self.asked(("pt-PT",), "pt-BR") == {"model": "gpt-transcribe", "language": "pt"}

    def test_those_that_are_possible_where_the_model_takes_several(self) -> None:
        assert self.asked(("es", "de")) == {"model": "gpt-transcribe", "languages": ["en", "es", "de"]}
        assert self.asked(("es",), model="whisper-1") == {"model": "whisper-1"}

    def test_none_where_the_caller_may_speak_any(self) -> None:
        assert self.asked(None, "de") == {"model": "gpt-transcribe"}

    def test_the_sites_word_wins(self) -> None:
        assert self.asked(("es",), language="en") == {"model": "gpt-transcribe", "languages": ["en", "es"]}
        agent = AgentSettings(languages=("es",), transcription=TranscriptionSettings(language="fr"))
        assert profile(agent).session()["audio"]["input"]["transcription"]["language"] == "fr"
        assert "languages" not in profile(agent).session()["audio"]["input"]["transcription"]


def test_the_agents_model_wins() -> None:
    assert profile(AgentSettings(model="own"), model="general").model == "own"
    assert profile(AgentSettings(), model="general").model == "general"


@pytest.mark.parametrize("flag", [True, False])
def test_who_answers_and_who_interrupts_is_the_turn_detections(flag: bool) -> None:
    agent = AgentSettings(turn_detection=ServerVad(create_response=flag, interrupt_response=not flag))
    assert profile(agent).server_answers is flag
    assert profile(agent).server_interrupts is not flag


class TestTranscriptionNames:
    """The options that a transcription model accepts follow from its name, if the name is OpenAI's."""

    WANTED = TranscriptionSettings(model="front-desk", keywords=("Acme",))

    @pytest.mark.parametrize(
        ("url", "keywords"),
        [
            ("wss://api.openai.com/v1/realtime", True),
            ("wss://x.openai.azure.com/openai/v1/realtime", False),
            ("ws://127.0.0.1:8080/v1/realtime", False),
        ],
    )
    def test_a_name_of_the_sites_own_gets_what_every_model_takes(self, url: str, keywords: bool) -> None:
        given = profile(AgentSettings(transcription=self.WANTED), url=url).session()["audio"]["input"]["transcription"]
        assert ("keywords" in given) is keywords
        assert given.get("prompt", "") == ("" if keywords else "Acme")

    def test_openais_own_name_is_known_everywhere(self) -> None:
        wanted = TranscriptionSettings(keywords=("Acme",))
        given = profile(AgentSettings(transcription=wanted), url="ws://127.0.0.1/v1").session()
        assert given["audio"]["input"]["transcription"]["keywords"] == ["Acme"]

    def test_another_endpoint_has_names_of_its_own(self) -> None:
        azure = RealtimeSettings(url="wss://x.openai.azure.com/openai/v1/realtime", model="mine")
        asked = profile(AgentSettings(transcription=self.WANTED)).at(azure)
        assert asked.model == "mine"
        assert "keywords" not in asked.session()["audio"]["input"]["transcription"]


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
    def test_none_at_all_means_pcm(self, session: dict[str, Any]) -> None:
        assert profile().mismatch(session) == ""
        assert "audio/pcm" in profile(encoding="pcmu").mismatch(session)


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

    @pytest.mark.parametrize("huge", [10**400, float("inf"), float("nan"), -5, 60_001, 2.0**53])
    def test_a_number_that_cannot_be_counts_as_not_said(self, huge: float) -> None:
        assert profile().silence_wait_ms(self.acknowledged({"silence_duration_ms": huge})) == 500.0

    def test_is_nothing_fixed_with_detection_by_meaning(self) -> None:
        agent = AgentSettings(turn_detection=SemanticVad(type="semantic_vad"))
        assert profile(agent).silence_wait_ms(self.acknowledged({"silence_duration_ms": 200})) == 0.0
