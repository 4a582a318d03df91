"""The remote party of one call: the caller, or first a human agent and then the caller whom they transfer to the AI.

If the call is direct, Asterisk reports that another channel took the place of the caller's, and a few milliseconds
later, at the media channel's connected line, whose it is. A queue seat's own channel stays: only the manager interface
tells.
"""

import asyncio

from ariagent.ami.events import AttendedTransferred
from ariagent.ari import events as ari
from ariagent.ari.client import AriClient
from ariagent.call import presentation
from ariagent.dialogue.introduction import Party
from ariagent.errors import AriError

SETTLE_S = 0.1
"""Seconds from the moment when a channel takes the caller's place until the agent greets the new party: the number
comes a little later."""


async def party_after_transfer(ari_client: AriClient, party: Party, channel: str, media: str, leg: str) -> Party:
    """The party as it may be shown. ``channel``: the name of theirs; where it is not known, the connected line of the
    media channel, and the leg, have their presentation."""
    asked = (
        [(channel, presentation.NUMBER), (channel, presentation.NAME)]
        if channel
        else [
            (media, presentation.CONNECTED_NUMBER),
            (media, presentation.CONNECTED_NAME),
            (leg, presentation.NUMBER),
            (leg, presentation.NAME),
        ]
    )
    if not party:
        return party
    try:
        values = await asyncio.gather(*(ari_client.get_variable(*each) for each in asked))
    except AriError:
        return Party()  # it may be one that must not be shown
    found = dict(zip((name for _, name in asked), values, strict=True))
    if not channel:
        # The leg has a presentation of its own only where it is the newcomer's channel.
        for name, connected in ((presentation.NUMBER, "num"), (presentation.NAME, "name")):
            both = (found[name], found[f"CONNECTEDLINE({connected}-pres)"])
            found[name] = next((value for value in both if value.startswith("prohib")), "")
    return presentation.shown(party, found)


class AttendedTransfer:
    """The remote party of one call, through attended transfers. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.current = Party()
        """The party on the line; empty until it is known whether the caller shows their number."""
        self.changed = False
        """Another party than at the beginning is on the line."""
        self._shown = Party()  # the party in the media channel's connected line
        self._awaited = ""  # a channel that is not up yet
        self._due: float | None = None
        self._since: float | None = None
        self._before_s = 0.0

    def arrived(self, caller: Party) -> None:
        """The caller's number and name are known, as far as they show them."""
        if not self.changed:
            self.current = caller

    def shown(self, party: Party) -> None:
        """The media channel's connected line says this."""
        self._shown = party

    def replaced(self, channel: ari.Channel, now: float) -> None:
        """This channel took the place of the caller's; it may still ring somewhere."""
        self._shown = Party.of(channel.caller_number, channel.caller_name)
        up = channel.state == "Up"
        self._awaited = "" if up else channel.id
        self._due = now + SETTLE_S if up else None

    def up(self, channel_id: str, now: float) -> None:
        """This channel was answered."""
        if channel_id == self._awaited:
            self._awaited, self._due = "", now + SETTLE_S

    def next_deadline(self) -> float | None:
        """The time of the next ``tick``; None: nothing is due."""
        return self._due

    def tick(self, now: float) -> Party | None:
        """The party who is on the line from now on, once for each change, when they can hear us; None: no change."""
        if self._due is None or now < self._due:
            return None
        self._due = None
        return self._shown

    def joined(self, party: Party, now: float) -> None:
        """The party who is there now, as it may be shown."""
        if self._since is not None and not self.changed:
            self._before_s = now - self._since
        self.current, self.changed = party, True

    def answered(self, now: float) -> None:
        """The call was answered."""
        self._since = now

    def talk_s(self, now: float) -> dict[str, float]:
        """How long the agent talked, for the call's record; split, where a human agent transferred a caller to it."""
        whole = 0.0 if self._since is None else now - self._since
        if not self.changed:
            return {"talk_s": round(whole, 3)}
        split = {"talk_human_agent_s": self._before_s, "talk_caller_s": whole - self._before_s}
        return {name: round(seconds, 3) for name, seconds in {"talk_s": whole, **split}.items()}


def remote_party(event: AttendedTransferred, channel: str) -> Party | None:
    """The party that talks with the channel of this name after an attended transfer; None if the transfer is not about
    that channel.

    Either of the two calls may have been the first one: a phone may refer the one to the other or the other way round.
    """
    if event.result != "Success":
        return None
    if event.target == channel:
        return Party.of(event.transferee_caller, event.transferee_name)
    if event.transferee == channel:
        return Party.of(event.target_caller, event.target_name)
    return None
