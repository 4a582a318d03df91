"""The items of one session's conversation: what is added to it, cut off, taken out and put in its place. CORE.

The server's memory must agree with what was heard and done. Where a server cannot do something (its dialect), another
way leads there: a truncation becomes a deletion and the heard words, and a function call that still runs has an output
for now.
"""

import json
from typing import Any

from ariagent.realtime.dialect import Understanding
from ariagent.realtime.events import RequestRefused, ToolCall
from ariagent.realtime.fields import forget_oldest
from ariagent.realtime.repair import Repairs
from ariagent.realtime.truncation import Truncations

PLACED_KEPT = 32
"""Items whose place in the conversation the server may still refuse."""
CALLS_KEPT = 64
"""Function calls without an output, and those with one for now."""
OPEN_CALL = "function_call_output_pending"
"""speech-to-speech's code for a response that it does not make while a function call has no output."""
FOR_NOW = '{"status": "still running; the result follows in a note"}'
"""The output of a function call that has none yet, where the server does nothing before it has one."""


class Outbox:
    """The messages that are to be sent, in order. Each message has an id, by which the server may refuse it."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._ids = 0

    def send(self, message: dict[str, Any]) -> str:
        """Returns the message's id."""
        self._ids += 1
        event_id = f"aria_{self._ids}"
        self._messages.append(json.dumps({"event_id": event_id, **message}, separators=(",", ":")).encode())
        return event_id

    def take(self) -> list[bytes]:
        """The messages to send now; each is one WebSocket text frame in UTF-8."""
        messages, self._messages = self._messages, []
        return messages


class Items:
    """The items of one session. Times are monotonic seconds."""

    def __init__(self, outbox: Outbox, understanding: Understanding) -> None:
        self._outbox = outbox
        self._understanding = understanding
        self._truncations = Truncations()
        may_repair = understanding.learns or not understanding.now.truncates
        self._repairs = Repairs() if may_repair else None
        self._placed: dict[str, str] = {}  # event id -> the words that were put in an item's place
        self._running: dict[str, None] = {}  # calls without an output
        self._for_now: dict[str, str] = {}  # calls that have one for now -> the item of that output
        self._outputs_for_now = 0

    # -- added and deleted ------------------------------------------------------------------------

    def add_text(self, role: str, text: str) -> None:
        """Add a message: role ``user``, ``system`` or ``assistant`` (the agent said it before)."""
        role = self._understanding.now.notes if role == "system" else role
        self._create({"type": "message", "role": role, "content": [_content(role, text)]})

    def add_said(self, item_id: str, text: str, *, first: bool = True) -> None:
        """Have the model believe that it said this text; ``first``: at the beginning of the conversation."""
        item = {"id": item_id, "type": "message", "role": "assistant", "content": [_content("assistant", text)]}
        self._create(item, behind="root" if first and self._understanding.now.places else "")

    def forget(self, item_id: str) -> None:
        """Have the model forget an item."""
        self._outbox.send({"type": "conversation.item.delete", "item_id": item_id})

    def _create(self, item: dict[str, Any], *, behind: str = "") -> str:
        place = {"previous_item_id": behind} if behind else {}
        return self._outbox.send({"type": "conversation.item.create", **place, "item": item})

    # -- function calls ---------------------------------------------------------------------------

    def add_call(self, call_id: str, name: str, arguments: str) -> None:
        """Have the model know that it called a function, in a former session."""
        self._create({"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments})
        _keep(self._running, call_id)

    def called(self, calls: tuple[ToolCall, ...]) -> None:
        """The model called these functions, which run from now on."""
        for call in calls:
            _keep(self._running, call.call_id)

    def not_called(self, calls: tuple[ToolCall, ...]) -> None:
        """The model forgets that it called these functions: they take no output any more."""
        for call in calls:
            self._running.pop(call.call_id, None)
            if (item_id := self._for_now.pop(call.call_id, None)) is not None:
                self.forget(item_id)

    def answer_call(self, call_id: str, output: str) -> bool:
        """Give the model the result of a function call. False: the call has an output for now, and takes no other."""
        self._running.pop(call_id, None)
        if call_id in self._for_now:
            del self._for_now[call_id]
            return False
        self._create(_output(call_id, output))
        return True

    def answer_for_now(self) -> bool:
        """Give all calls that still run an output for now; returns whether there were any."""
        running = tuple(self._running)
        for call_id in running:
            del self._running[call_id]
            self._outputs_for_now += 1
            item_id = f"aria_for_now_{self._outputs_for_now}"
            self._create({"id": item_id, **_output(call_id, FOR_NOW)})
            self._for_now[call_id] = item_id
        forget_oldest(self._for_now, CALLS_KEPT)
        return bool(running)

    def before_response(self) -> None:
        """The model is about to respond: a server that does not while a call has no output gives it one."""
        if self._running and not self._understanding.now.open_calls:
            self.answer_for_now()

    def answers_open_calls(self, code: str) -> bool:
        """A response failed with this code. Returns whether that may be because functions still run; their calls have
        an output now."""
        if code == OPEN_CALL:
            self._understanding.found("open_calls", "no response while a function call had no output")
        elif not self._understanding.learns and self._understanding.now.open_calls:
            return False
        return self.answer_for_now()

    # -- cut off ----------------------------------------------------------------------------------

    def cut(self, item_id: str, heard_ms: int, now: float, tries: int = 1) -> None:
        """The caller heard this much of an item of the agent, and is to hear no more of it."""
        if not self._understanding.now.truncates:
            self._repair(item_id, heard_ms)
            return
        truncation = {"item_id": item_id, "content_index": 0, "audio_end_ms": heard_ms}
        event_id = self._outbox.send({"type": "conversation.item.truncate", **truncation})
        self._truncations.asked(item_id, event_id, heard_ms, tries, now)

    def _repair(self, item_id: str, heard_ms: float) -> None:
        """Have the server remember the heard words of an item instead of the item."""
        if self._repairs is not None:
            self._repairs.cut(item_id, heard_ms)
            self._make_repairs()

    def _make_repairs(self) -> None:
        places = self._understanding.now.places
        for repair in self._repairs.due() if self._repairs is not None else ():
            if repair.words:
                event_id = self._add_heard(repair.words, behind=repair.item_id if places else "")
                if places:
                    self._placed[event_id] = repair.words
                    forget_oldest(self._placed, PLACED_KEPT)
            self.forget(repair.item_id)

    def _add_heard(self, words: str, *, behind: str = "") -> str:
        item = {"type": "message", "role": "assistant", "content": [_content("assistant", words)]}
        return self._create(item, behind=behind)

    # -- what the server makes of it --------------------------------------------------------------

    def refused(self, refused: RequestRefused, event_id: str | None, now: float) -> None:
        """An error that may be about an item."""
        if event_id is not None and (words := self._placed.pop(event_id, None)) is not None:
            self._understanding.found("places", f"the place of an item was refused: {refused.code}")
            self._add_heard(words)
            return
        self._truncations.refused(refused, event_id, now)

    def truncated(self, item_id: str) -> None:
        """The server acknowledges a truncation."""
        self._truncations.acknowledged(item_id)

    def alive(self, now: float) -> None:
        """The server sent something."""
        if self._truncations.open:
            self._truncations.alive(now)
            self._look_for_answers(now)

    def _look_for_answers(self, now: float) -> None:
        """Whether the server leaves truncations unanswered."""
        lost = self._truncations.unanswered(now)
        if not lost or not self._understanding.learns:
            return
        if self._truncations.ignored:
            self._understanding.found("truncates", "a truncation was not answered")
        for item_id, heard_ms in lost.items():
            self._repair(item_id, heard_ms)

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self._truncations.next_deadline()

    def tick(self, now: float) -> None:
        """Do what is due at this time."""
        for item_id, audio_end_ms, tries in self._truncations.due(now):
            self.cut(item_id, audio_end_ms, now, tries)
        self._look_for_answers(now)

    # -- the agent's items, for those that are put in another's place ------------------------------

    def sounds(self, item_id: str, response_id: str, ms: float) -> None:
        """Count this much more sound of an item."""
        if self._repairs is not None:
            self._repairs.sounds(item_id, response_id, ms)

    def words(self, item_id: str, response_id: str, text: str, *, all_of_them: bool) -> None:
        """Words of an item came: ``all_of_them``, or some more."""
        if self._repairs is not None:
            self._repairs.words(item_id, response_id, text, all_of_them=all_of_them)

    def response_ended(self, response_id: str, *, completed: bool) -> None:
        """The response has ended."""
        if self._repairs is not None:
            self._repairs.ended(response_id, completed=completed)
            self._make_repairs()


def _output(call_id: str, output: str) -> dict[str, str]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def _content(role: str, text: str) -> dict[str, str]:
    return {"type": "output_text" if role == "assistant" else "input_text", "text": text}


def _keep(known: dict[str, None], key: str) -> None:
    known[key] = None
    forget_oldest(known, CALLS_KEPT)
