"""Whether a model can be used: one session is made and ended; where the model was silent, it has to say a word, too."""

import asyncio

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.events import AsideEnded, Event, Fault, SessionFailed, SessionReady
from ariagent.realtime.profile import SessionProfile

WORD = "Say only this one word: yes."
NOTHING = "the model was asked to say a word, and said nothing"


async def failure_of(
    realtime: RealtimeSettings, agent: AgentSettings, *, speaks: bool = False
) -> tuple[SessionFailed | None, AsideEnded | None]:
    """Why ``agent`` could not have a session there (None: it could), and what it said, if it had to (``speaks``)."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Event] = loop.create_future()

    def on_event(event: Event) -> None:
        match event:
            case SessionReady() if speaks:
                client.session.say_aside("trial", WORD, alone=True)
                client.flush()
                loop.call_later(realtime.stall_timeout_s, on_event, SessionFailed(Fault.SILENT, NOTHING))
            case SessionReady() | SessionFailed() | AsideEnded() if not answered.done():
                answered.set_result(event)

    client = RealtimeClient(realtime, SessionProfile.of(agent, realtime), on_event)
    running = asyncio.ensure_future(client.run())
    try:
        await asyncio.wait((answered, running), return_when=asyncio.FIRST_COMPLETED)
    finally:
        await client.close()
        running.cancel()
    if not answered.done():
        return SessionFailed(Fault.SERVER, "the session ended at once"), None
    match answered.result():
        case SessionFailed() as failed:
            return failed, None
        case AsideEnded(audio=audio) as said:
            return (None if audio else SessionFailed(Fault.SILENT, NOTHING)), said
    return None, None
