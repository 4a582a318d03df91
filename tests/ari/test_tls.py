"""ARI by https, and behind a path: the password goes to ``asterisk.url`` and nowhere else."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from ariagent.ari.client import AriClient
from ariagent.ari.listener import Router, listen
from ariagent.check.ari import probe
from ariagent.errors import AriError, ConfigurationError
from ariagent.hosts import joined

LIMIT_S = 20.0
VERSION = "22.10.1"


async def refused(server: Any, **settings: Any) -> AriError:
    async with AriClient(server.settings(**settings)) as client:
        with pytest.raises(AriError) as caught:
            await client.connect()
    return caught.value


@pytest.fixture
async def plain_port() -> AsyncIterator[Any]:
    """``(port, what came)``: what would come if anything went by plain http."""
    came: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.read(1000))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], came
    server.close()


class TestGood:
    async def test_everything_goes_by_https_whatever_the_description_says(
        self, make_ari_server: Any, authority: Any, plain_port: Any
    ) -> None:
        port, came = plain_port
        server = await make_ari_server(tls=authority.issue("127.0.0.1").server())
        described = server._describe
        server._describe = lambda page: {**described(page), "basePath": f"http://127.0.0.1:{port}/ari"}
        opened = asyncio.Event()

        async def stream_opened() -> None:
            opened.set()

        async with AriClient(server.settings(ca_file=authority.file)) as client:
            assert await client.connect() == VERSION
            listening = asyncio.create_task(listen(client, Router(lambda event: None), stream_opened))
            async with asyncio.timeout(LIMIT_S):
                await opened.wait()
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
        assert server.asked("GET /api-docs/resources.json", "GET /api-docs/channels.json", "GET /asterisk/info")
        assert server.asked("GET /events")
        assert came == []

    @pytest.mark.parametrize("prefix", ["/asterisk", "/a/ari/b"])
    async def test_behind_a_path(self, make_ari_server: Any, authority: Any, prefix: str) -> None:
        server = await make_ari_server(tls=authority.issue("127.0.0.1").server(), prefix=prefix)
        async with AriClient(server.settings(ca_file=authority.file)) as client:
            assert await client.connect() == VERSION

    async def test_behind_a_path_without_tls(self, make_ari_server: Any) -> None:
        server = await make_ari_server(prefix="/asterisk")
        async with AriClient(server.settings(url=f"{server.url}/")) as client:
            assert await client.connect() == VERSION

    async def test_a_name_that_is_not_the_urls(self, make_ari_server: Any, authority: Any) -> None:
        server = await make_ari_server(tls=authority.issue("pbx.example.test").server())
        async with AriClient(server.settings(ca_file=authority.file, tls_name="pbx.example.test")) as client:
            assert await client.connect() == VERSION
            client_stream = asyncio.create_task(client.run(lambda message: None))
            async with asyncio.timeout(LIMIT_S):
                await client.stream_opened()
            client_stream.cancel()
            with suppress(asyncio.CancelledError):
                await client_stream

    async def test_no_proxy_of_the_environment(
        self, make_ari_server: Any, authority: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        for server in (await make_ari_server(), await make_ari_server(tls=authority.issue("127.0.0.1").server())):
            trust = {"ca_file": authority.file} if server.tls is not None else {}
            async with AriClient(server.settings(**trust)) as client:
                assert await client.connect() == VERSION


class TestBad:
    async def test_a_ca_that_the_machine_does_not_know(self, make_ari_server: Any, authority: Any) -> None:
        server = await make_ari_server(tls=authority.issue("127.0.0.1").server())
        error = await refused(server)
        where = joined("127.0.0.1", server.port)
        assert str(error).startswith(f"the certificate of Asterisk's HTTP server at {where} is not trusted: ")
        assert "asterisk.ca_file" in error.remedy
        assert server.requests == []

    async def test_another_ca(self, make_ari_server: Any, authority: Any, other_authority: Any) -> None:
        server = await make_ari_server(tls=authority.issue("127.0.0.1").server())
        assert "is not trusted" in str(await refused(server, ca_file=other_authority.file))
        assert server.requests == []

    async def test_expired(self, make_ari_server: Any, authority: Any) -> None:
        server = await make_ari_server(tls=authority.issue("127.0.0.1", expired=True).server())
        error = await refused(server, ca_file=authority.file)
        assert str(error).endswith(" has expired")
        assert error.remedy == "Renew it (tlscertfile in http.conf)"

    @pytest.mark.parametrize("tls_name", [None, "other.example.test"])
    async def test_another_name(self, make_ari_server: Any, authority: Any, tls_name: str | None) -> None:
        server = await make_ari_server(tls=authority.issue("pbx.example.test").server())
        error = await refused(server, ca_file=authority.file, tls_name=tls_name)
        assert " is for another name: " in str(error)
        assert (tls_name or "127.0.0.1") in str(error)
        assert "asterisk.tls_name" in error.remedy

    async def test_no_tls_there(self, ari_server: Any) -> None:
        error = await refused(ari_server, url=f"https://127.0.0.1:{ari_server.port}")
        assert str(error) == f"127.0.0.1:{ari_server.port} does not speak TLS"
        assert error.remedy.startswith("Write http:// in asterisk.url, or use the TLS port (tlsbindaddr")

    async def test_tls_where_none_was_meant(self, make_ari_server: Any, authority: Any) -> None:
        server = await make_ari_server(tls=authority.issue("127.0.0.1").server())
        error = await refused(server, url=f"http://127.0.0.1:{server.port}")
        assert str(error) == f"127.0.0.1:{server.port} speaks TLS, and asterisk.url is plain http"
        assert error.remedy.startswith("Write https:// in asterisk.url")

    @pytest.mark.parametrize(
        ("content", "said"), [(None, "cannot be read: No such file"), ("", "holds no certificate"), ("x", "holds no")]
    )
    async def test_a_ca_file_that_is_none(self, ari_server: Any, tmp_path: Path, content: str, said: str) -> None:
        file = tmp_path / "none.pem"
        if content is not None:
            file.write_text(content)
        async with AriClient(ari_server.settings(url="https://127.0.0.1:1", ca_file=file)) as client:
            with pytest.raises(ConfigurationError, match=f"^asterisk.ca_file: {file} {said}"):
                await client.connect()

    async def test_the_manager_interface(self, ari_server: Any) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"Asterisk Call Manager/11.0.0\r\n")
            await reader.read(1)
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        error = await refused(ari_server, url=f"http://127.0.0.1:{port}")
        server.close()
        assert str(error) == f"127.0.0.1:{port} is Asterisk's manager interface, not its HTTP server"


class TestRedirections:
    """A proxy that sends http to https, for instance: the password would follow."""

    async def test_are_not_followed(self, ari_server: Any) -> None:
        followed: list[str] = []

        async def redirect(request: web.Request) -> web.Response:
            if request.path != "/ari/api-docs/resources.json":
                followed.append(request.path)
            raise web.HTTPMovedPermanently(f"https://pbx.example.test{request.path}?api_key=x")

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", redirect)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        error = await refused(ari_server, url=url)
        await runner.cleanup()
        assert str(error) == f"{url} redirects to https://pbx.example.test (HTTP 301), which is not followed"
        assert error.remedy == "Set asterisk.url to the address that answers by itself"
        assert followed == []


PLAIN = "<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>"
NO_CERTIFICATE = "<html><title>400 No required SSL certificate was sent</title></html>"


class TestAProxysOwnAnswers:
    """Certificates as nginx presents them. Both the service and `ariagent check` say what is wrong."""

    @pytest.mark.parametrize(
        ("status", "text", "cause", "remedy"),
        [
            (502, "<html>Bad Gateway</html>", "gets no answer from Asterisk (HTTP 502)", "bindport in http.conf"),
            (503, "<html></html>", "gets no answer from Asterisk (HTTP 503)", "Start Asterisk"),
            (504, "", "gets no answer from Asterisk (HTTP 504)", "Start Asterisk"),
            (400, PLAIN, "is a TLS port, and the URL is plain http", "Write https:// in asterisk.url"),
            (400, NO_CERTIFICATE, "asks for a client certificate", "ssl_verify_client"),
        ],
    )
    async def test_say_what_is_wrong(self, ari_server: Any, status: int, text: str, cause: str, remedy: str) -> None:
        ari_server.server = "nginx/1.22.1"
        for path in ("/api-docs/resources.json", "/asterisk/info"):
            ari_server.answers[f"GET {path}"] = (status, text)
        service = await refused(ari_server)
        async with probe(ari_server.settings()) as checks:
            with pytest.raises(AriError) as check:
                await checks.ask("GET", "asterisk/info")
        for error in (service, check.value):
            assert cause in str(error)
            assert remedy in error.remedy

    @pytest.mark.parametrize("status", [401, 403])
    async def test_a_denial_names_who_is_in_between(self, ari_server: Any, status: int) -> None:
        ari_server.answers["GET /api-docs/resources.json"] = (status, "<html></html>")
        for server, named in (("nginx/1.22.1", True), ("Asterisk/22.10.1", False)):
            ari_server.server = server
            error = await refused(ari_server)
            assert "ari.conf" in error.remedy
            assert ("nginx/1.22.1 is in between" in error.remedy) is named

    async def test_a_page_in_place_of_an_answer_shows_no_password(self, ari_server: Any) -> None:
        """aiohttp's error has the request's headers."""
        ari_server.html.add("/api-docs/resources.json")
        error = await refused(ari_server)
        assert "is no ARI" in str(error)
        secret = b64encode(f"ariagent:{ari_server.password}".encode()).decode()
        assert secret not in error.line
        assert "Authorization" not in error.line
        ari_server.html.clear()
        async with AriClient(ari_server.settings()) as client:
            await client.connect()
            ari_server.html.add("/channels/c1/variable")
            ari_server.channels["c1"] = "PJSIP/c1"
            with pytest.raises(AriError, match="something else than JSON") as caught:
                await client.get_variable("c1", "x")
        assert "Authorization" not in caught.value.line

    async def test_an_event_stream_that_is_not_passed_on(self, ari_server: Any) -> None:
        ari_server.answers["GET /events"] = (426, "<html></html>")
        async with AriClient(ari_server.settings()) as client:
            await client.connect()
            with pytest.raises(AriError) as service:
                await client.run(lambda message: None)
        async with probe(ari_server.settings()) as checks:
            with pytest.raises(AriError) as check:
                async with checks.application("x", lambda message: None):
                    pass
        for error in (service.value, check.value):
            assert str(error) == "cannot open Asterisk's event stream: HTTP 426 in place of a WebSocket"
            assert "Upgrade" in error.remedy
