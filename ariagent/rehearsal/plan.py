"""What a synthetic caller is to do, and what is said where that cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ariagent.errors import pip_install
from ariagent.rehearsal import CONTEXT
from ariagent.rehearsal import script as do
from ariagent.rehearsal.recognise import RECOGNISER
from ariagent.rehearsal.recorded import recorded
from ariagent.rehearsal.voice import tool_of
from ariagent.synthesis.programs import Finder, installed


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Whom to call and what to do. Times in seconds."""

    extension: str
    script: do.Script
    context: str = CONTEXT
    caller_id: str = "5550100"
    anyone: bool = False
    """Whoever answers will do. Otherwise a call that the AI does not take has failed, and ends when that is clear."""
    answer_within_s: float = 40.0
    timeout_s: float = 180.0
    """For the whole call."""
    record_dir: Path | None = None
    """Gets ``call.wav`` (left the caller, right the agent) and ``call.json``."""
    find: Finder = installed
    """Where the programs that speak are: for sentences that are not recorded."""
    speech_dir: Path | None = None
    """Keeps synthesised speech between runs."""
    guess: bool = False
    """Have a recogniser, where there is one, guess what the agent says also where its words are known."""

    shows_guesses: bool = True
    """Whether a guess is printed where it is all that is known of the words."""

    @property
    def guesses(self) -> bool:
        """Whether a recogniser is wanted in any case: steps ``expect`` judge what came over the line."""
        return self.guess or any(isinstance(step, do.Expect) for step in self.script.steps)


def programs_needed(script: do.Script) -> list[str]:
    """The programs that speak what this caller says and is not recorded. No I/O but looking for recordings."""
    said = [step.text for step in script.steps if isinstance(step, do.Say | do.Interrupt)]
    needed = [tool_of(script.voice)] if any(recorded(script.voice, text) is None for text in said) else []
    babble = script.noise is not None and script.noise.kind == "babble"
    return list(dict.fromkeys([*needed, *(["flite"] if babble else [])]))


def no_extension(plan: CallPlan, others: Sequence[str]) -> str:
    """The dialplan lacks what is to be called; ``others``: contexts that have it. No I/O."""
    what = f"the dialplan has no extension {plan.extension} in context {plan.context}"
    if not others:
        return f"{what}. Name the context that has it with --context (`dialplan show {plan.extension}@` in Asterisk)"
    has = "has" if len(others) == 1 else "have"
    return f"{what}; {', '.join(others)} {has} it. Give --context {others[0]}"


def unknown_words() -> str:
    """Why nobody knows what the agent said, and what to do about it."""
    return (
        "nothing here knows the agent's words. Run this on the service's machine as a user who may read its records "
        f"(state_directory), or install a recogniser: {pip_install(RECOGNISER)}"
    )
