"""A call's talking side gives everything back at its end."""

import asyncio
import gc
import logging
import time
import weakref
from pathlib import Path

from ariagent.ari.client import AriClient
from ariagent.ari.listener import Router
from ariagent.audio.format import AudioFormat
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.call.admission import Admission
from ariagent.call.briefs import Briefs
from ariagent.call.context import Context, Role
from ariagent.call.prompts import Prompts
from ariagent.call.talk import Talk
from ariagent.config import Settings
from ariagent.logs import CallLog
from ariagent.metrics import Metrics
from ariagent.realtime.endpoints import Endpoints
from ariagent.records.journal import Journal
from ariagent.records.spending import Spending
from ariagent.tools.plugins import CallFacts
from ariagent.tools.toolbox import Toolbox

FORMAT = AudioFormat(24_000)


async def test_an_ended_call_does_not_wait_for_the_collector_of_cycles(tmp_path: Path) -> None:
    """Each holds seconds of audio, so many would be left in a service that has little else to collect."""
    settings = Settings.model_validate({"realtime": {"url": "ws://127.0.0.1:9/", "api_key": "none"}})
    metrics = Metrics()
    toolbox = Toolbox(settings)
    context = Context(
        settings=settings,
        ari=AriClient(settings.asterisk),
        router=Router(lambda _: None),
        media=AudioSocketServer(),
        media_address="127.0.0.1:9",
        format=FORMAT,
        metrics=metrics,
        prompts=Prompts(tmp_path, settings.realtime, FORMAT),
        briefs=Briefs(tmp_path / "briefs", FORMAT),
        endpoints=Endpoints(settings.realtime),
        toolbox=toolbox,
        journal=Journal(tmp_path, settings.records, None),
        spending=Spending(settings.cost, 0.0, metrics.used),
        admission=Admission(settings),
    )
    role = Role(settings.agents["default"], "Be brief.", CallFacts("1.1", "default", "", "", "en"))
    gc.collect()
    gc.disable()
    try:
        log = CallLog(logging.getLogger(__name__), "1.1")
        talk = Talk(context, role, feed=lambda _: None, log=log, began=time.monotonic())
        running = asyncio.create_task(talk.run())
        talk.hear()
        talk.begin()
        for n in range(60):
            talk.audio_received(bytes(FORMAT.frame_bytes), n / 50)
            talk.frame_due(n / 50)
        await talk.close()
        talk.account()
        running.cancel()
        await asyncio.wait([running])
        kept = weakref.ref(talk)
        del talk, running
        assert kept() is None
    finally:
        gc.enable()
        await toolbox.close()
