"""Has Asterisk take a caller to people, so that it looks in queue_log as if a person had transferred them."""

import asyncio

from ariagent.ari import events as ari
from ariagent.call.casting import Arrival
from ariagent.call.context import Context
from ariagent.call.handoff import Handoff
from ariagent.errors import AsteriskError

CALLER = "ARIAGENT_CALLER"


async def hand_over(context: Context, arrival: Arrival, leg: str, handoff: Handoff, variables: dict[str, str]) -> None:
    """Transfer the caller; they are gone from us when this returns. Raises AsteriskError."""
    if arrival.seat is None:
        await _direct(context, leg, handoff, variables)
    else:
        await _from_seat(context, arrival, leg, handoff, variables)


async def _direct(context: Context, leg: str, handoff: Handoff, variables: dict[str, str]) -> None:
    await asyncio.gather(*(context.ari.set_variable(leg, name, value) for name, value in variables.items()))
    where, extension = handoff.place
    await context.ari.continue_in_dialplan(leg, ari.Place(where, extension, 1))


async def _from_seat(context: Context, arrival: Arrival, leg: str, handoff: Handoff, variables: dict[str, str]) -> None:
    """The queue's caller is not ours to move by ARI; the manager interface transfers who talks with the seat."""
    if context.ami is None:
        raise AsteriskError("a seat's caller can only be transferred through the manager interface (ami)")
    caller = await context.ari.get_variable(leg, CALLER)
    if caller:
        actions = (
            context.ami.action("Setvar", Channel=caller, Variable=name, Value=value)
            for name, value in variables.items()
        )
        # What the call is about matters less than that it is transferred; whom it joins does not.
        await asyncio.gather(*actions, return_exceptions=not handoff.joins)
    where, extension = handoff.place
    seat = arrival.channel.name.removesuffix(";2") + ";1"
    await context.ami.action("BlindTransfer", Channel=seat, Context=where, Exten=extension)
