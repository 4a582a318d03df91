"""Requests to a small ARI on loopback: what is asked for, and what each failure becomes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from ariagent.ari import client as client_module
from ariagent.ari.client import AriClient, ConflictError, DeniedError, NotFoundError, RefusedError
from ariagent.errors import AriError

PATIENCE_S = 20.0


@pytest.fixture
async def client(ari_server: Any) -> AsyncIterator[AriClient]:
    async with AriClient(ari_server.settings()) as client:
        await client.connect()
        ari_server.requests.clear()
        ari_server.queries.clear()
        yield client


class TestConnecting:
    async def test_tells_asterisks_version(self, ari_server: Any) -> None:
        async with AriClient(ari_server.settings()) as client:
            assert await client.connect() == "22.10.1"

    async def test_a_slash_at_the_end_of_the_url_does_not_matter(self, ari_server: Any) -> None:
        async with AriClient(ari_server.settings(url=ari_server.url + "/")) as client:
            assert await client.connect() == "22.10.1"

    async def test_the_password_is_in_the_header_only(self, client: AriClient, ari_server: Any) -> None:
        ari_server.channels["c"] = "PJSIP/x"
        await client.answer("c")
        # The server refuses requests with a key in their URL.
        assert {given.split()[0] for given in ari_server.authorizations} == {"Basic"}

    async def test_a_wrong_password(self, ari_server: Any) -> None:
        async with AriClient(ari_server.settings(password=SecretStr("guess"))) as client:
            with pytest.raises(DeniedError, match="refused user ariagent or its password") as caught:
                await client.connect()
        assert caught.value.remedy.startswith("Compare asterisk.user and asterisk.password with ari.conf")
        assert "guess" not in caught.value.line

    async def test_nobody_listens(self, ari_server: Any) -> None:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        async with AriClient(ari_server.settings(url=f"http://127.0.0.1:{port}")) as client:
            with pytest.raises(AriError, match=f"^cannot reach Asterisk at http://127.0.0.1:{port}: ") as caught:
                await client.connect()
        assert "http.conf" in caught.value.remedy

    async def test_nobody_answers(self, ari_server: Any) -> None:
        ari_server.answers["GET /api-docs/channels.json"] = (200, asyncio.Event().wait)
        async with AriClient(ari_server.settings(request_timeout_s=0.5)) as client:
            with pytest.raises(AriError, match=r"Asterisk did not answer GET api-docs/channels.json within 0.5 s"):
                await client.connect()

    @pytest.mark.parametrize("page", ["", "<html>It works!</html>", "[]", "{}", '{"apis": 3}', '"x"'])
    async def test_another_server_than_asterisk(self, ari_server: Any, page: str) -> None:
        ari_server.answers["GET /api-docs/resources.json"] = (200, page)
        async with AriClient(ari_server.settings()) as client:
            with pytest.raises(AriError, match="answers, but is no ARI") as caught:
                await client.connect()
        assert "asterisk.url" in caught.value.remedy

    async def test_no_ari_at_this_address(self, ari_server: Any) -> None:
        ari_server.answers["GET /api-docs/resources.json"] = (404, "nothing here")
        async with AriClient(ari_server.settings()) as client:
            with pytest.raises(AriError, match="answers, but is no ARI") as caught:
                await client.connect()
        assert "HTTP 404" in str(caught.value)

    async def test_a_user_who_may_only_read_has_a_remedy_of_its_own(self, client: AriClient, ari_server: Any) -> None:
        await client.check_rights()
        ari_server.read_only = True
        reading = asyncio.ensure_future(client.became_read_only())
        with pytest.raises(DeniedError, match=r"the ARI user ariagent is read-only: .* \(HTTP 403\)") as caught:
            await client.check_rights()
        assert caught.value.remedy.startswith("Set read_only = no under [ariagent] in ari.conf")
        await asyncio.wait_for(reading, PATIENCE_S)
        # It is not taken for one any more once that is mended.
        ari_server.read_only = False
        await client.check_rights()
        reading = asyncio.ensure_future(client.became_read_only())
        await asyncio.sleep(0)
        assert not reading.done()
        reading.cancel()

    async def test_before_it_every_request_is_an_error(self, ari_server: Any) -> None:
        async with AriClient(ari_server.settings()) as client:
            with pytest.raises(AriError, match="not connected"):
                await client.answer("c")
            with pytest.raises(AriError, match="not connected"):
                await client.run(lambda message: None)
            assert not client.listening

    async def test_after_the_end_every_request_is_an_error(self, client: AriClient) -> None:
        await client.close()
        await client.close()
        with pytest.raises(AriError, match="not connected"):
            await client.answer("c")


class TestRequests:
    """One each: method, path and query."""

    async def check(self, ari_server: Any, request: str, **query: str) -> None:
        assert ari_server.requests == [request]
        assert ari_server.queries == [query]

    @pytest.fixture(autouse=True)
    def there(self, ari_server: Any) -> None:
        ari_server.channels["17.1"] = "PJSIP/x"
        ari_server.bridges.append("b")

    async def test_answer(self, client: AriClient, ari_server: Any) -> None:
        await client.answer("17.1")
        await self.check(ari_server, "POST /channels/17.1/answer")

    async def test_hang_up(self, client: AriClient, ari_server: Any) -> None:
        await client.hang_up("17.1")
        await self.check(ari_server, "DELETE /channels/17.1", reason="normal")

    async def test_hang_up_with_a_reason(self, client: AriClient, ari_server: Any) -> None:
        await client.hang_up("17.1", "busy")
        await self.check(ari_server, "DELETE /channels/17.1", reason="busy")

    async def test_continue(self, client: AriClient, ari_server: Any) -> None:
        await client.continue_in_dialplan("17.1")
        await self.check(ari_server, "POST /channels/17.1/continue")

    async def test_set_variable(self, client: AriClient, ari_server: Any) -> None:
        await client.set_variable("17.1", "ARIAGENT_RESULT", "no model & more")
        await self.check(
            ari_server, "POST /channels/17.1/variable", variable="ARIAGENT_RESULT", value="no model & more"
        )

    async def test_get_variable(self, client: AriClient, ari_server: Any) -> None:
        ari_server.variables["17.1", "CHANNEL(linkedid)"] = "17.0"
        assert await client.get_variable("17.1", "CHANNEL(linkedid)") == "17.0"
        await self.check(ari_server, "GET /channels/17.1/variable", variable="CHANNEL(linkedid)")

    async def test_several_variables_with_one_request(self, client: AriClient, ari_server: Any) -> None:
        ari_server.variables |= {("17.1", "CHANNEL(linkedid)"): "17.0", ("17.1", "A"): "${B}", ("17.1", "B"): "b"}
        wanted = ("CHANNEL(linkedid)", "A", "NONE", "B")
        found = {"CHANNEL(linkedid)": "17.0", "A": "${B}", "NONE": "", "B": "b"}
        assert await client.get_variables("17.1", wanted) == found
        assert ari_server.requests.count("GET /channels/17.1/variable") == 1

    async def test_several_variables_where_asterisk_has_no_eval(self, client: AriClient, ari_server: Any) -> None:
        asked: list[str] = []

        async def answer() -> dict[str, str]:
            asked.append(ari_server.queries[-1]["variable"])
            return {"value": "same"}

        ari_server.answers["GET /channels/17.1/variable"] = (200, answer)
        assert await client.get_variables("17.1", ("A", "B")) == {"A": "same", "B": "same"}
        assert asked[1:] == ["A", "B"]

    async def test_get_a_variable_that_is_not_set(self, client: AriClient) -> None:
        assert await client.get_variable("17.1", "ARIAGENT_AGENT") == ""

    async def test_get_a_variable_of_a_channel_that_is_gone(self, client: AriClient) -> None:
        with pytest.raises(NotFoundError, match="Channel not found"):
            await client.get_variable("17.2", "ARIAGENT_AGENT")

    async def test_external_media(self, client: AriClient, ari_server: Any) -> None:
        await client.external_media("m-1", host="127.0.0.1:9092", connection="uuid-1", format_name="slin24")
        await self.check(
            ari_server,
            "POST /channels/externalMedia",
            channelId="m-1",
            app="ariagent",
            external_host="127.0.0.1:9092",
            encapsulation="audiosocket",
            transport="tcp",
            format="slin24",
            data="uuid-1",
        )
        assert ari_server.bodies[-1] == {"variables": {"CDR_PROP(disable)": "1"}}

    async def test_originate(self, client: AriClient, ari_server: Any) -> None:
        ari_server.answers["POST /channels"] = (200, {"id": "o-1"})
        await client.originate("o-1", endpoint="PJSIP/1001", caller_id="AI <7000>", timeout_s=30)
        await self.check(
            ari_server,
            "POST /channels",
            channelId="o-1",
            endpoint="PJSIP/1001",
            app="ariagent",
            callerId="AI <7000>",
            timeout="30",
        )

    async def test_send_digits(self, client: AriClient, ari_server: Any) -> None:
        await client.send_digits("17.1", "12#")
        await self.check(ari_server, "POST /channels/17.1/dtmf", dtmf="12#")

    async def test_bridges(self, client: AriClient, ari_server: Any) -> None:
        await client.create_bridge("b2")
        await client.add_to_bridge("b2", "17.1", "m-1")
        await client.destroy_bridge("b2")
        assert ari_server.requests == ["POST /bridges/b2", "POST /bridges/b2/addChannel", "DELETE /bridges/b2"]
        assert ari_server.queries == [{"type": "mixing", "name": "ariagent/ariagent"}, {"channel": "17.1,m-1"}, {}]

    async def test_the_bridges_it_has_made(self, client: AriClient, ari_server: Any) -> None:
        ari_server.empty_bridges |= {"e": "ariagent/ariagent", "another's": "ariagent/other", "a site's": ""}
        assert await client.bridges_made() == ["b", "e"]
        ari_server.answers["GET /bridges"] = (200, {"message": "no list"})
        with pytest.raises(AriError, match="not a list of bridges"):
            await client.bridges_made()

    async def test_the_application(self, client: AriClient) -> None:
        assert await client.application() == (["17.1"], ["b"])

    async def test_an_application_that_asterisk_does_not_know_is_empty(
        self, client: AriClient, ari_server: Any
    ) -> None:
        ari_server.answers["GET /applications/ariagent"] = (404, {"message": "Application not found"})
        assert await client.application() == ([], [])

    async def test_a_channels_name(self, client: AriClient) -> None:
        assert await client.channel_name("17.1") == "PJSIP/x"


class TestFailures:
    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (404, NotFoundError),
            (409, ConflictError),
            (412, ConflictError),
            (422, ConflictError),
            (400, RefusedError),
            (500, RefusedError),
        ],
    )
    async def test_a_refusal_says_what_and_why(
        self, client: AriClient, ari_server: Any, status: int, error: type[AriError]
    ) -> None:
        ari_server.answers["POST /channels/c/answer"] = (status, '{"message":"Channel not in Stasis application"}')
        with pytest.raises(
            AriError, match=f"Asterisk refused POST channels/c/answer: HTTP {status} .*not in"
        ) as caught:
            await client.answer("c")
        assert type(caught.value) is error

    async def test_a_forbidden_request_points_at_the_user(self, client: AriClient, ari_server: Any) -> None:
        ari_server.answers["POST /channels/c/answer"] = (403, "read only")
        with pytest.raises(AriError, match="HTTP 403") as caught:
            await client.answer("c")
        assert "ari.conf" in caught.value.remedy

    async def test_a_long_refusal_is_cut(self, client: AriClient, ari_server: Any) -> None:
        ari_server.answers["POST /channels/c/answer"] = (500, "x" * 100_000)
        with pytest.raises(AriError) as caught:
            await client.answer("c")
        assert len(str(caught.value)) < 400

    async def test_a_request_has_a_bound(self, ari_server: Any) -> None:
        async with AriClient(ari_server.settings(request_timeout_s=1.0)) as client:
            await client.connect()
            ari_server.answers["POST /channels/c/answer"] = (204, asyncio.Event().wait)
            with pytest.raises(AriError, match="did not answer POST channels/c/answer within 1 s"):
                await client.answer("c")

    async def test_one_slow_request_does_not_hold_the_others_up(self, client: AriClient, ari_server: Any) -> None:
        ari_server.channels["d"] = "PJSIP/d"
        go_on = asyncio.Event()
        ari_server.answers["POST /channels/c/answer"] = (204, go_on.wait)
        slow = asyncio.ensure_future(client.answer("c"))
        await ari_server.until(lambda: ari_server.asked("POST /channels/c/answer"))
        await client.answer("d")
        assert not slow.done()
        go_on.set()
        await asyncio.wait_for(slow, PATIENCE_S)

    async def test_a_connection_that_is_cut_off(self, ari_server: Any) -> None:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65_536)  # TLS too, which is tried next
            writer.transport.abort()

        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AriClient(ari_server.settings(url=url)) as client:
            with pytest.raises(AriError, match=r"^cannot reach Asterisk"):
                await client.connect()
        server.close()
        await server.wait_closed()

    async def test_an_answer_that_is_cut_off(self, client: AriClient, ari_server: Any) -> None:
        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(65_536)  # TLS too, which is tried next
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with AriClient(ari_server.settings(url=url)) as other:
            with pytest.raises(AriError, match=r"^cannot reach Asterisk"):
                await other.connect()
        server.close()
        await server.wait_closed()

    @pytest.mark.parametrize("body", ["", "no JSON", "[]", "{}", '{"name"', "3", "null"])
    async def test_an_answer_that_is_none(self, client: AriClient, ari_server: Any, body: str) -> None:
        for path in ("channels/c", "channels/c/variable", "applications/ariagent"):
            ari_server.answers[f"GET /{path}"] = (200, body)
        with pytest.raises(AriError, match="answer"):
            await client.channel_name("c")
        with pytest.raises(AriError, match="answer"):
            await client.get_variable("c", "X")
        with pytest.raises(AriError, match="answer"):
            await client.application()

    @pytest.mark.parametrize("body", ['{"system": 3}', "{}", "[]"])
    async def test_a_version_that_is_none(self, ari_server: Any, body: str) -> None:
        ari_server.answers["GET /asterisk/info"] = (200, body)
        async with AriClient(ari_server.settings()) as client:
            with pytest.raises(AriError, match=r"answer to getInfo has no system\.version"):
                await client.connect()


class TestStream:
    async def test_every_event_of_the_application_arrives_in_order(self, client: AriClient, ari_server: Any) -> None:
        got: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        running = asyncio.ensure_future(client.run(got.put_nowait))
        await asyncio.wait_for(client.stream_opened(), PATIENCE_S)
        assert client.listening
        assert ari_server.queries[-1] == {"app": "ariagent"}
        for number in range(3):
            await ari_server.emit({"type": "StasisEnd", "number": number})
        numbers = [(await asyncio.wait_for(got.get(), PATIENCE_S))["number"] for _ in range(3)]
        assert numbers == [0, 1, 2]
        await ari_server.drop()
        await asyncio.wait_for(running, PATIENCE_S)
        assert not client.listening

    async def test_a_listener_that_raises_does_not_end_it(self, client: AriClient, ari_server: Any) -> None:
        got: asyncio.Queue[str] = asyncio.Queue()

        def listener(message: dict[str, Any]) -> None:
            if message["type"] == "bad":
                raise ZeroDivisionError("a bug of ours")
            got.put_nowait(message["type"])

        running = asyncio.ensure_future(client.run(listener))
        await asyncio.wait_for(client.stream_opened(), PATIENCE_S)
        for kind in ("bad", "good"):
            await ari_server.emit({"type": kind})
        assert await asyncio.wait_for(got.get(), PATIENCE_S) == "good"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    @pytest.mark.parametrize("text", ["no JSON", "[]", "3", '{"kind": "x"}', "[" * 100_000])
    async def test_text_that_is_no_event_is_a_loss(self, client: AriClient, ari_server: Any, text: str) -> None:
        running = asyncio.ensure_future(client.run(lambda message: None))
        await ari_server.until(lambda: bool(ari_server.streams))
        await ari_server.emit(text)
        with pytest.raises(AriError, match="event stream broke"):
            await asyncio.wait_for(running, PATIENCE_S)
        assert not client.listening

    async def test_that_is_refused(self, client: AriClient, ari_server: Any) -> None:
        ari_server.answers["GET /events"] = (503, "shutting down")
        with pytest.raises(AriError, match=r"^cannot open Asterisk's event stream: "):
            await client.run(lambda message: None)
        assert not client.listening

    async def test_that_is_not_opened_in_time(self, ari_server: Any) -> None:
        async with AriClient(ari_server.settings(request_timeout_s=1.0)) as client:
            await client.connect()
            ari_server.answers["GET /events"] = (200, asyncio.Event().wait)
            with pytest.raises(AriError, match=r"^cannot open Asterisk's event stream: timed out"):
                await client.run(lambda message: None)

    async def test_a_second_run_does_not_hear_twice(self, client: AriClient, ari_server: Any) -> None:
        got: list[str] = []
        for number in range(2):
            running = asyncio.ensure_future(client.run(lambda message: got.append(message["type"])))
            await asyncio.wait_for(client.stream_opened(), PATIENCE_S)
            await ari_server.emit({"type": f"run {number}"})
            await ari_server.drop()
            await asyncio.wait_for(running, PATIENCE_S)
        assert got == ["run 0", "run 1"]

    async def test_the_end_of_the_client_ends_it(self, client: AriClient, ari_server: Any) -> None:
        running = asyncio.ensure_future(client.run(lambda message: None))
        await asyncio.wait_for(client.stream_opened(), PATIENCE_S)
        await asyncio.wait_for(client.close(), PATIENCE_S)
        await asyncio.wait_for(running, PATIENCE_S)
        await ari_server.until(lambda: not ari_server.streams)

    async def test_a_peer_that_is_gone_is_noticed(
        self, client: AriClient, ari_server: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client_module, "HEARTBEAT_S", 0.2)
        running = asyncio.ensure_future(client.run(lambda message: None))
        await asyncio.wait_for(client.stream_opened(), PATIENCE_S)
        await ari_server.until(lambda: bool(ari_server.streams))
        ari_server.streams[0]._req.transport.pause_reading()  # no ping is read or answered any more
        await asyncio.wait_for(running, PATIENCE_S)
        assert not client.listening
