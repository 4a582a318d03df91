"""Whether a model can be used: one session is made and ended."""

import asyncio

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import Event, Fault, SessionFailed, SessionReady
from ariagent.realtime.profile import SessionProfile


async def failure_of(realtime: RealtimeSettings, agent: AgentSettings) -> SessionFailed | None:
    """Why ``agent`` could not have a session there; None: it could."""
    answered: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    def on_event(event: Event) -> None:
        if isinstance(event, SessionReady | SessionFailed) and not answered.done():
            answered.set_result(event)

    client = RealtimeClient(realtime, SessionProfile.of(agent, realtime), on_event)
    running = asyncio.ensure_future(client.run())
    try:
        await asyncio.wait((answered, running), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await client.close()
        running.cancel()
    found = answered.result() if answered.done() else SessionFailed(Fault.SERVER, "the session ended at once")
    return found if isinstance(found, SessionFailed) else None
