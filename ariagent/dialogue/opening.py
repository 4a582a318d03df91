"""How the agent begins with whoever comes on the line: new, put through by people, or back from people."""

from ariagent.dialogue import introduction as intro
from ariagent.call.context import Role
from ariagent.dialogue.conversation import Conversation, Happening
from ariagent.dialogue.handoff import returned_note
from ariagent.dialogue.history import History
from ariagent.dialogue.introduction import Party
from ariagent.dialogue.memory import Owed
from ariagent.phrases.store import Prompts
from ariagent.call.resume import renewed_note, resumed_note


class Greeting:
    """One call's. ``history`` is what is remembered of the call, for a caller who goes to people and comes back."""

    def __init__(self, prompts: Prompts, role: Role, conversation: Conversation, history: History) -> None:
        self._prompts = prompts
        self._role = role
        self._conversation = conversation
        self._history = history

    def begin(self, now: float) -> list[Happening]:
        """The first words of the call. ``now``: monotonic seconds."""
        memory, by = self._role.memory, self._role.introduced_by
        if memory is not None:
            self._history.resume(memory.entries)
            if memory.owed is not None:
                waits = memory.owed is not Owed.NOTHING
                self._conversation.recall(memory, self._kept(renewed_note(memory.owed)), now, speaks=waits)
            elif memory.interrupted:
                self._conversation.recall(memory, self._kept(resumed_note(known=bool(memory.entries))), now)
            elif by is None:
                self._conversation.recall(memory, returned_note(memory.destination, self._role.why_back), now)
            else:
                self._conversation.recall(memory, self._kept(intro.sent_back_note(memory.destination, by)), now)
            return []
        words, audio = self._opening()
        if by is None:
            return self._conversation.open(words, now, audio)
        note = self._kept(intro.introduced_note(by, opening=bool(words)))
        return self._conversation.open(words, now, audio, note=note, goes_on=by.says_why)

    def meet(self, before: Party, caller: Party, now: float, *, talked: bool) -> list[Happening]:
        """The first words for a caller whom ``before`` has put through; with ``talked`` that party said something."""
        words, audio = self._opening()
        note = self._kept(intro.met_note(before, caller, opening=bool(words), talked=talked))
        happened = self._conversation.break_off(now)
        # Without anything to take up, the opening's own question is enough.
        return happened + self._conversation.open(words, now, audio, note=note, goes_on=talked or not words)

    def _opening(self) -> tuple[str, bytes | None]:
        agent, language = self._role.agent, self._role.language
        words = agent.opening_in(language) or ""
        return words, self._prompts.find(agent, words, language) if words else None

    def _kept(self, note: str) -> str:
        self._history.said("note", note)
        return note
