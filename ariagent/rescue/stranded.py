"""Channels that are stranded in a Stasis application without a service, and how to move them. CORE.

Source: AMI's action Status. The class call allows it (but not CoreShowChannels).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from ariagent.call.takeover import WARM_PREFIX

SEAT = re.compile(r"Local/\d+@ariagent(-\w+)*-seat-[0-9a-f]+;[12]", re.IGNORECASE)
"""A seat's channel name: ``Local/03@ariagent-seat-0000001a;2``."""
UP = "6"
"""ChannelState of an answered channel."""


class Way(Enum):
    TRANSFER = "transfer"
    """A caller at a seat: transferred from the seat's channel ;1, like a transfer by an agent, also in queue_log."""
    REDIRECT = "redirect"
    """A caller in the application without a queue: the channel itself is redirected."""
    HANG_UP = "hang up"
    """Not a caller: a ringing seat, or a leg of the service. It is hung up, and the queue tries the next member."""


@dataclass(frozen=True, slots=True)
class Stranded:
    """One channel in the application."""

    channel: str
    """Name of the channel."""
    way: Way
    call_id: str
    caller: str
    """The caller's number."""

    @property
    def moved_by(self) -> str:
        """The channel that the AMI action names."""
        return self.channel.removesuffix("2") + "1" if self.way is Way.TRANSFER else self.channel


def stranded(channels: Iterable[Mapping[str, str]], app: str) -> list[Stranded]:
    """The channels in the application ``app``. ``channels``: AMI's Status messages, names in lower case."""
    found = []
    for status in channels:
        name, inside = status.get("channel", ""), status.get("data", "").partition(",")[0]
        # Audio channels of a dead process end by themselves.
        if status.get("application") != "Stasis" or inside != app or name.startswith("AudioSocket/"):
            continue
        found.append(Stranded(name, _way(status, name), status.get("linkedid", ""), status.get("calleridnum", "")))
    return found


def without_audio(channels: Iterable[Mapping[str, str]], app: str) -> frozenset[str]:
    """The names of callers' channels in the application that are answered and have no audio channel of the service
    beside them in their bridge: these callers hear nothing."""
    listed = tuple(channels)
    bridges = {status.get("bridgeid", "") for status in listed if status.get("channel", "").startswith("AudioSocket/")}
    up = {status.get("channel"): status for status in listed if status.get("channelstate") == UP}
    callers = (who for who in stranded(listed, app) if who.way is not Way.HANG_UP and who.channel in up)
    return frozenset(who.channel for who in callers if up[who.channel].get("bridgeid", "") not in bridges - {""})


def _way(status: Mapping[str, str], name: str) -> Way:
    if status.get("uniqueid", "").startswith(WARM_PREFIX):
        return Way.HANG_UP
    if SEAT.fullmatch(name):
        return Way.TRANSFER if status.get("channelstate") == UP else Way.HANG_UP
    return Way.REDIRECT
