"""What the service tells about itself at ``http.port``: ``/metrics`` and ``/healthz``."""

import json
from collections.abc import Callable

from aiohttp import web

from ariagent.config import Settings
from ariagent.health import Health
from ariagent.redaction import Redaction, secrets_of


def pages(
    metrics: Callable[[], bytes], health: Callable[[], Health], settings: Callable[[], Settings]
) -> web.Application:
    """Both pages. Each is asked for what it shows when it is shown."""

    async def answer_metrics(request: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def answer_health(request: web.Request) -> web.Response:
        found = health()
        # Peers' words are in it, and they may say what they were sent.
        redact = Redaction(secrets_of(settings()))
        return web.json_response(text=redact(json.dumps(found.json())), status=found.status)

    app = web.Application()
    app.router.add_get("/metrics", answer_metrics)
    app.router.add_get("/healthz", answer_health)
    return app
