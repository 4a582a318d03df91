"""Asterisk's REST interface: a small typed client on aioari.

aioari builds its operations from the description that Asterisk itself serves. It has no timeouts, no
reconnection, and puts the password into the URL, where it would reach access logs; so its HTTP side is
ours: the credentials travel in the Authorization header and every request has a bound.

The description names the URL that Asterisk believes to be reached by: plain ``http``, without a proxy's path. aioari
would send the password there. So it never sees that URL: every request goes below ``asterisk.url``.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aiohttp
from aioari.client import Client as AioariClient
from aioswagger11.http_client import AsynchronousHttpClient

from ariagent.ari.connection import in_between, no_stream, redirected, session, unreachable
from ariagent.ari.events import Channel, Place, channel_of
from ariagent.ari.refusals import DENIALS, denial, no_ari
from ariagent.config import AsteriskSettings
from ariagent.errors import AriError, InternalError, why

HEARTBEAT_S = 10.0
"""Ping interval of the event stream: a dead one is noticed within one and a half of it."""
LATE_ATTEMPT_S = 60.0
"""Seconds for which Asterisk may still carry out a request that it did not answer."""
MAX_CONNECTIONS = 8
"""Asterisk's HTTP server queues 10 new connections; one more waits a second for its SYN to be sent again. A request
takes a millisecond or two, so eight at a time are plenty."""
KEEP_ALIVE_S = 10.0
"""Shorter than Asterisk's 15 s, so that it never closes a connection while we write to it."""


class RefusedError(AriError):
    """Asterisk answered a request, and did not do it."""


class NotFoundError(RefusedError):
    """The channel, bridge or variable is not there (any more)."""


class DeniedError(AriError):
    """Asterisk refuses the login or the request: its configuration or ariagent's settings must change."""


class ConflictError(RefusedError):
    """The channel is in a state that does not allow it (mostly: hung up or not in Stasis)."""


TRIAL_PREFIX = "ariagent-trial-"
"""Prefix of the id of a channel that only tries something. Such a channel belongs to no call, and was not left behind
by one."""
SEPARATOR = "\x1f"
"""Stands between the values of several variables: Asterisk's own texts, and those that it filtered, never hold it."""
NO_CDR = {"CDR_PROP(disable)": "1"}
"""Channel variables at a channel's creation: it has no row of its own among the call detail records."""

_LOAD_DEVICE_STATES = "Run `ariagent install`, which loads res_stasis_device_state.so and res_ari_device_states.so"

_BY_STATUS: Mapping[int, type[RefusedError]] = {
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
        self.base = f"{settings.url}/ari"
        self.session = session(settings, limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
        self._settings = settings
        self.described = False
        """Whether Asterisk has answered: a request that gets no answer from then on is looked into no further."""
        self.stream_open = asyncio.Event()
        self.gave_up_at: float | None = None
        """When an attempt to open the stream was last given up; it may still be carried out."""
        self.read_only = asyncio.Event()
        """Set when Asterisk refused to change something because we may only read."""
        self.server = ""
        """Name of the server that answered last, as it sent it."""

    async def request(
        self,
        method: str,
        url: str,
        params: Mapping[str, str] | None = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> aiohttp.ClientResponse:
        where = f"{method} {url.removeprefix(self.base)[1:]}"
        self._guard(url)
        try:
            response = await self.session.request(
                method,
                url,
                params=params,
                data=data,
                headers=headers,
                allow_redirects=False,
                server_hostname=self._settings.tls_name,
            )
            self.server = response.headers.get("Server", "")
            if response.status < 300:
                await response.read()
                return response
            text = " ".join((await response.text(errors="replace"))[:200].split())
        except TimeoutError:
            limit = self._settings.request_timeout_s
            raise AriError(f"Asterisk did not answer {where} within {limit:g} s") from None
        except aiohttp.ClientError as error:
            raise await unreachable(self._settings, error, look_closer=not self.described) from None
        if response.status < 400:
            raise redirected(self._settings, response.status, response.headers.get("Location", ""))
        if response.status in DENIALS:
            writes = method != "GET"
            if writes and response.status == 403:
                self.read_only.set()
            cause, remedy = denial(response.status, self._settings, writes=writes, server=self.server)
            raise DeniedError(cause, remedy=remedy)
        if (proxy := in_between(self._settings, response.status, text, self.server)) is not None:
            raise proxy
        raise _BY_STATUS.get(response.status, RefusedError)(f"Asterisk refused {where}: HTTP {response.status} {text}")

    async def ws_connect(self, url: str, params: Mapping[str, str] | None = None) -> aiohttp.ClientWebSocketResponse:
        timeout = self._settings.request_timeout_s
        self._guard(url.replace("ws", "http", 1))
        try:
            async with asyncio.timeout(timeout):
                socket = await self.session.ws_connect(
                    url, params=params, heartbeat=HEARTBEAT_S, server_hostname=self._settings.tls_name
                )
        except aiohttp.WSServerHandshakeError as error:
            raise no_stream(error.status) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            said = why(error)
            if isinstance(error, TimeoutError):
                said, self.gave_up_at = "timed out", asyncio.get_running_loop().time()
            raise AriError(f"cannot open Asterisk's event stream: {said}") from None
        self.websockets.add(socket)
        self.stream_open.set()
        return socket

    def _guard(self, url: str) -> None:
        """Whatever asks: the password goes nowhere else."""
        if not url.startswith(f"{self.base}/"):
            raise InternalError("a request would leave asterisk.url")

    async def description(self) -> dict[str, Any]:
        """Asterisk's complete description of its interface, with ariagent's own URL in it."""
        listing = await self._page("resources.json")
        for resource in listing["apis"]:
            page = str(resource["path"]).replace("{format}", "json").removeprefix("/api-docs/")
            resource["api_declaration"] = {**await self._page(page), "basePath": self.base}
        self.described = True
        return {**listing, "basePath": self.base}

    async def _page(self, name: str) -> dict[str, Any]:
        return dict(await (await self.request("GET", f"{self.base}/api-docs/{name}")).json())


def _shown(error: BaseException) -> str:
    """An error for the log. aiohttp's own ``repr`` has the request's headers, and the password in them."""
    return error.message if isinstance(error, aiohttp.ClientResponseError) else repr(error)


class AriClient:
    """Requests to one Asterisk, and its event stream. Use as an async context manager.

    Every method raises AriError (NotFoundError, DeniedError, ConflictError) and returns within
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
        client = AioariClient(f"{self.settings.url}/", http)
        try:
            async with asyncio.timeout(4 * self.settings.request_timeout_s):
                client.swagger.url = await http.description()
                await client.init()
        except BaseException as error:
            await http.close()
            if isinstance(error, AriError | asyncio.CancelledError) and not isinstance(error, NotFoundError):
                raise
            what = "HTTP 404" if isinstance(error, NotFoundError) else _shown(error)
            cause, remedy = no_ari(what, http.server, self.settings)
            raise AriError(cause, remedy=remedy) from None
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
            raise AriError(f"Asterisk's event stream broke: {_shown(error)}") from None
        finally:
            if self._http is not None:
                self._http.stream_open.clear()

    @property
    def listening(self) -> bool:
        """Whether the event stream is open: calls can come in."""
        return self._http is not None and self._http.stream_open.is_set()

    async def check_rights(self) -> None:
        """Have a channel hung up that does not exist, which changes nothing. Raises DeniedError where we may only read.

        A service that may only read must not open the event stream: callers would enter and could never be sent on.
        """
        self._connected()
        assert self._http is not None
        self._http.read_only.clear()
        with suppress(NotFoundError):
            await self.hang_up(f"ariagent-rights-{uuid4()}")

    async def became_read_only(self) -> None:
        """Return once Asterisk has refused to change something because we may only read."""
        if self._http is not None:
            await self._http.read_only.wait()

    @property
    def may_be_overtaken(self) -> bool:
        """Whether an earlier attempt to open the stream may still be carried out, and replace this one."""
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
            raise AriError(f"Asterisk answered {operation} with something else than JSON: {_shown(error)}") from None

    async def _ask(self, resource: str, operation: str, *keys: str, **parameters: Any) -> Any:
        """Send a request like ``_call`` and return one value of the answer."""
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
        """Let the channel leave Stasis and continue behind ``Stasis()``, or at ``place``."""
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

    async def get_variables(self, channel_id: str, names: Iterable[str]) -> dict[str, str]:
        """Variables and functions by name, with one request; an empty string where one is not set. Raises AriError.

        For short texts without control characters. A function that Asterisk does not have counts as not set.
        """
        wanted = tuple(names)
        together = SEPARATOR.join(f"${{{name}}}" for name in wanted)
        try:
            # EVAL substitutes once, so that nothing in a value is obeyed (source: funcs/func_strings.c).
            values = (await self.get_variable(channel_id, f"EVAL({together})")).split(SEPARATOR)
        except NotFoundError:
            raise
        except RefusedError:  # func_strings is not loaded
            values = []
        if len(values) != len(wanted):
            values = await asyncio.gather(*(self.get_variable(channel_id, name) for name in wanted))
        return dict(zip(wanted, values, strict=True))

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
        format_name: str | None = None,
    ) -> None:
        """Call ``endpoint``; the channel enters our application when it is answered. ``originator``: the channel on
        whose behalf; ``other_id``: of the second half, when the endpoint is a Local one. ``format_name``: its audio,
        where there is no originator; without either a Local channel has Asterisk's widest, slin192."""
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
            formats=format_name,
        )

    async def play(self, channel_id: str, playback_id: str, sound: str, digits: str = "") -> None:
        """Play a file (a path without ending), and then spoken digits, to a channel; ``PlaybackEnded`` follows."""
        media = f"sound:{sound}" + (f",digits:{digits}" if digits else "")
        await self._call("channels", "playWithId", channelId=channel_id, playbackId=playback_id, media=media)

    async def stop_playing(self, playback_id: str) -> None:
        """End what ``play`` began; ``PlaybackEnded`` follows."""
        await self._call("playbacks", "stop", playbackId=playback_id)

    async def snoop(self, channel_id: str, snoop_id: str) -> None:
        """Have Asterisk make a channel that hears what comes from this one; it enters our application."""
        await self._call(
            "channels", "snoopChannelWithId", channelId=channel_id, snoopId=snoop_id, spy="in", app=self.settings.app
        )

    async def send_digits(self, channel_id: str, digits: str) -> None:
        await self._call("channels", "sendDTMF", channelId=channel_id, dtmf=digits)

    # -- bridges ----------------------------------------------------------------------------------

    async def create_bridge(self, bridge_id: str) -> None:
        await self._call("bridges", "createWithId", bridgeId=bridge_id, type="mixing", name=self._bridge_name)

    async def bridges_made(self) -> list[str]:
        """Ids of the bridges that this application has made. Asterisk counts a bridge among those of the application
        only when a channel has been in it."""
        try:
            return [
                str(each["id"]) for each in await self._look("bridges", "list") if each["name"] == self._bridge_name
            ]
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to bridges.list is not a list of bridges") from None

    @property
    def _bridge_name(self) -> str:
        return f"ariagent/{self.settings.app}"

    async def add_to_bridge(self, bridge_id: str, *channel_ids: str) -> None:
        await self._call("bridges", "addChannel", bridgeId=bridge_id, channel=",".join(channel_ids))

    async def destroy_bridge(self, bridge_id: str) -> None:
        await self._call("bridges", "destroy", bridgeId=bridge_id)

    # -- device states ----------------------------------------------------------------------------

    async def device_state(self, name: str) -> str:
        """The state of a device, such as ``NOT_INUSE``. ``Local/EXTEN@CONTEXT`` is ``INVALID`` if the dialplan lacks
        it."""
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
        """Have Asterisk send an event of this name to the holder of the application: this service, if all is well.

        On the stream it is a ``ChannelUserevent`` with ``eventname``.
        """
        try:
            await self._call("events", "userEvent", eventName=name, application=self.settings.app)
        except (KeyError, AttributeError):
            raise AriError("this Asterisk's ARI has no events.userEvent") from None

    async def registered(self) -> tuple[int, int] | None:
        """The number of channels and bridges of the application; None if Asterisk does not know it.

        It does while a process serves it, and after that process died for as long as something is left in it.
        """
        try:
            found = await self._ask("applications", "get", applicationName=self.settings.app)
            return len(found["channel_ids"]), len(found["bridge_ids"])
        except NotFoundError:
            return None
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to applications.get has no channel_ids and bridge_ids") from None

    # -- looking around -----------------------------------------------------------------------------

    async def channels(self) -> list[Channel]:
        """Every channel of this Asterisk now."""
        try:
            return [channel_of(data) for data in await self._look("channels", "list")]
        except (KeyError, TypeError, ValueError):
            raise AriError("Asterisk's answer to channels.list is not a list of channels") from None

    async def applications(self) -> dict[str, list[str]]:
        """Every Stasis application that Asterisk knows, and the ids of the channels that it is told about."""
        try:
            return {str(data["name"]): list(data["channel_ids"]) for data in await self._look("applications", "list")}
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to applications.list is not a list of applications") from None

    async def endpoints(self) -> list[str]:
        """The names of the PJSIP endpoints: telephones and trunks."""
        try:
            found = await self._look("endpoints", "listByTech", tech="PJSIP")
            return [str(data["resource"]) for data in found]
        except NotFoundError:
            return []  # no chan_pjsip
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to endpoints.listByTech is not a list of endpoints") from None

    async def endpoint_context(self, endpoint: str) -> str:
        """The dialplan context of a PJSIP endpoint's calls; empty where it has none."""
        found = await self._look("asterisk", "getObject", configClass="res_pjsip", objectType="endpoint", id=endpoint)
        try:
            return next((str(each["value"]) for each in found if each["attribute"] == "context"), "")
        except (KeyError, TypeError):
            raise AriError("Asterisk's answer to getObject is not a list of attributes") from None

    async def _look(self, resource: str, operation: str, *keys: str, **parameters: Any) -> Any:
        """Send a request like ``_ask``, for a resource that not every Asterisk has."""
        try:
            return await self._ask(resource, operation, *keys, **parameters)
        except (KeyError, AttributeError):
            raise AriError(f"this Asterisk's ARI has no {resource}.{operation}") from None

    async def channel(self, channel_id: str) -> Channel:
        """Return Asterisk's present data of a channel."""
        found = await self._call("channels", "get", channelId=channel_id)
        try:
            return channel_of(found)
        except (KeyError, TypeError, ValueError):
            raise AriError("Asterisk's answer to channels.get is not a channel") from None

    async def channel_name(self, channel_id: str) -> str:
        return str(await self._ask("channels", "get", "name", channelId=channel_id))
