"""The kinds of notes that the service gives the model, unheard by the caller, and an answer to each (CORE).

A kind is recognised by a few words that any wording of such a note has, so that a scenario need not know the wording.
``tests/sandbox/test_notes.py`` ties every note of ``ariagent.call`` to its kind.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of note. ``answer`` is said where a scenario has no rule for it."""

    name: str
    when: str
    """For the documentation: what has happened."""
    patterns: tuple[str, ...]
    """Regular expressions, one of which the note matches; earlier kinds win."""
    answer: str


_HUMAN = r"(?:human agent|person|human|agent|somebody|someone)"
_PUT = r"(?:put|transferred|transfers|sent|handed|passed|connected)"

KINDS = (
    Kind(
        "supervisor",
        "a supervisor whispers to the agent",
        (r"\bsupervisor\b",),
        "There is one more thing that I can tell you. Is there anything else?",
    ),
    Kind(
        "agent_changed",
        "another AI agent transferred the caller to this one",
        (r"another (?:automated|AI) agent",),
        "I have been told about you. How can I help you?",
    ),
    Kind(
        "late_result",
        "a function has its result, after the model was told that it was still running",
        (r"function \S+, which was still running",),
        "I have found it. What else can I do for you?",
    ),
    Kind(
        "not_done",
        "the caller spoke before a transfer or during a goodbye, so the transfer or the end of the call was cancelled",
        (r"spoke before you were done",),
        "Of course. What is it?",
    ),
    Kind(
        "incomplete_reply",
        "a reply became too long, or the provider's filter ended it",
        (r"\byour reply (?:became too long|was cut off)",),
        "How would you like to continue?",
    ),
    Kind(
        "background",
        "music, a television or other people are heard in place of the caller",
        (r"\bmusic, a television",),
        "Are you still there? You can also press any key.",
    ),
    Kind(
        "consult_ended",
        "a human agent spoke with the AI first, then transferred the caller",
        (
            r"speaking with so far",
            r"you (?:were|have been) (?:speaking|talking) (?:with|to).{0,80}has (?:left|gone|transferred|put)",
            r"has left the line",
        ),
        "I have been told what you are calling about. How can I help you?",
    ),
    Kind(
        "sent_back",
        "a human agent sends back a caller that the AI transferred",
        (
            rf"(?:{_PUT}|sends?|brought|gave)(?:(?!\bbut\b|\bc[ao]me\b).){{0,60}}(?:to you again|back to you)",
            rf"{_HUMAN}.{{0,120}}(?:talked|spoken|spoke) with (?:them|the caller).{{0,80}}\b(?:again|back)\b",
        ),
        "You are with the automated assistant again. How would you like to continue?",
    ),
    Kind(
        "introduced",
        "a human agent transferred the caller to the AI",
        (
            rf"{_HUMAN}.{{0,200}}has {_PUT} (?:this|the|a) caller",
            rf"caller (?:was|has been|is) {_PUT}.{{0,20}} to you by",
        ),
        "You have been transferred to me. How can I help you?",
    ),
    Kind(
        "returned",
        "nobody took the transferred caller",
        (
            rf"you (?:had|have)? ?{_PUT} the caller.{{0,160}}\bbut\b",
            r"(?:caller|they) (?:has|have|is|are) (?:come |came )?back (?:to|with) you",
            r"caller (?:returns|returned|came back) to you",
        ),
        "I am sorry, nobody is free right now. What else can I do for you?",
    ),
    Kind(
        "transfer_ended",
        "the next process continues the call, and the human agent is not called any more",
        (rf"{_HUMAN}.{{0,80}}(?:not being called any ?more|no longer (?:being )?called)",),
        "I could not reach anyone from our team. Shall I try again?",
    ),
    Kind(
        "transfer_failed",
        "Asterisk refused a transfer",
        (
            r"telephone system refused",
            r"could not be (?:put through|transferred)",
            r"transfer (?:failed|was refused|could not)",
        ),
        "I am sorry, that did not work. What else can I do for you?",
    ),
    Kind(
        "consult_failed",
        "a warm transfer found nobody",
        (
            r"nobody (?:could be (?:found|reached)|was found|has answered|answered)",
            rf"no {_HUMAN} (?:could|was|has)",
        ),
        "I am sorry, I could not reach anybody. What else can I do for you?",
    ),
    Kind(
        "consult_answered",
        "a warm transfer was answered; the caller is transferred after these words",
        (rf"{_HUMAN} (?:has|have) (?:answered|picked up)", rf"{_HUMAN} (?:is there|answers|answered|is ready)"),
        "A member of our team is on the line. One moment, please.",
    ),
    Kind(
        "consult_waits",
        "a warm transfer still rings",
        (
            rf"(?:looking|searching|trying|calling) (?:for|to reach)? ?(?:a |an )?{_HUMAN}",
            r"still (?:ringing|trying)",
        ),
        "I am still trying to reach a member of our team.",
    ),
    Kind(
        "must_speak",
        "the model called functions ten times without a word of the caller in between; it has to speak now",
        (r"called functions.{0,40}in a row",),
        "How would you like to continue?",
    ),
    Kind(
        "continue_words",
        "the next process continues the call; the agent was cut off in a sentence",
        (r"sentence that was cut off", r"you were cut off.{0,120}(?:go on|continue)"),
        "As I was saying, how can I help you?",
    ),
    Kind(
        "continue_turn",
        "the next process continues the call; the caller was speaking",
        (r"caller was speaking",),
        "Could you say that again, please?",
    ),
    Kind(
        "continue_answer",
        "the next process continues the call; the caller waits for an answer",
        (r"caller is waiting for (?:your|an) answer", r"conversation that is under way"),
        "Could you say that again, please?",
    ),
    Kind(
        "reconnected",
        "the model was reconnected, and something may have been lost",
        (r"missed something", r"line to you was (?:interrupted|lost)", r"\breconnected\b"),
        "I am sorry, I lost you for a moment. Could you say that again?",
    ),
    Kind(
        "resumed",
        "the service is back after a crash, and continues the call",
        (r"line to the caller was (?:interrupted|lost)", r"interrupted for a few seconds"),
        "I am sorry, I lost you for a moment. What would you like to know?",
    ),
    Kind(
        "keys_missing",
        "the caller was asked for keys and pressed none",
        (r"(?:typed|pressed|entered) (?:nothing|no (?:keys?|digits?))",),
        "Please type the whole number again.",
    ),
    Kind(
        "keys_few",
        "the caller pressed fewer keys than asked for",
        (r"(?:typed|pressed|entered) (?:too few|fewer)",),
        "Please type the whole number again.",
    ),
    Kind(
        "silence_goodbye",
        "the caller stays silent; the call ends after these words",
        (
            r"caller (?:does|did|has) not answer",
            r"caller (?:has )?(?:stayed|remained|stays|remains) silent.{0,200}goodbye",
        ),
        "I cannot hear you. You are welcome to call again. Goodbye!",
    ),
    Kind(
        "silence_again",
        "the caller is still silent (`silence.ask_again_after_s`)",
        (r"caller (?:is|has been|remains|stays) still silent", r"still silent", r"silent.{0,40}(?:again|second time)"),
        "Can you hear me? Otherwise I have to end this call.",
    ),
    Kind(
        "silence",
        "the caller says nothing (`silence.ask_after_s`); the agent asks whether they are there",
        (
            r"\bsilent\b",
            r"caller (?:has said|says|said|has not said) (?:nothing|anything)",
            r"caller (?:is|has been|went) quiet",
        ),
        "Are you still there?",
    ),
    Kind(
        "length_goodbye",
        "the call has reached its longest duration; it ends after these words",
        (r"longest time", r"(?:maximum|longest) (?:duration|length|call time)", r"time (?:limit|is over|is up)"),
        "Our time is over. Thank you for calling. Goodbye!",
    ),
    Kind(
        "length_warning",
        "the call will soon reach its longest duration",
        (
            r"call can last",
            r"(?:minutes?|seconds?) (?:are |is )?(?:left|remain|longer)",
            r"call (?:must|will) end (?:in|soon)",
        ),
        "We have a little time left. What would you like to know?",
    ),
)
"""The kinds in the order in which they are tried."""

BY_NAME = {kind.name: kind for kind in KINDS}
PREFIX = "[system]"
"""How the notes of ariagent begin."""

_PATTERNS = [(kind, re.compile("|".join(kind.patterns), re.IGNORECASE | re.DOTALL)) for kind in KINDS]
_DATA = re.compile(r'"(?:[^"\\]|\\.)*"|\([^)]*\)')


def kind_of(note: str) -> Kind | None:
    """The kind of a note of the service. Quoted words and names in brackets do not count: others chose them."""
    told = " ".join(_DATA.sub("", note).split())
    return next((kind for kind, pattern in _PATTERNS if pattern.search(told)), None)
