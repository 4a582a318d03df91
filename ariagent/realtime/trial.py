"""Whether a model can be used: one session is made and ended; where the model was silent, it has to say a word, too."""

import asyncio

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import AsideEnded, Event, Fault, SessionFailed, SessionReady
from ariagent.realtime.profile import SessionProfile

WORD = "Say only this one word: yes."


async def failure_of(
    realtime: RealtimeSettings, agent: AgentSettings, *, speaks: bool = False
) -> tuple[SessionFailed | None, AsideEnded | None]:
    """Why ``agent`` could not have a session there (None: it could), and what it said, if it had to (``speaks``)."""
    answered: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    def on_event(event: Event) -> None:
        match event:
            case SessionReady() if speaks:
                client.session.say_aside("trial", WORD, alone=True)
                client.flush()
            case SessionReady() | SessionFailed() | AsideEnded() if not answered.done():
                answered.set_result(event)

    client = RealtimeClient(realtime, SessionProfile.of(agent, realtime), on_event)
    running = asyncio.ensure_future(client.run())
    limit_s = realtime.connect_timeout_s + realtime.stall_timeout_s if speaks else None
    try:
        await asyncio.wait((answered, running), timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await client.close()
        running.cancel()
    if not answered.done():
        fault = Fault.SERVER if running.done() else Fault.SILENT
        cause = "the session ended at once" if running.done() else "the model was asked to say a word, and says nothing"
        return SessionFailed(fault, cause), None
    match answered.result():
        case SessionFailed() as failed:
            return failed, None
        case AsideEnded(audio=audio) as said:
            return (None if audio else SessionFailed(Fault.SILENT, "the model answers, and says nothing")), said
    return None, None
