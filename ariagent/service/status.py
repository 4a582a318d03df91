"""The pages of the service about itself at ``http.port``: ``/metrics`` and ``/healthz``."""

import json
import time
from collections.abc import Callable

from aiohttp import web

from ariagent.cached import Cached
from ariagent.config import Settings
from ariagent.hosts import HostNames
from ariagent.redaction import Redaction, secrets_of
from ariagent.service.health import Health

METRICS_S = 1.0
"""The age up to which metrics are answered again: making them takes some milliseconds of the calls' time."""
HEALTH_S = 0.1
"""The age up to which the health is answered again: with a thousand seats it takes as long to make as metrics."""


def pages(
    metrics: Callable[[], bytes],
    health: Callable[[], Health],
    settings: Callable[[], Settings],
    *,
    everything: Callable[[web.Request], bool],
    hosts: HostNames | None = None,
    now: Callable[[], float] = time.monotonic,
) -> web.Application:
    """Both pages. Each is asked for what it shows when it is shown.

    ``everything``: whether this client may read peers' words in ``/healthz``; others read that a part has failed.
    ``hosts``: the names under which the pages are served; None: under every name. ``now``: a monotonic clock.
    """
    cached_metrics, cached_health = Cached(metrics, METRICS_S), Cached(health, HEALTH_S)
    hidden: tuple[Settings, Redaction] | None = None

    def redaction() -> Redaction:
        nonlocal hidden
        present = settings()
        if hidden is None or hidden[0] is not present:
            hidden = present, Redaction(secrets_of(present))
        return hidden[1]

    def for_this_name(request: web.Request) -> None:
        if hosts is not None and not hosts.permit(request.headers.getall("Host", [])):
            raise web.HTTPMisdirectedRequest(
                text="the header Host does not name this service; ask for localhost, or set http.allowed_hosts\n"
            )

    async def answer_metrics(request: web.Request) -> web.Response:
        for_this_name(request)
        return web.Response(body=cached_metrics.get(now()), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def answer_health(request: web.Request) -> web.Response:
        for_this_name(request)
        found = cached_health.get(now())
        # Peers' words are in it, and they may say what they were sent.
        text = redaction()(json.dumps(found.json(everything=everything(request))))
        return web.json_response(text=text, status=found.status)

    app = web.Application()
    app.router.add_get("/metrics", answer_metrics)
    app.router.add_get("/healthz", answer_health)
    return app
