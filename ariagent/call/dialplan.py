"""Gives a channel back to the dialplan, which sends the caller to the human queue."""

import asyncio
from collections.abc import Callable

from ariagent.ari.client import AriClient, ConflictError, NotFoundError
from ariagent.ari.events import Place
from ariagent.errors import AriError
from ariagent.termination import Result

PAUSES_S = (0.2, 1.0, 3.0)
"""Seconds before each further try: a channel that has just taken another's place may not be there yet (409), and some
versions of Asterisk are known to stall for a while."""


async def give_back(
    ari: AriClient,
    channel_id: str,
    result: Result,
    place: Place | None = None,
    *,
    served: Callable[[], bool] = lambda: False,
) -> None:
    """Let the channel leave Stasis with ARIAGENT_RESULT set; it continues at ``place``, or where it came from.

    A channel that is gone, or has left Stasis for good, is fine. One that has left may come in again as a new call:
    ``served`` says so, before each try. Raises AriError when Asterisk refuses again and again: the caller is stuck.
    """
    for pause in (*PAUSES_S, None):
        if served():
            return
        try:
            await _once(ari, channel_id, result, place)
        except NotFoundError:
            return  # hung up meanwhile
        except AriError as error:
            if pause is None:
                if isinstance(error, ConflictError):
                    return
                raise
            await asyncio.sleep(pause)
        else:
            return


async def _once(ari: AriClient, channel_id: str, result: Result, place: Place | None) -> None:
    try:
        await ari.set_variable(channel_id, "ARIAGENT_RESULT", result.value)
    except (NotFoundError, ConflictError):
        raise
    except AriError:
        # To continue matters more than to say why: without a result the dialplan sends the caller to the human queue.
        pass
    await ari.continue_in_dialplan(channel_id, place)
