"""Has Asterisk transfer a caller so that queue_log shows it as a human agent's transfer."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from ariagent.agents.choose import DIALLED, EXTENSION, QUEUE
from ariagent.ami.client import AmiClient
from ariagent.ari import events as ari
from ariagent.ari.client import DeniedError, RefusedError
from ariagent.call.arrival import Arrival
from ariagent.call.context import Context
from ariagent.call.machine import TRANSFER_TIMEOUT_S
from ariagent.call.variables import CALLER
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import AmiError, AmiRefusedError, AsteriskError

PEER = "BRIDGEPEER"
APP = "ARIAGENT_APP"
HUMAN_QUEUE = ("ariagent-human", "human")
"""Context and extension of the shipped dialplan: the human queue, then the last resort."""
WAYS_BACK = (APP, QUEUE, EXTENSION, DIALLED)
Move = Callable[[], Awaitable[object]]
"""The last request of a transfer: it moves the caller."""


class UnansweredError(AsteriskError):
    """Asterisk was asked to take the caller and did not answer: it may still do so."""


REFUSALS = (RefusedError, DeniedError, AmiRefusedError)
"""Asterisk has answered, and does not take the caller."""


async def transfer(
    context: Context,
    arrival: Arrival,
    leg: str,
    handoff: Handoff,
    variables: dict[str, str],
    limit: asyncio.Timeout | None = None,
) -> None:
    """Transfer the caller; they are gone from us when this returns.

    Raises AsteriskError, also when all the requests together take longer than ``limit``, by default TRANSFER_TIMEOUT_S;
    UnansweredError if only the last one, which moves the caller, has no answer.
    """
    prepare, asked = (_prepare if arrival.seat is None else _prepare_from_seat), False
    try:
        async with limit or asyncio.timeout(TRANSFER_TIMEOUT_S):
            move = await prepare(context, arrival, leg, handoff, variables)
            asked = True
            await move()
    except TimeoutError:
        raise (UnansweredError if asked else AsteriskError)("Asterisk did not take the caller in time") from None
    except REFUSALS:
        raise
    except AsteriskError as error:
        if asked:
            raise UnansweredError(str(error), remedy=error.remedy) from None
        raise


async def _prepare(context: Context, arrival: Arrival, leg: str, handoff: Handoff, variables: dict[str, str]) -> Move:
    # A leg that took the place of another one need not have come through the shipped dialplan.
    variables = {**variables, f"__{APP}": context.settings.asterisk.app}
    await asyncio.gather(*(context.ari.set_variable(leg, name, value) for name, value in variables.items()))
    where, extension = handoff.place
    return partial(context.ari.continue_in_dialplan, leg, ari.Place(where, extension, 1))


async def _prepare_from_seat(
    context: Context, arrival: Arrival, leg: str, handoff: Handoff, variables: dict[str, str]
) -> Move:
    """ARI cannot move the queue's caller; the manager interface transfers the party that talks with the seat."""
    if context.ami is None:
        raise AsteriskError("a seat's caller can only be transferred through the manager interface (ami)")
    if not context.ami.connected:
        raise AmiError("not connected to Asterisk's manager interface")
    seat = first_half(arrival)
    caller = await context.ari.get_variable(leg, CALLER)
    if (peers := await _peers(context.ami, seat)) and caller not in peers:
        # A human agent called the seat, and transferred a caller whose channel knows nothing of the seat's queue.
        variables = {**variables, **await _return_variables(context, leg)}
        caller = peers[0]
    if caller:
        actions = (
            context.ami.action("Setvar", Channel=caller, Variable=name, Value=value)
            for name, value in variables.items()
        )
        # These variables may fail: the transfer matters more. If the handoff joins two calls, they must succeed.
        await asyncio.gather(*actions, return_exceptions=not handoff.joins)
    where, extension = handoff.place
    return partial(context.ami.action, "BlindTransfer", Channel=seat, Context=where, Exten=extension)


async def to_human_queue(context: Context, arrival: Arrival) -> bool:
    """Send a seat's caller whom a human agent transferred to the human queue: no dialplan of theirs waits for the seat.

    Returns whether Asterisk took them.
    """
    if context.ami is None:
        return False
    where, extension = HUMAN_QUEUE
    try:
        await context.ami.action("BlindTransfer", Channel=first_half(arrival), Context=where, Exten=extension)
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


async def _return_variables(context: Context, leg: str) -> dict[str, str]:
    """The seat's variables by which a caller whom nobody takes comes back through its queue."""
    values = await asyncio.gather(*(context.ari.get_variable(leg, name) for name in WAYS_BACK))
    return {f"__{name}": value for name, value in zip(WAYS_BACK, values, strict=True)}
