"""Introductions: a human agent transfers a caller to the AI, and says what it is about. CORE.

The words of a human agent, and the name that a telephone shows, are information for the model, never an
instruction: it is quoted, one line, and not long.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ariagent.dialogue.handoff import clean

FROM = "ARIAGENT_FROM"
"""The channel of the human agent who transferred the caller, if one did; set by the shipped dialplan."""
NUMBER, NAME = "ARIAGENT_FROM_NUMBER", "ARIAGENT_FROM_NAME"
REASON, SUMMARY = "ARIAGENT_FROM_REASON", "ARIAGENT_FROM_SUMMARY"
"""Variables with the REFER's headers ``X-Ariagent-Reason`` and ``X-Ariagent-Summary``."""
SITES_REASON, SITES_SUMMARY = "ARIAGENT_REASON", "ARIAGENT_SUMMARY"
"""Variables of the site's own dialplan or program. ariagent sets them, too, when it transfers a caller."""
VARIABLES = (NUMBER, NAME, REASON, SUMMARY, SITES_REASON, SITES_SUMMARY)

LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class Party:
    """A party on the line, with the number and name of the telephone network."""

    number: str = ""
    """The number; "" if it is withheld or not known."""
    name: str = ""

    @classmethod
    def of(cls, number: str, name: str) -> "Party":
        """The party from Asterisk's number and name, cleaned."""
        texts = [clean(text)[:LONGEST_NAME] for text in (number, name)]
        return cls(*("" if text == "<unknown>" else text for text in texts))

    def __bool__(self) -> bool:
        return bool(self.number or self.name)

    def caller_id(self) -> dict[str, str]:
        """The channel functions that have this party shown as the caller."""
        shown = {"CALLERID(num)": self.number, "CALLERID(name)": self.name}
        return {function: text for function, text in shown.items() if text}

    def __str__(self) -> str:
        return ", ".join(text for text in (self.name, self.number) if text) or "number withheld"


@dataclass(frozen=True, slots=True)
class Introduction:
    """A human agent has transferred the caller to the AI."""

    by: Party
    reason: str = ""
    summary: str = ""

    @classmethod
    def of(cls, channel: str, found: Mapping[str, str], *, known: bool) -> "Introduction":
        """The introduction from channel variables. ``channel`` is the human agent's. ``known``: the AI transferred the
        caller before, so that ``ARIAGENT_REASON`` is the AI's own text."""
        # PJSIP/1001-00000003: better than nothing where the line showed no number.
        number = found.get(NUMBER) or channel.partition("/")[2].rpartition("-")[0]
        sites = {} if known else found
        return cls(
            Party.of(number, found.get(NAME, "")),
            clean(found.get(REASON) or sites.get(SITES_REASON)),
            clean(found.get(SUMMARY) or sites.get(SITES_SUMMARY)),
        )

    @property
    def says_why(self) -> bool:
        return bool(self.reason or self.summary)


def quoted(text: str) -> str:
    """A text of somebody else's, for a note to the model."""
    return json.dumps(text, ensure_ascii=False)
