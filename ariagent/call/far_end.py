"""Finds out whether a person is at the other end of a call whose leg is half of a Local channel.

The party that talks with the agent can transfer it: with REFER, with a feature code, or by joining two of their calls.
Asterisk then joins the agent's leg with the target, which may be a queue's music, an echo, or another AI agent.
"""

from collections.abc import Awaitable, Callable
from enum import Enum

LOCAL = "Local/"
ATTENDED = "Local/_attended@"
"""Asterisk's name for a Local channel that joins two calls in an attended transfer."""
NO_PERSON = (
    *("AudioSocket/", "UnicastRTP/", "WebSocket/", "Announcer/", "Recorder/", "ConfBridgeRecorder/"),
    *("CBAnn/", "CBRec/", "Snoop/", "Surrogate/", "Bridge/"),
)
"""Channels that a program of Asterisk's made. Every other channel is a telephone or a line."""
CALLING = ("Dial", "FollowMe", "AppDial")
"""Applications in which a channel waits for somebody to answer, without music."""
WAITING = ("Queue", "Echo", "MusicOnHold", "Stasis", "VoiceMail", "ConfBridge", "Park", "BridgeWait")
"""Applications in which a channel without a peer hears no person, whether it was answered or not."""

LONGEST_CHAIN = 8
"""Local channels that are followed, one behind the other. A longer chain has nobody at its end."""
FIRST_LOOK_S = 0.5
CONFIRM_S = 1.0
CALLING_LOOK_S = 2.0
CALLING_LIMIT_S = 30.0
"""How long the phone of a person may ring."""
LOOK_S = 10.0


class FarEnd(Enum):
    """The party at the other end of a call."""

    PERSON = "person"
    RINGING = "ringing"
    """A phone may be ringing."""
    NOBODY = "nobody"


def twin(name: str) -> str:
    """The name of the other half of a Local channel; empty for any other channel."""
    if not name.startswith(LOCAL) or name[-2:] not in (";1", ";2"):
        return ""
    return f"{name[:-1]}{'2' if name[-1] == '1' else '1'}"


async def find_far_end(leg: str, read: Callable[[str, str], Awaitable[str]], seen: set[str]) -> FarEnd:
    """Find out whether somebody is at the other end of the channel named ``leg``.

    ``read`` gives a variable or function of a channel, by the channel's name; empty where there is none. ``seen`` takes
    the names of the Local channels on the way.
    """
    halves = [twin(leg)]
    seen.add(leg)
    while halves:
        half = halves.pop()
        if not half:
            return FarEnd.PERSON  # the leg is a telephone or a line
        if half in seen or len(seen) > 2 * LONGEST_CHAIN:
            continue
        seen |= {half, twin(half)}
        peers = [name for name in (await read(half, "BRIDGEPEER")).split(",") if name]
        if not peers:
            if await _is_calling(half, read):
                return FarEnd.RINGING
            continue
        if any(not name.startswith((LOCAL, *NO_PERSON)) for name in peers):
            return FarEnd.PERSON
        halves += [twin(name) for name in peers if name.startswith(LOCAL)]
    return FarEnd.NOBODY


async def _is_calling(half: str, read: Callable[[str, str], Awaitable[str]]) -> bool:
    application, state = await read(half, "CHANNEL(appname)"), await read(half, "CHANNEL(state)")
    if application in WAITING:
        return False
    return application in CALLING or (state != "" and state != "Up")


class Watch:
    """CORE: when to look who is there, and when a call without anybody is to end. Times are monotonic seconds."""

    def __init__(self, next_look: float | None = None) -> None:
        self.next_look = next_look
        """None: not before something has happened."""
        self._called_since: float | None = None
        self._alone = False

    def moved(self, now: float) -> None:
        """The call's other end was transferred."""
        self.next_look = now + FIRST_LOOK_S
        self._alone, self._called_since = False, None

    def saw(self, found: FarEnd, now: float) -> bool:
        """Note what a look has found; return whether the call is to end."""
        was_alone, self._alone = self._alone, found is FarEnd.NOBODY
        if found is FarEnd.RINGING:
            if self._called_since is None:
                self._called_since = now
            self.next_look = now + CALLING_LOOK_S
            return now - self._called_since >= CALLING_LIMIT_S
        self._called_since = None
        self.next_look = now + (CONFIRM_S if self._alone else LOOK_S)
        return was_alone and self._alone
