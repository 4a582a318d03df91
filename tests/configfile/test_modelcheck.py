"""Settings that only the model's server would refuse: normalised, or refused with file and line."""

from collections.abc import Callable

import pytest

from ariagent.config import Settings
from ariagent.config.agents import TranscriptionSettings

Loaded = Callable[..., Settings]
Complaint = Callable[..., str]
OPENAI = "realtime: {api_key: k}\n"
AZURE = "realtime: {url: 'wss://x.openai.azure.com/openai/v1/realtime', api_key: k}\n"
ELSEWHERE = "realtime: {url: 'ws://127.0.0.1:1'}\n"


def agent(text: str) -> str:
    return f"agents:\n  default:\n    {text}\n"


class TestTranscriptionLanguage:
    @pytest.mark.parametrize(
        ("given", "sent"),
        [
            ("pt-BR", "pt"),
            ("pt_br", "pt"),
            ("PT", "pt"),
            ("en-GB", "en"),
            ("zh-Hans-CN", "zh"),
            ("por", "pt"),
            ("deu", "de"),
            ("nb", "no"),
            ("fil", "tl"),
            ("en", "en"),
        ],
    )
    @pytest.mark.parametrize("server", [OPENAI, AZURE, ELSEWHERE])
    def test_is_brought_into_the_form_that_the_api_takes(
        self, loaded: Loaded, server: str, given: str, sent: str
    ) -> None:
        settings = loaded(server + agent(f"transcription: {{language: {given}}}"))
        wanted = settings.agents["default"].transcription
        assert wanted is not None
        assert wanted.language == sent

    @pytest.mark.parametrize("given", ['" "', '""', "Portuguese", "pt/BR", "5", "'en,es'", "e"])
    def test_what_is_no_code_is_refused(self, complaint: Complaint, given: str) -> None:
        said = complaint(ELSEWHERE + agent(f"transcription: {{language: {given}}}"))
        assert said == "FILE:4: agents.default.transcription.language: must be a language code, as en or pt"

    def test_norwegian_is_not_false(self, complaint: Complaint) -> None:
        assert 'write "no" in quotes' in complaint(OPENAI + agent("transcription: {language: no}"))

    def test_one_that_openai_does_not_know(self, complaint: Complaint, loaded: Loaded) -> None:
        for server in (OPENAI, AZURE):
            said = complaint(server + agent("transcription: {language: eu}"))
            assert said.startswith(
                "FILE:4: agents.default.transcription.language: the transcription does not know eu; "
            )
        loaded(ELSEWHERE + agent("transcription: {language: eu}"))


class TestTranscriptionModel:
    def test_a_slip(self, complaint: Complaint) -> None:
        said = complaint(OPENAI + agent("transcription: {model: gpt-realtime}"))
        assert said.startswith("FILE:4: agents.default.transcription.model: gpt-realtime is not a transcription model")

    @pytest.mark.parametrize("model", ["gpt-transcribe", "gpt-4o-mini-transcribe-2025-12-15", "whisper-1"])
    def test_ones_that_there_are(self, loaded: Loaded, model: str) -> None:
        loaded(OPENAI + agent(f"transcription: {{model: {model}}}"))

    def test_others_have_names_of_their_own(self, loaded: Loaded) -> None:
        for server in (AZURE, ELSEWHERE):
            loaded(server + agent("transcription: {model: front-desk}"))


class TestIdleTimeout:
    @pytest.mark.parametrize("ms", [1000, 4999, 30_001, 600_000])
    def test_out_of_openais_range(self, complaint: Complaint, loaded: Loaded, ms: int) -> None:
        text = agent(f"turn_detection: {{idle_timeout_ms: {ms}}}")
        said = complaint(OPENAI + text)
        assert said.startswith("FILE:4: agents.default.turn_detection.idle_timeout_ms: must be from 5000 to 30000")
        loaded(ELSEWHERE + text)

    @pytest.mark.parametrize("ms", [5000, 30_000])
    def test_in_it(self, loaded: Loaded, ms: int) -> None:
        loaded(OPENAI + agent(f"turn_detection: {{idle_timeout_ms: {ms}}}"))


class TestServer:
    @pytest.mark.parametrize("dialect", ["localai", "speech-to-speech"])
    def test_g711_where_there_is_none(self, complaint: Complaint, dialect: str) -> None:
        text = f"realtime:\n  url: ws://127.0.0.1:1\n  dialect: {dialect}\n  encoding: pcmu\n"
        assert complaint(text) == f"FILE:4: realtime.encoding: {dialect} does not speak G.711; set it to pcm"

    def test_nor_at_the_fallback(self, complaint: Complaint) -> None:
        fallback = "  fallback: {url: 'ws://127.0.0.1:1', dialect: localai}\n"
        said = complaint("realtime:\n  api_key: k\n  encoding: pcma\n" + fallback)
        assert said == "FILE:3: realtime.encoding: the fallback (localai) does not speak G.711; set it to pcm"

    def test_a_model_without_a_name(self, complaint: Complaint) -> None:
        said = complaint("realtime:\n  api_key: k\n  model: ''\n")
        assert said == "FILE:3: realtime.model: must name a model, as gpt-realtime-2.1"

    def test_an_unknown_dialect(self, complaint: Complaint) -> None:
        assert "realtime.dialect" in complaint("realtime: {dialect: vllm}\n")

    def test_more_tools_than_a_session_takes(self, complaint: Complaint) -> None:
        names = [f"t{n}" for n in range(129)]
        tools = "".join(f"  {name}: {{url: 'https://a.example/', description: d}}\n" for name in names)
        text = f"outbound: {{allowed_hosts: [a.example]}}\ntools:\n{tools}"
        said = complaint(OPENAI + text + agent(f"tools: [{', '.join(names)}]"))
        assert "agents.default.tools: has 129 tools; the model's server takes 128" in said


def test_settings_made_in_code_are_normalised_too() -> None:
    assert TranscriptionSettings(language="pt-BR").language == "pt"
