"""Has Asterisk transfer a caller so that queue_log shows it as a human agent's transfer."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from ariagent.ami.client import AmiClient
from ariagent.ari import events as ari
from ariagent.ari.client import DeniedError, RefusedError
from ariagent.call.arrival import Arrival
from ariagent.call.context import Context
from ariagent.call.machine import TRANSFER_TIMEOUT_S
from ariagent.call.variables import CALLER, LIMIT_S, PEER, WAYS_BACK
from ariagent.dialogue.handoff import Handoff
from ariagent.errors import AmiError, AmiRefusedError, AsteriskError
from ariagent.pool.owner import APP

HUMAN = ("ariagent-human", "human")
"""Context and extension of the shipped dialplan: the human queue, then the last resort."""
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
    seat = first_half(arrival)
    caller, ways_back = await _caller(context, context.ami, leg, seat)
    # These variables may fail: the transfer matters more. If the handoff joins two calls, they must succeed.
    await _set(context.ami, caller, variables | ways_back, optional=not handoff.joins)
    if not context.ami.connected:
        raise AmiError("not connected to Asterisk's manager interface")
    where, extension = handoff.place
    return partial(context.ami.action, "BlindTransfer", Channel=seat, Context=where, Exten=extension)


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
