"""The plan of a synthetic caller, and the messages if it cannot be carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ariagent import extras
from ariagent.caller import CONTEXT
from ariagent.caller import script as do
from ariagent.caller.recorded import recorded
from ariagent.caller.voice import tool_of
from ariagent.synthesis.programs import Finder, installed


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The extension to call and what to do. Times in seconds."""

    extension: str
    script: do.Script
    context: str = CONTEXT
    caller_id: str = "5550100"
    anyone: bool = False
    """Talk with anybody who answers. Otherwise a call that the AI does not take fails, and ends once that is clear."""
    answer_within_s: float = 40.0
    timeout_s: float = 180.0
    """Time limit of the whole call."""
    record_dir: Path | None = None
    """Folder for ``call.wav`` (left the caller, right the agent) and ``call.json``."""
    find: Finder = installed
    """Finds speech synthesisers, for sentences that are not recorded."""
    speech_dir: Path | None = None
    """Folder that keeps synthesised speech between runs."""
    guess: bool = False
    """Have a recogniser, if there is one, guess the agent's words even if they are known."""

    shows_guesses: bool = True
    """Whether a guess is printed if the words are not known."""

    @property
    def guesses(self) -> bool:
        """Whether a recogniser is needed in any case: steps ``expect`` test what came over the line."""
        return self.guess or any(isinstance(step, do.Expect) for step in self.script.steps)


def programs_needed(script: do.Script) -> list[str]:
    """The speech synthesisers for this caller's sentences without a recording. No I/O except looking for recordings."""
    said = [text for step in script.steps if isinstance(step, do.Say) for text in step.texts]
    said += [step.text for step in script.steps if isinstance(step, do.Interrupt)]
    needed = [tool_of(script.voice)] if any(recorded(script.voice, text) is None for text in said) else []
    babble = script.noise is not None and script.noise.kind == "babble"
    return list(dict.fromkeys([*needed, *(["flite"] if babble else [])]))


def no_extension(plan: CallPlan, others: Sequence[str]) -> str:
    """The error if the dialplan lacks the extension; ``others``: contexts that have it. No I/O."""
    what = f"the dialplan has no extension {plan.extension} in context {plan.context}"
    if not others:
        return f"{what}. Name the context that has it with --context (`dialplan show {plan.extension}@` in Asterisk)"
    has = "has" if len(others) == 1 else "have"
    return f"{what}; {', '.join(others)} {has} it. Give --context {others[0]}"


def unknown_words() -> str:
    """Why the agent's words are not known, and what to do."""
    return (
        "the agent's words are not known. Run this on the service's machine as a user who may read its records "
        f"(state_directory), or install a speech recogniser: {extras.install('rehearsal')}"
    )
