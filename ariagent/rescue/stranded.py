"""Who is stranded in a Stasis application that nobody serves, and how they get out. CORE.

Source: the manager's action Status, which a user of the class call may ask for (CoreShowChannels it may not).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from ariagent.call.resume import WARM_PREFIX

SEAT = "@ariagent-seat-"
"""In the name of a seat's channel: ``Local/03@ariagent-seat-0000001a;2``."""
UP = "6"
"""Of ChannelState: answered."""


class Way(Enum):
    TRANSFER = "transfer"
    """A seat's caller: transferred from the seat's first half, as a person would; queue_log shows it so."""
    REDIRECT = "redirect"
    """A caller straight in the application: the channel goes there itself."""
    HANG_UP = "hang up"
    """No caller: a seat that rings, or a leg of the service's own. The queue goes on without it."""


@dataclass(frozen=True, slots=True)
class Stranded:
    """One channel in the application."""

    channel: str
    """Its name."""
    way: Way
    call_id: str
    caller: str
    """Number."""

    @property
    def moved_by(self) -> str:
        """The channel that the way is asked for."""
        return self.channel.removesuffix("2") + "1" if self.way is Way.TRANSFER else self.channel


def stranded(channels: Iterable[Mapping[str, str]], app: str) -> list[Stranded]:
    """Those of the Status messages (names in lower case) that are in the application ``app``."""
    found = []
    for status in channels:
        name, inside = status.get("channel", ""), status.get("data", "").partition(",")[0]
        # The audio of a process that is gone goes by itself.
        if status.get("application") != "Stasis" or inside != app or name.startswith("AudioSocket/"):
            continue
        found.append(Stranded(name, _way(status, name), status.get("linkedid", ""), status.get("calleridnum", "")))
    return found


def _way(status: Mapping[str, str], name: str) -> Way:
    if status.get("uniqueid", "").startswith(WARM_PREFIX):
        return Way.HANG_UP
    if SEAT in name:
        return Way.TRANSFER if status.get("channelstate") == UP else Way.HANG_UP
    return Way.REDIRECT
