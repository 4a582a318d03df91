"""Token counts, so that a client's cost accounting has something true to its kind to work on (CORE).

Rates: a user's audio is 10 tokens per second, the assistant's 20, text about four characters to the token. Every
response is billed for the whole conversation again; what it shares with the response before it, from the start on,
counts as cached.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from ariagent.sandbox.items import Item

USER_TOKENS_PER_SECOND = 10
ASSISTANT_TOKENS_PER_SECOND = 20
CACHE_BLOCK = 64
"""Cached prefixes are counted in whole blocks of this many tokens."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens of one stretch of context; ``key`` names it and its revision."""

    key: str
    text: int = 0
    audio: int = 0

    @property
    def total(self) -> int:
        """Text and audio together."""
        return self.text + self.audio


def text_tokens(content: str) -> int:
    """About how many tokens a text is."""
    return ceil(len(content) / 4)


def item_cost(item: Item) -> Cost:
    """The tokens of an item as part of the context."""
    if item.cost is not None and item.cost[0] == item.revision and item.status != "in_progress":
        return Cost(f"{item.id}#{item.revision}", item.cost[1], item.cost[2])
    text = 0
    audio = 0
    if item.type == "message":
        rate = ASSISTANT_TOKENS_PER_SECOND if item.role == "assistant" else USER_TOKENS_PER_SECOND
        for part in item.content:
            if part.kind in ("input_audio", "output_audio"):
                audio += ceil(part.audio_ms * rate / 1000)
            text += text_tokens(part.text or (part.transcript or "" if item.role == "assistant" else ""))
    else:
        text = text_tokens((item.name or "") + (item.arguments or "") + (item.output or ""))
    item.cost = (item.revision, text, audio)
    return Cost(f"{item.id}#{item.revision}", text, audio)


def context(instructions: str, tools: Sequence[Any], items: Iterable[Item]) -> list[Cost]:
    """The costs of a response's whole input, in the order in which the model reads it."""
    head = instructions + (json.dumps(tools) if tools else "")
    return [Cost(f"head#{hash(head)}", text_tokens(head)), *(item_cost(item) for item in items)]


def fit(costs: list[Cost], limit: int, keep: float) -> list[Cost]:
    """Drop the oldest items, never the head, once they exceed ``limit`` tokens, until ``keep * limit`` are left."""
    head, items = costs[:1], costs[1:]
    total = sum(cost.total for cost in items)
    if total <= limit:
        return costs
    while items and total > limit * keep:
        total -= items.pop(0).total
    return head + items


def shared_prefix(before: Sequence[Cost], now: Sequence[Cost]) -> Cost:
    """The tokens that two contexts share from their start on, in whole cache blocks."""
    text = 0
    audio = 0
    for old, new in zip(before, now, strict=False):
        if old.key != new.key:
            break
        text += new.text
        audio += new.audio
    return Cost("cached", text // CACHE_BLOCK * CACHE_BLOCK, audio // CACHE_BLOCK * CACHE_BLOCK)


def response_usage(costs: Sequence[Cost], cached: Cost, output: Cost, *, billed: bool = True) -> dict[str, Any]:
    """The ``usage`` of a response.done. Without ``billed`` it says, as no other server does, that it costs nothing."""
    text = sum(cost.text for cost in costs)
    audio = sum(cost.audio for cost in costs)
    cached = replace(cached, text=min(cached.text, text), audio=min(cached.audio, audio))
    return {
        "total_tokens": text + audio + output.total,
        "input_tokens": text + audio,
        "output_tokens": output.total,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": cached.total,
            "cached_tokens_details": {
                "text_tokens": cached.text,
                "audio_tokens": cached.audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": output.text, "audio_tokens": output.audio},
        **({} if billed else {"unbilled": True}),
    }


def transcription_usage(model: str, audio_ms: float, transcript: str) -> dict[str, Any]:
    """The ``usage`` of a transcription: by duration for whisper, by tokens for the others."""
    if "whisper" in model:
        return {"type": "duration", "seconds": round(audio_ms / 1000, 3)}
    audio = ceil(audio_ms * USER_TOKENS_PER_SECOND / 1000)
    output = text_tokens(transcript)
    return {
        "type": "tokens",
        "total_tokens": audio + output,
        "input_tokens": audio,
        "output_tokens": output,
        "input_token_details": {"text_tokens": 0, "audio_tokens": audio},
    }
