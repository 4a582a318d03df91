"""The opening: the agent's first words to a caller who is new, was transferred by a human agent, or has come back.
CORE."""

from collections.abc import Callable
from dataclasses import replace

from ariagent.dialogue import notes
from ariagent.dialogue.conversation import Conversation
from ariagent.dialogue.effects import Happened
from ariagent.dialogue.history import Entry, History, Used
from ariagent.dialogue.introduction import Party
from ariagent.dialogue.memory import Unfinished
from ariagent.dialogue.role import Role

FindPhrase = Callable[[str, str], bytes | None]
"""A rendered phrase by its text and language, as PCM of the leg; None where it is not there."""


def begin(role: Role, conversation: Conversation, history: History, phrase: FindPhrase, now: float) -> list[Happened]:
    """The first words of the call. ``history`` takes what the model is told; ``now``: monotonic seconds."""
    memory, by = role.memory, role.introduced_by
    if memory is None:
        words, audio = _opening(role, phrase)
        if by is None:
            return conversation.open(words, now, audio)
        note = _kept(history, notes.introduced_note(by, opening=bool(words)))
        return conversation.open(words, now, audio, note=note, continues=by.says_why)
    memory = replace(memory, entries=tuple(map(_settled, memory.entries)))
    history.resume(memory.entries)
    if memory.unfinished is not None:
        note, speaks = (
            _kept(history, notes.renewed_note(memory.unfinished)),
            memory.unfinished is not Unfinished.NOTHING,
        )
        conversation.recall(memory, note, now, speaks=speaks)
    elif memory.interrupted:
        note = notes.resumed_note(known=bool(memory.entries), consulting=memory.consulting)
        conversation.recall(memory, _kept(history, note), now)
    elif by is None and not role.why_back and memory.agent not in ("", role.name):
        # Nobody sent the caller back: the destination leads to this agent.
        words, audio = _opening(role, phrase)
        note = _kept(history, notes.agent_changed_note(memory.destination, memory.agent, opening=bool(words)))
        conversation.replay(memory.entries)
        return conversation.open(words, now, audio, note=note, continues=True)
    elif by is None:
        conversation.recall(memory, notes.returned_note(memory.destination, role.why_back), now)
    else:
        conversation.recall(memory, _kept(history, notes.sent_back_note(memory.destination, by)), now)
    return []


def greet_next_caller(
    role: Role,
    conversation: Conversation,
    history: History,
    phrase: FindPhrase,
    now: float,
    *,
    before: Party,
    caller: Party,
    talked: bool,
) -> list[Happened]:
    """The first words for a caller whom ``before`` has transferred; ``talked``: that party said something."""
    words, audio = _opening(role, phrase)
    note = _kept(history, notes.caller_changed_note(before, caller, opening=bool(words), talked=talked))
    happened = conversation.break_off(now)
    # Without anything to take up, the opening's own question is enough.
    return happened + conversation.open(words, now, audio, note=note, continues=talked or not words)


def _opening(role: Role, phrase: FindPhrase) -> tuple[str, bytes | None]:
    words = role.agent.opening_in(role.language) or ""
    return words, phrase(words, role.language) if words else None


def _settled(entry: Entry) -> Entry:
    """The entry, with a result if it is a function that had none when the conversation broke off: none follows."""
    return replace(entry, output=notes.LOST_RESULT) if isinstance(entry, Used) and entry.output is None else entry


def _kept(history: History, note: str) -> str:
    history.said("note", note)
    return note
