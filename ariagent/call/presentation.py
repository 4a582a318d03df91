"""CORE: which caller's number and name may be shown. A caller who withholds their number has none, everywhere.

Asterisk gives number and name to programs whatever their presentation is. It is read from the channel as well.
"""

from collections.abc import Mapping

from ariagent.call.admission import number_key
from ariagent.dialogue.introduction import Party

NUMBER, NAME = "CALLERID(num-pres)", "CALLERID(name-pres)"
CONNECTED_NUMBER, CONNECTED_NAME = "CONNECTEDLINE(num-pres)", "CONNECTEDLINE(name-pres)"


def prohibits(presentation: str) -> bool:
    """Whether this presentation (``prohib_passed_screen``) forbids to show a number or a name."""
    return presentation.lower().startswith(("prohib", "unavailable"))


def shown(party: Party, found: Mapping[str, str], number: str = NUMBER, name: str = NAME) -> Party:
    """The party as it may be shown. ``found``: the values of the functions ``number`` and ``name``."""
    if prohibits(found.get(number, "")) or not number_key(party.number):
        # The name of a caller without a number says who it is, or "Anonymous".
        return Party()
    return Party(party.number, "" if prohibits(found.get(name, "")) else party.name)
