"""Beside an Asterisk that speaks TLS, and behind a reverse proxy with a path: calls, and every way to get it wrong."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from aiohttp import web
from pydantic import SecretStr

from ariagent.ami.client import AmiClient
from ariagent.ari.client import AriClient
from ariagent.config import AmiSettings, AsteriskSettings
from ariagent.errors import AsteriskError, ConfigurationError
from lab import ports
from lab.asterisk import AsteriskInstance
from lab.packages import default_lab_dir, ensure_asterisk
from tests import forked

pytestmark = pytest.mark.asterisk

LIMIT_S = 60.0
NAME = "pbx.example.test"
AGENT = {"opening": "Good day.", "machines": "ignore"}


@dataclass(frozen=True, slots=True)
class Secured:
    """An Asterisk with TLS beside the plain ports, and what is needed to trust it."""

    asterisk: AsteriskInstance
    https_port: int
    ami_port: int
    ca_file: Path

    def ari(self, **changes: Any) -> dict[str, Any]:
        """The section ``asterisk``."""
        return {
            "url": f"https://127.0.0.1:{self.https_port}",
            "user": self.asterisk.ari_user,
            "password": self.asterisk.ari_password,
            "ca_file": str(self.ca_file),
            "tls_name": NAME,
            "request_timeout_s": LIMIT_S,
            **changes,
        }

    def ami(self, **changes: Any) -> dict[str, Any]:
        """The section ``ami``."""
        secured = {"port": self.ami_port, "tls": True, "ca_file": str(self.ca_file), "tls_name": NAME}
        return {**self.asterisk.ami, **secured, "request_timeout_s": LIMIT_S, **changes}


def instance(folder: Path, authority: Any, *, expired: bool = False) -> Secured:
    """One that is not started yet."""
    made = authority.issue(NAME, expired=expired)
    https_port, ami_port = ports.free_tcp_port(), ports.free_tcp_port()
    certificate = f"tlscertfile = {made.chain}\ntlsprivatekey = {made.key}\n"
    additions = {
        f"{name}.conf": f"[general](+)\ntlsenable = yes\ntlsbindaddr = 127.0.0.1:{port}\n{certificate}"
        for name, port in (("http", https_port), ("manager", ami_port))
    }
    program = ensure_asterisk(default_lab_dir())
    return Secured(AsteriskInstance(program, folder, additions=additions), https_port, ami_port, authority.file)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, make_authority: Any) -> Iterator[Secured]:
    made = instance(tmp_path_factory.mktemp("asterisk"), make_authority())
    asyncio.run(made.asterisk.start())
    yield made
    asyncio.run(made.asterisk.stop())


@pytest.fixture(scope="module")
def asterisk(secured: Secured) -> AsteriskInstance:
    """The one that services, phones and everything else here are for."""
    return secured.asterisk


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["7000", pytest.param("7001", marks=pytest.mark.long)])
async def test_a_call_with_both_interfaces_over_tls(
    number: str, secured: Secured, sandbox: Any, service: Any, dial: Any, sound: Any, log: Any
) -> None:
    running = await service(await sandbox(), agent=AGENT, asterisk=secured.ari(), ami=secured.ami())
    assert running.ami.connected
    call, hearing = await dial(number)
    await hearing.utterance()
    await call.play(sound.tone(0.4))
    await hearing.utterance(after=hearing.spoke_until())
    await call.hangup()
    assert (await log.wait("call.ended"))["reason"] == "caller_hung_up"


async def test_a_call_behind_a_proxy_with_a_path(
    secured: Secured, sandbox: Any, service: Any, dial: Any, log: Any, make_authority: Any
) -> None:
    authority = make_authority()
    async with reverse_proxy(secured.asterisk.ari_url, authority.issue("127.0.0.1").server()) as (url, asked):
        section = secured.ari(url=url, ca_file=str(authority.file), tls_name=None)
        await service(await sandbox(), agent=AGENT, asterisk=section)
        call, hearing = await dial("7001")
        await hearing.utterance()
        await call.hangup()
        await log.wait("call.ended")
        assert "GET /ari/events" in asked
        assert [one for one in asked if one.startswith("POST /ari/channels/externalMedia")]


@asynccontextmanager
async def reverse_proxy(goal: str, tls: Any) -> AsyncIterator[tuple[str, list[str]]]:
    """Its URL, which has a path, and the requests that it passed on, event streams too."""
    asked: list[str] = []

    async def pass_on(request: web.Request) -> web.StreamResponse:
        if not request.path.startswith("/pbx/"):
            return web.Response(status=404)
        path = request.raw_path.removeprefix("/pbx")
        asked.append(f"{request.method} {path.partition('?')[0]}")
        headers = {"Authorization": request.headers["Authorization"]}
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await pass_stream_on(request, f"{goal}{path}", headers)
        if kind := request.headers.get("Content-Type"):
            headers["Content-Type"] = kind
        async with session.request(
            request.method, f"{goal}{path}", headers=headers, data=await request.read()
        ) as answer:
            kinds = {"Content-Type": answer.headers["Content-Type"]} if "Content-Type" in answer.headers else {}
            return web.Response(status=answer.status, body=await answer.read(), headers=kinds)

    async def pass_stream_on(request: web.Request, url: str, headers: dict[str, str]) -> web.StreamResponse:
        async with session.ws_connect(url, headers=headers) as behind:
            before = web.WebSocketResponse()
            await before.prepare(request)
            async for message in behind:
                await before.send_str(message.data)
            return before

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    async with aiohttp.ClientSession() as session:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        try:
            yield f"https://127.0.0.1:{runner.addresses[0][1]}/pbx", asked
        finally:
            await runner.cleanup()


# -- what is wrong, and what is said of it -----------------------------------------------------------------------------


async def ari_error(section: dict[str, Any]) -> AsteriskError:
    settings = AsteriskSettings.model_validate({**section, "password": SecretStr(section["password"])})
    async with AriClient(settings) as client:
        with pytest.raises(AsteriskError) as caught:
            await client.connect()
    return caught.value


async def ami_error(section: dict[str, Any]) -> AsteriskError:
    client = AmiClient(AmiSettings.model_validate(section))
    with pytest.raises(AsteriskError) as caught:
        async with asyncio.timeout(LIMIT_S):
            await client.connection()
    return caught.value


async def test_a_certificate_that_nobody_trusts(secured: Secured, other_authority: Any) -> None:
    for ca_file in (None, str(other_authority.file)):
        said = await ari_error(secured.ari(ca_file=ca_file))
        assert " is not trusted: " in str(said)
        assert "asterisk.ca_file" in said.remedy
        said = await ami_error(secured.ami(ca_file=ca_file))
        assert " is not trusted: " in str(said)
        assert "ami.ca_file" in said.remedy


async def test_a_certificate_for_another_name(secured: Secured) -> None:
    for name in (None, "other.example.test"):
        said = await ari_error(secured.ari(tls_name=name))
        assert " is for another name: " in str(said)
        assert "asterisk.tls_name" in said.remedy
        said = await ami_error(secured.ami(tls_name=name))
        assert " is for another name: " in str(said)
        assert "ami.tls_name" in said.remedy


async def test_a_certificate_that_has_expired(tmp_path: Path, authority: Any) -> None:
    made = instance(tmp_path / "asterisk", authority, expired=True)
    async with made.asterisk:
        assert str(await ari_error(made.ari())).endswith(" has expired")
        assert str(await ami_error(made.ami())).endswith(" has expired")


async def test_tls_where_there_is_none_and_none_where_there_is(secured: Secured) -> None:
    plain, tls = secured.asterisk.http_port, secured.https_port
    no_tls = {"ca_file": None, "tls_name": None}
    said = await ari_error(secured.ari(url=f"https://127.0.0.1:{plain}"))
    assert str(said) == f"127.0.0.1:{plain} does not speak TLS"
    assert said.remedy.startswith("Write http:// in asterisk.url")
    said = await ari_error(secured.ari(url=f"http://127.0.0.1:{tls}", **no_tls))
    assert str(said) == f"127.0.0.1:{tls} speaks TLS, and asterisk.url is plain http"
    assert said.remedy.startswith("Write https:// in asterisk.url")
    plain, tls = secured.asterisk.ami_port, secured.ami_port
    said = await ami_error(secured.ami(port=plain))
    assert str(said) == f"127.0.0.1:{plain} does not speak TLS"
    assert said.remedy.startswith("Set ami.tls to false")
    said = await ami_error(secured.ami(port=tls, tls=False, **no_tls))
    assert str(said) == f"127.0.0.1:{tls} speaks TLS, and ami.tls is false"
    assert said.remedy.startswith("Set ami.tls to true")


async def test_each_interface_at_the_other_ones_port(secured: Secured) -> None:
    no_tls = {"ca_file": None, "tls_name": None}
    said = await ari_error(secured.ari(url=f"http://127.0.0.1:{secured.asterisk.ami_port}", **no_tls))
    assert "is Asterisk's manager interface, not its HTTP server" in str(said)
    assert str(await ami_error(secured.ami(port=secured.https_port))) == (
        "not a manager interface: an HTTP server answered"
    )


async def test_a_ca_file_that_is_not_there(secured: Secured, tmp_path: Path) -> None:
    async with AriClient(AsteriskSettings.model_validate(secured.ari(ca_file=str(tmp_path / "none")))) as client:
        with pytest.raises(ConfigurationError, match=r"^asterisk\.ca_file: "):
            await client.connect()


async def test_check_says_what_is_wrong(secured: Secured, tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{secured.asterisk.http_port}"
    outcome, other = await asyncio.gather(
        check(tmp_path, "plain", asterisk=secured.ari(url=url), ami=secured.ami()),
        check(tmp_path, "name", asterisk=secured.ari(), ami=secured.ami(tls_name=None)),
    )
    assert outcome["asterisk"] == ("failed", f"127.0.0.1:{secured.asterisk.http_port} does not speak TLS")
    assert outcome["manager"][0] == "ok"
    assert other["asterisk"][0] == other["ARI description"][0] == other["audio connection"][0] == "ok"
    assert other["manager"][0] == "failed"
    assert " is for another name: " in other["manager"][1]


async def check(folder: Path, name: str, **sections: Any) -> dict[str, tuple[str, str]]:
    """Status and finding by name (the last of each) of ``ariagent check``."""
    tree = {"audiosocket": {"port": 0}, "realtime": {"url": "ws://127.0.0.1:9", "api_key": "test"}, "http": {"port": 0}}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({**tree, "state_directory": str(folder), **sections}))
    words, environment = ("check", "--json", "-c", str(path)), {**os.environ, "COLUMNS": "200"}
    # Both checks run at once, and on a busy machine an audio connection may take longer than a check waits.
    patient = {"ariagent.check.trial.STEP_LIMIT_S": LIMIT_S}
    _, out, err = await forked.ariagent(*words, environment=environment, changed=patient, limit_s=4 * LIMIT_S)
    assert "Traceback" not in err
    return {each["check"]: (each["status"], each["found"]) for each in json.loads(out)["results"]}
