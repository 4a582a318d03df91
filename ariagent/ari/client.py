"""Asterisk's REST interface: a small typed client on aioari.

aioari builds its operations from the description that Asterisk itself serves. It has no timeouts, no
reconnection, and puts the password into the URL, where it would reach access logs; so its HTTP side is
ours: the credentials travel in the Authorization header and every request has a bound.
"""

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp
from aioari.client import Client as AioariClient
from aioswagger11.http_client import AsynchronousHttpClient

from ariagent.ari.events import Channel, Place, channel_of
from ariagent.config import AsteriskSettings
from ariagent.errors import AriError, why

HEARTBEAT_S = 10.0
"""Ping interval of the event stream: a dead one is noticed within one and a half of it."""
LATE_ATTEMPT_S = 60.0
"""For so long may Asterisk carry out what it was asked for and did not answer."""
MAX_CONNECTIONS = 8
"""Asterisk's HTTP server queues 10 new connections; one more waits a second for its SYN to be sent again. A request
takes a millisecond or two, so eight at a time are plenty."""
KEEP_ALIVE_S = 10.0
"""Shorter than Asterisk's 15 s, so that it never closes a connection while we write to it."""


class NotFoundError(AriError):
    """The channel, bridge or variable is not there (any more)."""


class ConflictError(AriError):
    """The channel is in a state that does not allow it (mostly: hung up or not in Stasis)."""


NO_CDR = {"CDR_PROP(disable)": "1"}
"""Channel variables at a channel's creation: it has no row of its own among the call detail records."""

_LOAD_DEVICE_STATES = "Load res_stasis_device_state.so and res_ari_device_states.so"

_BY_STATUS: Mapping[int, type[AriError]] = {
    404: NotFoundError,
    409: ConflictError,
    412: ConflictError,
    422: ConflictError,
}


class _Http(AsynchronousHttpClient):  # type: ignore[misc]  # aioswagger11 has no type information
    """aioari's HTTP side with our bounds, our authentication and our errors."""

    def __init__(self, settings: AsteriskSettings) -> None:
        self.authenticator = None
        self.websockets: set[aiohttp.ClientWebSocketResponse] = set()
        credentials = f"{settings.user}:{settings.password.get_secret_value()}"
        self.session = aiohttp.ClientSession(
            headers={"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"},
            timeout=aiohttp.ClientTimeout(total=settings.request_timeout_s),
            connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S),
        )
        self._settings = settings
        self.stream_open = asyncio.Event()
        self.gave_up_at: float | None = None
        """When an attempt to open the stream was last given up; it may still be carried out."""

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        where = f"{method} {url.partition('/ari/')[2] or url}"
        try:
            response = await self.session.request(method, url, params=params, data=data, headers=headers)
            if response.status < 400:
                await response.read()
                return response
            text = " ".join((await response.text(errors="replace"))[:200].split())
        except TimeoutError:
            limit = self._settings.request_timeout_s
            raise AriError(f"Asterisk did not answer {where} within {limit:g} s") from None
        except aiohttp.ClientError as error:
            remedy = "Is Asterisk running, and is its HTTP server enabled (http.conf) at asterisk.url?"
            raise AriError(f"cannot reach Asterisk at {self._settings.url}: {why(error)}", remedy=remedy) from None
        if response.status in (401, 403):
            remedy = "Check asterisk.user and asterisk.password against ari.conf"
            raise AriError(f"Asterisk refused {where}: HTTP {response.status}", remedy=remedy)
        raise _BY_STATUS.get(response.status, AriError)(f"Asterisk refused {where}: HTTP {response.status} {text}")

    async def ws_connect(self, url: str, params: Mapping[str, str] | None = None) -> aiohttp.ClientWebSocketResponse:
        timeout = self._settings.request_timeout_s
        try:
            async with asyncio.timeout(timeout):
                socket = await self.session.ws_connect(url, params=params, heartbeat=HEARTBEAT_S)
        except (aiohttp.ClientError, TimeoutError) as error:
            said = why(error)
            if isinstance(error, TimeoutError):
                said, self.gave_up_at = "timed out", asyncio.get_running_loop().time()
            raise AriError(f"cannot open Asterisk's event stream: {said}") from None
        self.websockets.add(socket)
        self.stream_open.set()
        return socket


class AriClient:
    """Requests to one Asterisk, and its event stream. Use as an async context manager.

    Every method raises AriError (NotFoundError, ConflictError) and returns within
    ``asterisk.request_timeout_s``.
    """

    def __init__(self, settings: AsteriskSettings) -> None:
        self.settings = settings
        self._client: AioariClient | None = None
        self._http: _Http | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def connect(self) -> str:
        """Read Asterisk's description of its interface; returns Asterisk's version."""
        http = _Http(self.settings)
        client = AioariClient(self.settings.url.rstrip("/") + "/", http)
        try:
            async with asyncio.timeout(4 * self.settings.request_timeout_s):
                await client.init()
        except BaseException as error:
            await http.close()
            if isinstance(error, AriError | asyncio.CancelledError) and not isinstance(error, NotFoundError):
                raise
            remedy = "Is asterisk.url the base URL of Asterisk's HTTP server (without /ari)?"
            kind, cause = (NotFoundError, error) if isinstance(error, NotFoundError) else (AriError, repr(error))
            raise kind(f"{self.settings.url} does not describe an ARI: {cause}", remedy=remedy) from None
        self._client, self._http = client, http
        return str(await self._ask("asterisk", "getInfo", "system", "version", only="system"))

    async def run(self, on_message: Callable[[dict[str, Any]], None]) -> None:
        """Receive the application's events until the stream ends. ``on_message`` must not block or raise."""
        client = self._connected()
        client.event_listeners.clear()
        client.on_event("*", on_message)
        try:
            await client.run(self.settings.app)
        except (ValueError, TypeError, RecursionError) as error:
            # aioari does not survive a message that is no event.
            raise AriError(f"Asterisk's event stream broke: {error!r}") from None
        finally:
            if self._http is not None:
                self._http.stream_open.clear()

    @property
    def listening(self) -> bool:
        """Whether the event stream is open: calls can come in."""
        return self._http is not None and self._http.stream_open.is_set()

    @property
    def may_be_overtaken(self) -> bool:
        """Whether an attempt of ours to open the stream may still be carried out, and take it from us."""
        gave_up_at = None if self._http is None else self._http.gave_up_at
        return gave_up_at is not None and asyncio.get_running_loop().time() - gave_up_at < LATE_ATTEMPT_S

    async def stream_opened(self) -> None:
        """Wait until the event stream is open."""
        if self._http is not None:
            await self._http.stream_open.wait()

    async def close(self) -> None:
        client, self._client, self._http = self._client, None, None
        if client is not None:
            await client.close()

    def _connected(self) -> AioariClient:
        if self._client is None:
            raise AriError("not connected to Asterisk")
        return self._client

    async def _call(self, resource: str, operation: str, **parameters: Any) -> Any:
        client = self._connected()
        run = getattr(client.swagger.resources[resource], operation)
        # aioari refuses what is given as None.
        response = await run(**{name: value for name, value in parameters.items() if value is not None})
        if response.status != 200:
            return None
        try:
            return await response.json()
        except (aiohttp.ClientError, ValueError, RecursionError) as error:
            raise AriError(f"Asterisk answered {operation} with something else than JSON: {error!r}") from None

    async def _ask(self, resource: str, operation: str, *keys: str, **parameters: Any) -> Any:
        """As ``_call``, for one value of the answer."""
        found = await self._call(resource, operation, **parameters)
        for key in keys:
            if not isinstance(found, dict) or key not in found:
                raise AriError(f"Asterisk's answer to {operation} has no {'.'.join(keys)}")
            found = found[key]
        return found

    # -- channels ---------------------------------------------------------------------------------

    async def answer(self, channel_id: str) -> None:
        await self._call("channels", "answer", channelId=channel_id)

    async def hang_up(self, channel_id: str, reason: str = "normal") -> None:
        await self._call("channels", "hangup", channelId=channel_id, reason=reason)

    async def continue_in_dialplan(self, channel_id: str, place: Place | None = None) -> None:
        """Let the channel leave Stasis and go on behind ``Stasis()``, or at ``place``."""
        where: dict[str, Any] = {}
        if place is not None:
            where = {"context": place.context, "extension": place.extension, "priority": place.priority}
        await self._call("channels", "continueInDialplan", channelId=channel_id, **where)

    async def get_variable(self, channel_id: str, name: str) -> str:
        """A channel variable or function; an empty string where it is not set."""
        try:
            return str(await self._ask("channels", "getChannelVar", "value", channelId=channel_id, variable=name))
        except NotFoundError as error:
            if "variable" in str(error).lower().partition("http 404")[2]:
                return ""
            raise

    async def set_variable(self, channel_id: str, name: str, value: str) -> None:
        await self._call("channels", "setChannelVar", channelId=channel_id, variable=name, value=value)

    async def external_media(self, channel_id: str, *, host: str, connection: str, format_name: str) -> None:
        """Have Asterisk connect an AudioSocket channel with this preset id to ``host`` (host:port)."""
        await self._call(
            "channels",
            "externalMedia",
            channelId=channel_id,
            app=self.settings.app,
            external_host=host,
            encapsulation="audiosocket",
            transport="tcp",
            format=format_name,
            data=connection,
            variables=NO_CDR,
        )

    async def originate(
        self,
        channel_id: str,
        *,
        endpoint: str,
        caller_id: str,
        timeout_s: int,
        originator: str | None = None,
        other_id: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Call ``endpoint``; the channel enters our application when it is answered. ``originator``: the channel on
        whose behalf; ``other_id``: of the second half, when the endpoint is a Local one."""
        await self._call(
            "channels",
            "originate",
            channelId=channel_id,
            endpoint=endpoint,
            app=self.settings.app,
            callerId=caller_id,
            timeout=timeout_s,
            originator=originator,
            otherChannelId=other_id,
            variables=dict(variables) if variables else None,
        )

    async def play(self, channel_id: str, playback_id: str, sound: str) -> None:
        """Play a file (a path without ending) to a channel; ``PlaybackEnded`` follows."""
        await self._call("channels", "playWithId", channelId=channel_id, playbackId=playback_id, media=f"sound:{sound}")

    async def send_digits(self, channel_id: str, digits: str) -> None:
        await self._call("channels", "sendDTMF", channelId=channel_id, dtmf=digits)

    # -- bridges ----------------------------------------------------------------------------------

    async def create_bridge(self, bridge_id: str) -> None:
        await self._call("bridges", "createWithId", bridgeId=bridge_id, type="mixing", name="ariagent")

    async def add_to_bridge(self, bridge_id: str, *channel_ids: str) -> None:
        await self._call("bridges", "addChannel", bridgeId=bridge_id, channel=",".join(channel_ids))

    async def destroy_bridge(self, bridge_id: str) -> None:
        await self._call("bridges", "destroy", bridgeId=bridge_id)

    # -- device states ----------------------------------------------------------------------------

    async def device_state(self, name: str) -> str:
        """``NOT_INUSE``, ``UNAVAILABLE`` and so on."""
        try:
            return str(await self._ask("deviceStates", "get", "state", deviceName=name))
        except (KeyError, AttributeError):
            raise AriError("this Asterisk's ARI has no deviceStates.get", remedy=_LOAD_DEVICE_STATES) from None

    async def set_device_state(self, name: str, state: str) -> None:
        """Set a ``Custom:`` state, as the dialplan does: ARI's own request takes ``Stasis:`` states only."""
        await self._call("asterisk", "setGlobalVar", variable=f"DEVICE_STATE({name})", value=state)

    # -- the application --------------------------------------------------------------------------

    async def application(self) -> tuple[list[str], list[str]]:
        """Ids of the channels and of the bridges that are in our application now."""
        try:
            found = await self._ask("applications", "get", applicationName=self.settings.app)
            return list(found["channel_ids"]), list(found["bridge_ids"])
        except NotFoundError:
            return [], []
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to applications.get has no channel_ids and bridge_ids") from None

    async def tell_application(self, name: str) -> None:
        """Have Asterisk send an event of this name to whoever it takes for our application: ourselves, if all is well.

        On the stream it is a ``ChannelUserevent`` with ``eventname``.
        """
        try:
            await self._call("events", "userEvent", eventName=name, application=self.settings.app)
        except (KeyError, AttributeError):
            raise AriError("this Asterisk's ARI has no events.userEvent") from None

    async def registered(self) -> tuple[int, int] | None:
        """How many channels and bridges our application has; None when Asterisk does not know it.

        It does while a process serves it, and after that process died for as long as something is left in it.
        """
        try:
            found = await self._ask("applications", "get", applicationName=self.settings.app)
            return len(found["channel_ids"]), len(found["bridge_ids"])
        except NotFoundError:
            return None
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to applications.get has no channel_ids and bridge_ids") from None

    async def channel(self, channel_id: str) -> Channel:
        """What Asterisk knows of a channel now."""
        found = await self._call("channels", "get", channelId=channel_id)
        try:
            return channel_of(found)
        except (KeyError, TypeError, ValueError):
            raise AriError("Asterisk's answer to channels.get is no channel") from None

    async def channel_name(self, channel_id: str) -> str:
        return str(await self._ask("channels", "get", "name", channelId=channel_id))
