"""The HTTP server of the control API: tokens, bodies, answers. The actions are in ``supervision``."""

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ValidationError

from ariagent import __version__, complaints
from ariagent.control import schemas
from ariagent.control.auth import Denied, Gate, Grant
from ariagent.control.errors import RefusedError
from ariagent.control.events import Feed
from ariagent.control.openapi import document
from ariagent.control.routes import EVENT_STREAM, ROUTES, Route
from ariagent.control.supervision import Supervision
from ariagent.hosts import HostNames
from ariagent.lograte import LineBudget

log = logging.getLogger(__name__)

LARGEST_BODY = 16 * 1024
"""Bytes."""
BODY_LIMIT_S = 10.0
"""Time limit for a request's body, in seconds."""
WRITE_LIMIT_S = 10.0
"""Time limit for a reader of events to take what it was sent, in seconds."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_WORDS = {400: "bad_request", 404: "unknown_path", 405: "wrong_method", 413: "too_large"}


@cache
def _document() -> bytes:
    return json.dumps(document(ROUTES, __version__)).encode()


class Api:
    """Answers requests. ``now`` is a monotonic clock."""

    def __init__(
        self,
        supervision: Supervision,
        feed: Feed,
        gate: Gate,
        hosts: HostNames,
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supervision = supervision
        self._feed = feed
        self._gate = gate
        self._hosts = hosts
        self._lines = LineBudget()
        self._now = now

    def application(self) -> web.Application:
        """The routes of ``ROUTES``, each behind its role."""
        app = web.Application(middlewares=[_in_json], client_max_size=LARGEST_BODY)
        for route in ROUTES:
            app.router.add_route(route.method, route.path, self._guarded(route, getattr(self, f"_{route.name}")))
        return app

    def _guarded(self, route: Route, handler: Callable[..., Awaitable[Any]]) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            given: list[object] = [request]
            if route.role is not None:
                given.append(self._authenticated(request, route))
            if route.body is not None:
                given.append(await _body(request, route.body))
            result = await handler(*given)
            if isinstance(result, web.StreamResponse):
                return result
            status = 202 if isinstance(result, schemas.TransferAnswer) and result.state == "under_way" else 200
            data = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
            return web.json_response(data, status=status)

        return answer

    def _authenticated(self, request: web.Request, route: Route) -> Grant:
        """Raises RefusedError."""
        now = self._now()
        found = judged(self._gate, request, now)
        if isinstance(found, Denied):
            self._for_this_name(request)
            raise self._denied(found, request, now)
        assert route.role is not None
        if found.role < route.role:
            fields = {"by": found.name, "name": route.name}
            log.warning("control.forbidden", extra={"fields": fields})
            needed = route.role.name.lower()
            reason = f"{found.name} has the role {found.role.name.lower()}; this needs the role {needed} or higher"
            raise RefusedError(403, "wrong_role", reason)
        return found

    def _for_this_name(self, request: web.Request) -> None:
        """Without a token: a foreign web page is answered nothing. Raises RefusedError.

        With a right one it does not matter by which name a reverse proxy calls us.
        """
        if not self._hosts.permit(request.headers.getall("Host", [])):
            cause = "the header Host does not name this service"
            raise RefusedError(421, "wrong_host", cause, remedy="Send the request to localhost")

    def _denied(self, denied: Denied, request: web.Request, now: float) -> RefusedError:
        if not denied.wrong:
            remedy = "Send the header Authorization: Bearer TOKEN"
            return RefusedError(401, "no_token", "a token is needed", remedy=remedy)
        if denied.wait_s > 0:
            seconds = math.ceil(denied.wait_s)
            reason = f"too many wrong tokens came from {denied.address}, and this one is wrong; wait {seconds} s"
            return RefusedError(429, "slow_down", reason, retry_after_s=seconds)
        if (unlogged := self._lines.take(now)) is not None:
            fields = {"address": denied.address, "path": request.path[:200]}
            log.warning(
                "control.wrong_token", extra={"fields": {**fields, **({"unlogged": unlogged} if unlogged else {})}}
            )
        return RefusedError(401, "wrong_token", "unknown token", remedy="See control.tokens in the settings")

    # -- one for each route, named as it is --------------------------------------------------------

    async def _calls(self, request: web.Request, grant: Grant) -> schemas.CallsAnswer:
        return self._supervision.calls()

    async def _call(self, request: web.Request, grant: Grant) -> schemas.CallAnswer:
        return self._supervision.call(request.match_info["id"])

    async def _transfer(self, request: web.Request, grant: Grant, body: schemas.TransferBody) -> schemas.TransferAnswer:
        return await self._supervision.transfer(request.match_info["id"], body, grant.name)

    async def _whisper(self, request: web.Request, grant: Grant, body: schemas.WhisperBody) -> schemas.WhisperAnswer:
        return self._supervision.whisper(request.match_info["id"], body.text, grant.name, now=body.now)

    async def _queues(self, request: web.Request, grant: Grant) -> schemas.QueuesAnswer:
        return self._supervision.queues()

    async def _seats(self, request: web.Request, grant: Grant) -> schemas.SeatsAnswer:
        return self._supervision.seats()

    async def _pause(self, request: web.Request, grant: Grant, body: schemas.SeatsBody) -> schemas.PausedAnswer:
        return await self._set_pause(grant, body, paused=True)

    async def _resume(self, request: web.Request, grant: Grant, body: schemas.SeatsBody) -> schemas.PausedAnswer:
        return await self._set_pause(grant, body, paused=False)

    async def _set_pause(self, grant: Grant, body: schemas.SeatsBody, *, paused: bool) -> schemas.PausedAnswer:
        answer = await self._supervision.pause(body.seat, paused=paused)
        log.info(
            "control.seats_changed", extra={"fields": {"by": grant.name, "seat": body.seat or "all", "paused": paused}}
        )
        return answer

    async def _drain(self, request: web.Request, grant: Grant, body: schemas.DrainBody) -> schemas.DrainAnswer:
        return self._supervision.drain(body, grant.name)

    async def _openapi(self, request: web.Request) -> web.Response:
        self._for_this_name(request)
        # Made at the first request, and beside the calls: it takes a moment.
        return web.Response(body=await asyncio.to_thread(_document), content_type="application/json", charset="utf-8")

    async def _events(self, request: web.Request, grant: Grant) -> web.StreamResponse:
        reader = self._feed.join(grant.name)
        headers = {"Content-Type": EVENT_STREAM, "Cache-Control": "no-store"}
        headers["X-Accel-Buffering"] = "no"  # for nginx
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
            while (text := await reader.next()) is not None:
                async with asyncio.timeout(WRITE_LIMIT_S):
                    await response.write(text.encode())
        except TimeoutError:
            reader.slow = True
        except ConnectionResetError:
            pass  # the reader has gone, and its connection is being closed
        finally:
            self._feed.leave(reader)
        if reader.slow:
            log.warning("control.slow_reader", extra={"fields": {"by": grant.name, "address": request.remote}})
            if request.transport is not None:
                request.transport.abort()
        return response


def judged(gate: Gate, request: web.Request, now: float) -> Grant | Denied:
    """The address of the client that asks."""
    forwarded = request.headers.getall("X-Forwarded-For", [])
    return gate.judge(request.remote or "", forwarded, request.headers.get("Authorization"), now)


async def _body(request: web.Request, model: type[BaseModel]) -> BaseModel:
    """Raises RefusedError."""
    encoding = ", ".join(request.headers.getall("Content-Encoding", [])).strip().lower()
    if encoding not in ("", "identity"):
        raise RefusedError(415, "packed_body", "the body is compressed", remedy="Send it without Content-Encoding")
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            raw = await request.read()
    except TimeoutError:
        raise RefusedError(408, "too_slow", f"the body did not arrive within {BODY_LIMIT_S:g} s") from None
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        reason = complaints.in_one_line(error, "the body")[:1000]
        known = ", ".join(model.model_fields)
        raise RefusedError(422, "bad_body", reason, remedy=f"A JSON object with: {known}") from None


@web.middleware
async def _in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong, the answer is JSON with a reason."""
    try:
        response = await handler(request)
    except RefusedError as refusal:
        response = _refused(refusal)
    except web.HTTPException as error:
        response = _refused(RefusedError(error.status, _WORDS.get(error.status, "refused"), error.reason))
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except Exception:
        log.exception("control.fault", extra={"fields": {"method": request.method, "path": request.path[:200]}})
        response = _refused(RefusedError(500, "fault", "internal error", remedy="See the service's log"))
    if not response.prepared:
        response.headers.update({"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"})
    return response


def _refused(refusal: RefusedError) -> web.Response:
    headers = {}
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="ariagent"'
    if refusal.retry_after_s:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return web.json_response(
        refusal.body, status=refusal.status, headers=headers, dumps=lambda data: json.dumps(data, ensure_ascii=False)
    )
