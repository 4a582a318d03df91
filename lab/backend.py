"""A small business behind the templates' HTTP tools: a calendar, orders, messages; all of it made up, in memory.

    python -m lab.backend          # http://127.0.0.1:8766, as the templates say

Friday's free times are 10:00 and 14:30, other days' 09:30 and 16:00. Orders: 4271 is ready, 1234 is being worked on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer
from aiohttp import web

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
ORDERS = {
    "4271": {"state": "ready to be picked up", "ready_on": "today"},
    "1234": {"state": "in the workshop", "ready_on": "thursday"},
}


class Backend:
    """The business. Bookings and messages are kept in ``bookings`` and ``messages``."""

    def __init__(self) -> None:
        self.bookings: list[dict[str, Any]] = []
        self.messages: list[dict[str, Any]] = []
        self.port = 0
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; ``port`` 0 takes a free one, which is ``self.port`` then. Raises OSError where it cannot."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/appointments/free", self._free),
                web.post("/appointments", self._book),
                web.get("/orders/{number}", self._order),
                web.post("/messages", self._message),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _free(self, request: web.Request) -> web.Response:
        day = request.query.get("day", "").lower()
        if day not in DAYS:
            return web.json_response({"error": f"no such day: {day}"}, status=400)
        return web.json_response({"day": day, "times": self._times(day)})

    def _times(self, day: str) -> list[str]:
        # Bookings are not taken out: any number of callers may rehearse at once.
        return ["10:00", "14:30"] if day == "friday" else ["09:30", "16:00"]

    async def _book(self, request: web.Request) -> web.Response:
        wish = await _json(request)
        day, time = str(wish.get("day", "")).lower(), str(wish.get("time", ""))
        if day not in DAYS or not str(wish.get("name", "")).strip():
            return web.json_response({"error": "day and name are needed"}, status=400)
        if time not in self._times(day):
            return web.json_response({"error": f"{time} is not free on {day}"}, status=409)
        self.bookings.append(wish)
        return web.json_response({"booked": True, "day": day, "time": time, "name": wish["name"]})

    async def _order(self, request: web.Request) -> web.Response:
        order = ORDERS.get(request.match_info["number"])
        if order is None:
            return web.json_response({"error": "there is no such order"}, status=404)
        return web.json_response({"number": request.match_info["number"], **order})

    async def _message(self, request: web.Request) -> web.Response:
        message = await _json(request)
        if not message.get("about") or not message.get("number"):
            return web.json_response({"error": "about and number are needed"}, status=400)
        self.messages.append(message)
        return web.json_response({"kept": True})


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        content = await request.json()
    except json.JSONDecodeError:
        raise web.HTTPBadRequest(text="not JSON") from None
    if not isinstance(content, dict):
        raise web.HTTPBadRequest(text="not an object")
    return content


def main(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one and prints it.")] = 8766,
) -> None:
    """Serve what the templates' tools ask for, on loopback, until told to stop."""

    async def serve() -> None:
        backend = Backend()
        try:
            await backend.start(port=port)
        except OSError as error:
            typer.echo(f"cannot listen on port {port}: {error.strerror}", err=True)
            raise typer.Exit(2) from None
        sys.stdout.write(f"backend listening on http://127.0.0.1:{backend.port}\n")
        sys.stdout.flush()
        try:
            await asyncio.Event().wait()
        finally:
            await backend.close()

    try:
        asyncio.run(serve())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


if __name__ == "__main__":
    typer.run(main)
