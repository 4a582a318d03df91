"""Audio formats as servers write them, and what an operator is told of others."""

from typing import Any

import pytest

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.formats import PCM, acknowledged, remedy
from ariagent.realtime.profile import SessionProfile

ULAW, ALAW = {"type": "audio/pcmu"}, {"type": "audio/pcma"}


def session(given: object) -> dict[str, Any]:
    return {"audio": {way: {"format": given} for way in ("input", "output")}}


def beta(given: object) -> dict[str, Any]:
    return {"input_audio_format": given, "output_audio_format": given}


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"type": "audio/pcm", "rate": 24000}, PCM),
        ({"type": "audio/pcm"}, PCM),
        ({"type": "audio/pcm", "rate": None}, PCM),
        ({"type": "audio/pcm", "rate": 24000.0}, PCM),
        ({"type": "AUDIO/PCM"}, PCM),
        ({"type": "pcm16"}, PCM),
        ("pcm16", PCM),
        ("audio/pcm", PCM),
        (None, PCM),
        ({"type": "audio/pcmu"}, ULAW),
        ({"type": "audio/pcmu", "rate": 8000}, ULAW),
        ("g711_ulaw", ULAW),
        ({"type": "audio/pcma", "rate": None}, ALAW),
        ("g711_alaw", ALAW),
    ],
)
@pytest.mark.parametrize("shape", [session, beta])
def test_all_ways_to_write_one(shape: Any, given: object, meant: dict[str, Any]) -> None:
    assert acknowledged(shape(given), "input") == acknowledged(shape(given), "output") == meant


@pytest.mark.parametrize("encoding", ["pcm", "pcmu", "pcma"])
def test_the_one_that_was_asked_for_is_no_mismatch(encoding: Any) -> None:
    asked = SessionProfile.of(AgentSettings(), RealtimeSettings(encoding=encoding))
    assert asked.mismatch(session(asked.format)) == ""


@pytest.mark.parametrize(
    "given",
    [
        {"type": "audio/pcm", "rate": 16000},
        {"type": "audio/pcmu", "rate": 24000},
        {"type": "audio/opus"},
        {"type": 3},
        {},
        "opus",
        7,
        [],
        {"type": "x" * 100_000},
    ],
)
def test_what_we_cannot_speak_is_named(given: object) -> None:
    found = acknowledged(session(given), "input")
    assert found not in (PCM, ULAW, ALAW)
    assert len(str(found)) < 200
    assert remedy(session(given)).startswith("Have the model's server speak audio/pcm")


@pytest.mark.parametrize(
    ("given", "encoding"), [("pcm16", "pcm"), (ULAW, "pcmu"), ("g711_alaw", "pcma"), (None, "pcm")]
)
def test_what_we_can_is_the_remedy(given: object, encoding: str) -> None:
    assert remedy(session(given)) == f"Set realtime.encoding to {encoding}"


def test_two_formats_are_not_remedied_by_a_setting() -> None:
    mixed = {"audio": {"input": {"format": ULAW}, "output": {"format": PCM}}}
    assert remedy(mixed).endswith("the same both ways")
