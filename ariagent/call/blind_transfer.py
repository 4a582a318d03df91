"""Has Asterisk transfer a caller so that queue_log shows it as a human agent's transfer."""

import asyncio
from contextlib import suppress

from ariagent.ami.client import AmiClient
from ariagent.ari import events as ari
from ariagent.call.arrival import Arrival
from ariagent.call.context import Context
from ariagent.call.machine import TRANSFER_TIMEOUT_S
from ariagent.call.variables import CALLER, LIMIT_S, PEER, WAYS_BACK
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import AsteriskError
from ariagent.pool.owner import APP

HUMAN = ("ariagent-human", "human")
"""Context and extension of the shipped dialplan: the human queue, then the last resort."""


async def transfer(context: Context, arrival: Arrival, leg: str, handoff: Handoff, variables: dict[str, str]) -> None:
    """Transfer the caller; they are gone from us when this returns.

    Raises AsteriskError, also when all the requests together take longer than TRANSFER_TIMEOUT_S.
    """
    try:
        async with asyncio.timeout(TRANSFER_TIMEOUT_S):
            if arrival.seat is not None:
                await _from_seat(context, arrival, leg, handoff, variables)
                return
            # A leg that took the place of another one need not have come through the shipped dialplan.
            variables = {**variables, f"__{APP}": context.settings.asterisk.app}
            await asyncio.gather(*(context.ari.set_variable(leg, name, value) for name, value in variables.items()))
            where, extension = handoff.place
            await context.ari.continue_in_dialplan(leg, ari.Place(where, extension, 1))
    except TimeoutError:
        raise AsteriskError("Asterisk did not take the caller in time") from None


async def _from_seat(context: Context, arrival: Arrival, leg: str, handoff: Handoff, variables: dict[str, str]) -> None:
    """ARI cannot move the queue's caller; the manager interface transfers the party that talks with the seat."""
    if context.ami is None:
        raise AsteriskError("a seat's caller can only be transferred through the manager interface (ami)")
    seat = first_half(arrival)
    caller, ways_back = await _caller(context, context.ami, leg, seat)
    # These variables may fail: the transfer matters more. If the handoff joins two calls, they must succeed.
    await _set(context.ami, caller, variables | ways_back, optional=not handoff.joins)
    where, extension = handoff.place
    await context.ami.action("BlindTransfer", Channel=seat, Context=where, Exten=extension)


async def to_human_queue(context: Context, arrival: Arrival, leg: str) -> bool:
    """Send a seat's caller whom a human agent transferred to the human queue: no dialplan of theirs waits for the seat.

    Returns whether Asterisk took them.
    """
    if context.ami is None:
        return False
    seat, (where, extension) = first_half(arrival), HUMAN
    with suppress(AsteriskError, TimeoutError):
        async with asyncio.timeout(LIMIT_S):
            caller, ways_back = await _caller(context, context.ami, leg, seat)
            await _set(context.ami, caller, ways_back, optional=True)
    try:
        await context.ami.action("BlindTransfer", Channel=seat, Context=where, Exten=extension)
    except AsteriskError:
        return False
    return True


def first_half(arrival: Arrival) -> str:
    """The half of the seat's channel that the queue's caller talks with."""
    return arrival.channel.name.removesuffix(";2") + ";1"


async def _peers(ami: AmiClient, channel: str) -> list[str]:
    """The names of the channels that this one is bridged with; empty where that is not known."""
    try:
        value = (await ami.action("Getvar", Channel=channel, Variable=PEER)).get("value", "")
    except AsteriskError:
        return []
    return [name for name in value.split(",") if name]


async def _caller(context: Context, ami: AmiClient, leg: str, seat: str) -> tuple[str, dict[str, str]]:
    """The name of the caller's channel ("": not known), and the ways back that it lacks.

    A human agent may have called the seat and transferred a caller, whose channel knows nothing of the seat's queue.
    """
    caller = await context.ari.get_variable(leg, CALLER)
    peers = await _peers(ami, seat)
    if not peers or caller in peers:
        return caller, {}
    values = await asyncio.gather(*(context.ari.get_variable(leg, name) for name in WAYS_BACK))
    return peers[0], {f"__{name}": value for name, value in zip(WAYS_BACK, values, strict=True)}


async def _set(ami: AmiClient, caller: str, variables: dict[str, str], *, optional: bool) -> None:
    if caller:
        actions = (
            ami.action("Setvar", Channel=caller, Variable=name, Value=value) for name, value in variables.items()
        )
        await asyncio.gather(*actions, return_exceptions=optional)
