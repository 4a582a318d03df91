"""CORE: fields of a message that Asterisk always writes one after another.

Some of their values are a caller's, and Asterisk writes them as they are: PJSIP takes line breaks in a number
(``%0D%0A``), so a number can look like further fields, or like the end of the message and another message behind it.
Asterisk never leaves a field of a run out, though. Until the next field of the run has come, every line is part of the
value before it, also an empty one. A number has at most 79 characters: too few for the rest of a run.

Sources: main/manager_channels.c ``ast_manager_build_channel_state_string_prefix``, apps/app_queue.c
``manager_queues_status``, main/manager.c ``generate_status``. Names are lower case.
"""

from collections.abc import Sequence

MOST_LINES = 256
"""Lines that the values of one run may have besides their own: three of 79 characters, all of them line breaks."""

_CHANNEL = ("channel", "channelstate", "channelstatedesc", "calleridnum")
_CHANNEL_REST = (
    "calleridname",
    "connectedlinenum",
    "connectedlinename",
    "language",
    "accountcode",
    "context",
    "exten",
    "priority",
    "uniqueid",
    "linkedid",
)
_OTHERS = {
    # A caller in QueueStatus.
    ("channel", "uniqueid", "calleridnum"): (
        "calleridname",
        "connectedlinenum",
        "connectedlinename",
        "wait",
        "priority",
    ),
    # A channel in Status, behind what every channel has.
    ("type", "dnid"): ("effectiveconnectedlinenum", "effectiveconnectedlinename", "timetohangup"),
}


def rest(names: Sequence[str]) -> tuple[str, ...]:
    """The names that must follow, in this order; empty where no run begins. ``names``: those of the message so far."""
    if names[-1].endswith("calleridnum"):
        prefix = names[-1].removesuffix("calleridnum")
        if tuple(names[-4:]) == tuple(prefix + name for name in _CHANNEL):
            return tuple(prefix + name for name in _CHANNEL_REST)
    return next((following for begun, following in _OTHERS.items() if tuple(names[-len(begun) :]) == begun), ())
