"""The conversation: items, their order and what the client may do to them (CORE)."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ariagent.sandbox.audio import PCM, WireFormat
from ariagent.sandbox.schema import (
    ApiError,
    Check,
    anything,
    boolean,
    integer,
    list_of,
    nullable,
    obj,
    one_of,
    server_label,
    short_text,
    tagged,
    text,
    tool_name,
)

Json = dict[str, Any]


@dataclass(slots=True)
class Part:
    """One content part of a message. ``audio`` is in ``format``; ``kind`` is the wire type such as ``input_audio``."""

    kind: str
    text: str | None = None
    transcript: str | None = None
    audio: bytearray = field(default_factory=bytearray)
    format: WireFormat = PCM
    image_url: str | None = None
    spoken: str = ""
    """Everything that the assistant was going to say in this part, and the bytes of audio that it takes."""
    spoken_bytes: int = 0
    heard: str | None = None
    """The words before the cut, of a part that was truncated. The protocol does not show them; the model knows them."""

    @property
    def audio_ms(self) -> float:
        """How much audio the part holds."""
        return self.format.ms(len(self.audio))

    def public(self, *, with_audio: bool = False) -> Json:
        """The part as the protocol shows it."""
        shape: Json = {"type": self.kind}
        if self.kind in ("input_text", "output_text"):
            shape["text"] = self.text or ""
        elif self.kind == "input_image":
            shape["image_url"] = self.image_url
        else:
            shape["transcript"] = self.transcript
            if with_audio:
                shape["audio"] = base64.b64encode(self.audio).decode()
        return shape


@dataclass(slots=True)
class Item:
    """A message, a function call, its output, or an item of MCP. ``revision`` changes when its content does."""

    id: str
    type: str
    status: str = "completed"
    role: str | None = None
    content: list[Part] = field(default_factory=list)
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | None = None
    server_label: str | None = None
    error: Json | None = None
    approval_request_id: str | None = None
    approve: bool | None = None
    tools: list[Json] = field(default_factory=list)
    phase: str | None = None
    revision: int = 0
    cost: tuple[int, int, int] | None = None
    """Its tokens as last counted: (revision, text, audio)."""
    truncated: bool = False
    """The client cut the audio: its transcript is gone and nothing is added any more."""

    def public(self, *, with_audio: bool = False) -> Json:
        """The item as the protocol shows it."""
        if self.type.startswith("mcp_"):
            return {"id": self.id, "type": self.type, **{name: getattr(self, name) for name in _MCP[self.type]}}
        shape: Json = {"id": self.id, "object": "realtime.item", "type": self.type, "status": self.status}
        if self.type == "message":
            shape["role"] = self.role
            shape["content"] = [part.public(with_audio=with_audio) for part in self.content]
            if self.phase is not None:
                shape["phase"] = self.phase
        elif self.type == "function_call":
            shape |= {"name": self.name, "call_id": self.call_id, "arguments": self.arguments or ""}
        else:
            shape |= {"call_id": self.call_id, "output": self.output}
        return shape

    @property
    def words(self) -> str:
        """The words of the item, as far as they are known as text."""
        return " ".join(part.text or part.heard or part.transcript or "" for part in self.content).strip()


_MCP = {
    "mcp_list_tools": ("server_label", "tools"),
    "mcp_call": ("server_label", "name", "arguments", "output", "error", "approval_request_id"),
    "mcp_approval_request": ("server_label", "name", "arguments"),
    "mcp_approval_response": ("approval_request_id", "approve"),
}
"""The fields of MCP items besides id and type (source: ``openai.types.realtime``)."""

_ID: Check = short_text(32)
"""Ids that a client chooses have at most 32 characters; the API refuses longer ones (``string_above_max_length``)."""
_PART_FIELDS: dict[str, Check] = {
    "type": text,
    "text": nullable(text),
    "transcript": nullable(text),
    "audio": nullable(text),
    "image_url": nullable(text),
    "detail": nullable(one_of("auto", "low", "high")),
}
_COMMON: dict[str, Check] = {
    "id": nullable(_ID),
    "object": nullable(one_of("realtime.item")),
    "type": text,
    "status": nullable(one_of("completed", "incomplete", "in_progress")),
}
_ITEM: Check = tagged(
    {
        "message": obj(
            {
                **_COMMON,
                "role": one_of("user", "assistant", "system"),
                "content": list_of(obj(_PART_FIELDS, required=("type",))),
                "phase": nullable(one_of("commentary", "final_answer")),
            },
            required=("role", "content"),
        ),
        "function_call": obj(
            {**_COMMON, "name": tool_name, "call_id": nullable(_ID), "arguments": text}, required=("name", "arguments")
        ),
        "function_call_output": obj({**_COMMON, "call_id": _ID, "output": text}, required=("call_id", "output")),
        "item_reference": obj({"type": text, "id": text}, required=("id",)),
        "mcp_list_tools": obj(
            {**_COMMON, "server_label": server_label, "tools": list_of(anything)}, required=("server_label", "tools")
        ),
        "mcp_call": obj(
            {
                **_COMMON,
                "server_label": server_label,
                "name": text,
                "arguments": text,
                "output": nullable(text),
                "error": nullable(anything),
                "approval_request_id": nullable(text),
            },
            required=("server_label", "name", "arguments"),
        ),
        "mcp_approval_response": obj(
            {**_COMMON, "approval_request_id": text, "approve": boolean, "reason": nullable(text)},
            required=("approval_request_id", "approve"),
        ),
    }
)
_KINDS = {
    "user": ("input_text", "input_audio", "input_image"),
    "assistant": ("output_text", "output_audio"),
    "system": ("input_text",),
}


def parse_item(shape: Any, new_id: str, call_id: str, param: str = "item") -> Item:
    """The item that a client sent; ``new_id`` and ``call_id`` serve where it chose none. Raises :class:`ApiError`."""
    checked: Json = _ITEM(shape, param)
    kind = checked["type"]
    if kind == "item_reference":
        raise ApiError("invalid_value", f"Invalid value: '{kind}'. Only a response's input has it.", f"{param}.type")
    item = Item(checked.get("id") or new_id, kind, checked.get("status") or "completed")
    if kind == "message":
        item.role = checked["role"]
        item.phase = checked.get("phase")
        item.content = [
            _part(part, checked["role"], f"{param}.content[{index}]") for index, part in enumerate(checked["content"])
        ]
    elif kind == "function_call":
        item.name, item.arguments = checked["name"], checked["arguments"]
        item.call_id = checked.get("call_id") or call_id
    elif kind.startswith("mcp_"):
        for name in _MCP[kind]:
            setattr(item, name, checked.get(name))
    else:
        item.call_id, item.output = checked["call_id"], checked["output"]
    return item


def _part(shape: Json, role: str, param: str) -> Part:
    kind = one_of(*_KINDS[role])(shape["type"], f"{param}.type")
    if kind == "output_audio":  # audio of the assistant cannot be put back, only text
        raise ApiError("invalid_value", "Assistant audio cannot be created by the client; send output_text.", param)
    if kind in ("input_text", "output_text"):
        if shape.get("text") is None:
            path = f"{param}.text"
            raise ApiError("missing_required_parameter", f"Missing required parameter: '{path}'.", path)
        return Part(kind, text=shape["text"])
    if kind == "input_image":
        return Part(kind, image_url=shape.get("image_url"))
    try:
        audio = base64.b64decode(shape.get("audio") or "", validate=True)
    except ValueError:
        raise ApiError("invalid_value", f"Invalid '{param}.audio': not base64.", f"{param}.audio") from None
    return Part(kind, transcript=shape.get("transcript"), audio=bytearray(audio))


class Conversation:
    """The items of the default conversation, in their order."""

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last_id(self) -> str | None:
        """The id of the newest item."""
        return self._items[-1].id if self._items else None

    def previous_id(self, item: Item) -> str | None:
        """The id of the item before ``item``."""
        index = self._items.index(item)
        return self._items[index - 1].id if index else None

    def get(self, item_id: str) -> Item | None:
        """The item with this id, if there is one."""
        return self._by_id.get(item_id)

    def append(self, item: Item) -> None:
        """Add at the end an item whose id is known to be new."""
        self._items.append(item)
        self._by_id[item.id] = item

    def insert(self, item: Item, previous_item_id: str | None) -> None:
        """Add an item of the client's after another one, at the front ("root") or at the end (``None``)."""
        if item.id in self._by_id:
            message = f"Error adding item: an item with ID '{item.id}' already exists."
            raise ApiError("item_create_duplicate_item_id", message, "item.id")
        if item.type == "function_call_output" and not self._has_call(item.call_id):
            message = f"Tool call ID '{item.call_id}' not found in conversation."
            raise ApiError("invalid_tool_call_id", message, "item.call_id")
        if previous_item_id is None:
            index = len(self._items)
        elif previous_item_id == "root":
            index = 0
        elif (previous := self._by_id.get(previous_item_id)) is not None:
            index = self._items.index(previous) + 1
        else:
            message = f"Error adding item: the previous item '{previous_item_id}' does not exist."
            raise ApiError("item_create_invalid_previous_item_id", message, "previous_item_id")
        self._items.insert(index, item)
        self._by_id[item.id] = item

    def _has_call(self, call_id: str | None) -> bool:
        return any(item.type == "function_call" and item.call_id == call_id for item in self._items)

    def find(self, item_id: Any, action: str) -> Item:
        """The item with this id, or the refusal that the API gives for ``action`` (delete, retrieve, truncate)."""
        text(item_id, "item_id")
        item = self._by_id.get(item_id)
        if item is None:
            message = f"Error with item {action}: item with ID '{item_id}' does not exist."
            raise ApiError(f"item_{action}_invalid_item_id", message, "item_id")
        return item

    def delete(self, item: Item) -> None:
        """Take an item out."""
        self._items.remove(item)
        del self._by_id[item.id]


def spoken_part(item: Item, content_index: Any) -> Part:
    """The audio that a truncate is about. Raises :class:`ApiError` for anything but an assistant message's audio."""
    parts = [part for part in item.content if part.kind == "output_audio"]
    if item.role != "assistant" or not parts:
        raise ApiError("invalid_value", "Only model output audio messages can be truncated.", "item_id")
    if integer(0)(content_index, "content_index") != 0:
        raise ApiError("invalid_value", f"Invalid value: '{content_index}'. Expected 0.", "content_index")
    return parts[0]


def truncate(item: Item, audio_end_ms: int) -> None:
    """Cut a spoken assistant message to ``audio_end_ms``.

    The transcript goes with the audio (the API drops it rather than guess how much was heard), the item stays. The
    model knows the words before the cut.
    """
    part = spoken_part(item, 0)
    end = part.format.n_bytes(audio_end_ms)
    del part.audio[end:]
    part.heard = _heard(part, end)
    part.transcript = None
    item.truncated = True
    item.revision += 1


def _heard(part: Part, end: int) -> str:
    """The words that are over within the first ``end`` bytes; each letter is taken to last equally long."""
    letters = len(part.spoken) * end / part.spoken_bytes if part.spoken_bytes else 0.0
    words: list[str] = []
    at = 0
    for word in part.spoken.split():
        at = part.spoken.index(word, at) + len(word)
        if at > letters + 0.5:
            break
        words.append(word)
    return " ".join(words)
