"""The audio formats that servers acknowledge, in all the ways they are written. CORE.

OpenAI writes an object with type and rate (``session.audio.input.format``), its former beta protocol a word
(``session.input_audio_format``); servers that follow either leave the rate out, or say nothing where they have one
format only.
"""

from typing import Any

PCM: dict[str, Any] = {"type": "audio/pcm", "rate": 24000}
"""The format that both protocols mean if nothing is said."""
_TYPES = {
    "audio/pcm": "audio/pcm",
    "audio/pcm16": "audio/pcm",
    "pcm16": "audio/pcm",
    "pcm": "audio/pcm",
    "audio/pcmu": "audio/pcmu",
    "pcmu": "audio/pcmu",
    "g711_ulaw": "audio/pcmu",
    "audio/pcma": "audio/pcma",
    "pcma": "audio/pcma",
    "g711_alaw": "audio/pcma",
}
_RATES_HZ = {"audio/pcm": 24000, "audio/pcmu": 8000, "audio/pcma": 8000}
ENCODINGS = {"audio/pcm": "pcm", "audio/pcmu": "pcmu", "audio/pcma": "pcma"}
"""The value of ``realtime.encoding`` for each."""


def acknowledged(session: dict[str, Any], direction: str) -> dict[str, Any]:
    """The format of one direction (``input``, ``output``) as we write it; what we cannot speak, as it came."""
    audio = session.get("audio")
    part = audio.get(direction) if isinstance(audio, dict) else None
    got = part.get("format") if isinstance(part, dict) else None
    if got is None:
        got = session.get(f"{direction}_audio_format")
    if got is None:
        return PCM
    written = got if isinstance(got, dict) else {"type": got}
    kind = written.get("type")
    name = _TYPES.get(kind.lower()) if isinstance(kind, str) else None
    if name is None or written.get("rate") not in (None, _RATES_HZ[name]):
        return {key: str(written.get(key))[:64] for key in ("type", "rate") if key in written}
    return PCM if name == "audio/pcm" else {"type": name}


def remedy(session: dict[str, Any]) -> str:
    """Say how the operator corrects a format that is not the one asked for."""
    got = acknowledged(session, "input")
    encoding = ENCODINGS.get(str(got.get("type")))
    if got == acknowledged(session, "output") and encoding is not None and got.get("rate") in (None, PCM["rate"]):
        return f"Set realtime.encoding to {encoding}"
    return "Have the model's server speak audio/pcm with rate 24000, audio/pcmu or audio/pcma, the same both ways"
