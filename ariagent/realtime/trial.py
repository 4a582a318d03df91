"""Whether a model can be used: one session is made and ended. Where there is a doubt, it has to say a word, too."""

import asyncio

from ariagent.config import AgentSettings, RealtimeSettings
from ariagent.realtime.client import RealtimeClient
from ariagent.realtime.dialect import Understanding
from ariagent.realtime.duration import USE_PCM, not_spoken
from ariagent.realtime.events import Event, Fault, OutOfBandEnded, SessionFailed, SessionReady
from ariagent.realtime.profile import SessionProfile

WORD = "Say only this one word: yes."
WORDS = "Say only these words: {}"
COUNTED = "one, two, three, four, five."
"""Long enough to tell speech from noise."""
NOTHING = "the model was asked to say a word, and said nothing"


async def failure_of(
    realtime: RealtimeSettings,
    agent: AgentSettings,
    *,
    speaks: bool = False,
    understanding: Understanding | None = None,
) -> tuple[SessionFailed | None, OutOfBandEnded | None]:
    """Why ``agent`` could not have a session there (None: it could), and what it said, if it had to.

    It has to if it was silent before (``speaks``), and where G.711 may be acknowledged and not spoken. Findings about
    the server's dialect are added to ``understanding``.
    """
    doubted = g711_doubted(realtime)
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Event] = loop.create_future()

    def on_event(event: Event) -> None:
        match event:
            case SessionReady() if speaks or doubted:
                client.session.say_out_of_band("trial", WORDS.format(COUNTED) if doubted else WORD, alone=True)
                client.flush()
                loop.call_later(realtime.stall_timeout_s, on_event, SessionFailed(Fault.SILENT, NOTHING))
            case SessionReady() | SessionFailed() | OutOfBandEnded() if not answered.done():
                answered.set_result(event)

    client = RealtimeClient(realtime, SessionProfile.of(agent, realtime), on_event, understanding)
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
        case OutOfBandEnded() as said:
            failure = unheard(said, client.session.profile)
            if failure is not None and failure.fault is Fault.REQUEST and understanding is not None:
                # No caller is to hear it, wherever they come from.
                understanding.found("g711", failure.cause)
            return failure, said
    return None, None


def g711_doubted(realtime: RealtimeSettings) -> bool:
    """Whether the server may acknowledge G.711, and speak something else."""
    return realtime.encoding != "pcm" and not realtime.is_openai


def unheard(said: OutOfBandEnded, profile: SessionProfile) -> SessionFailed | None:
    """Why a caller would not have heard what the model said when it was to speak ``COUNTED`` or a word."""
    if not said.audio:
        return SessionFailed(Fault.SILENT, NOTHING)
    ms = len(said.audio) / profile.bytes_per_ms
    cause = not_spoken(profile.encoding, ms, said.transcript or COUNTED, profile.agent.language, profile.agent.speed)
    return SessionFailed(Fault.REQUEST, cause, USE_PCM) if cause else None
