"""Server events as the Realtime API named them in its beta, which other servers still send (CORE).

Source: the beta's event reference. ``conversation.item.created`` was the only event about a new item, and content parts
of the assistant were ``audio`` and ``text``.
"""

from typing import Any

Json = dict[str, Any]

_PREFIXES = {
    "response.output_audio_transcript.": "response.audio_transcript.",
    "response.output_audio.": "response.audio.",
    "response.output_text.": "response.text.",
}
_PARTS = {"output_audio": "audio", "output_text": "text"}


def beta_event(event: Json) -> Json | None:
    """The event under its beta name and with its beta shape, or ``None`` for one that the beta did not have."""
    kind: str = event["type"]
    if kind == "conversation.item.done":
        return None
    if kind == "conversation.item.added":
        kind = "conversation.item.created"
    for prefix, old in _PREFIXES.items():
        if kind.startswith(prefix):
            kind = old + kind.removeprefix(prefix)
    changed = {**event, "type": kind}
    if isinstance(item := event.get("item"), dict):
        changed["item"] = _item(item)
    if isinstance(response := event.get("response"), dict):
        changed["response"] = {**response, "output": [_item(item) for item in response["output"]]}
    return changed


def _item(item: Json) -> Json:
    if "content" not in item:
        return item
    return {**item, "content": [{**part, "type": _PARTS.get(part["type"], part["type"])} for part in item["content"]]}
