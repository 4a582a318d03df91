"""Requests to a real server that times out, fails, lies, floods and leads astray."""

import asyncio
import hashlib
import hmac
import json
import socket
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

Make = Callable[..., Any]
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def answering(response: Callable[[], web.StreamResponse]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return response()

    return answer


def failing_first(times: int, status: int) -> Answer:
    """Answers with ``status`` so many times, then well."""
    left = [times]

    async def answer(request: web.Request) -> web.StreamResponse:
        left[0] -= 1
        return web.Response(status=status) if left[0] >= 0 else web.json_response({"status": "shipped"})

    return answer


async def cut_off(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class Names(AbstractResolver):
    """Resolves every name to the next of the addresses, and stays with the last."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def error_of(outcome: Any) -> str:
    assert not outcome.ok
    told = json.loads(outcome.output)
    assert set(told) == {"error"}
    return str(told["error"])


class TestWhatIsSent:
    async def test_get_fills_the_url_and_sends_the_rest_as_query(self, site: Any, box: Make) -> None:
        made = box("/order/{number}?lang=en", properties={"detail": {"type": "boolean"}, "parts": {"type": "array"}})
        outcome = await made.call(number="12 ä&b", detail=True, parts=["a=1", 2])
        assert outcome.ok
        assert site.seen[0].raw_path == "/order/12%20%C3%A4%26b?lang=en&detail=true&parts=a%3D1&parts=2"
        assert site.seen[0].body == b""
        assert made.calls == [("order", "ok")]

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    async def test_others_send_the_rest_as_a_json_object(self, site: Any, box: Make, method: str) -> None:
        made = box(method=method, properties={"note": {"type": "string"}, "parts": {"type": "object"}})
        assert (await made.call(number="7", note="für Ann ☎", parts={"a": [1, None]})).ok
        seen = site.seen[0]
        assert (seen.method, seen.raw_path) == (method, "/order/7")
        assert seen.headers["Content-Type"] == "application/json"
        assert json.loads(seen.body) == {"note": "für Ann ☎", "parts": {"a": [1, None]}}

    async def test_delete_sends_the_rest_as_query(self, site: Any, box: Make) -> None:
        assert (await box(method="DELETE", properties={"why": {"type": "string"}}).call(number="7", why="x y")).ok
        assert (site.seen[0].method, site.seen[0].raw_path, site.seen[0].body) == ("DELETE", "/order/7?why=x%20y", b"")

    async def test_headers_with_secrets_are_sent_and_no_cookie_comes_back(self, site: Any, box: Make) -> None:
        async def bake(request: web.Request) -> web.StreamResponse:
            response = web.json_response({})
            response.set_cookie("session", "abc")
            return response

        site.answers["/order/1"] = bake
        made = box(headers={"Authorization": "Bearer s3cret"})
        await made.call(number="1")
        await made.call(number="1")
        assert [seen.headers["Authorization"] for seen in site.seen] == ["Bearer s3cret"] * 2
        assert all("Cookie" not in seen.headers for seen in site.seen)
        assert site.seen[0].headers["User-Agent"].startswith("ariagent/")

    async def test_a_proxy_of_the_environment_is_not_used(
        self, site: Any, box: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        assert (await box().call(number="1")).ok

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_the_signature_verifies(self, site: Any, box: Make, method: str) -> None:
        made = box(method=method, signature={"secret": "shared"}, properties={"note": {"type": "string"}})
        assert (await made.call(number="1", note="ä")).ok
        seen = site.seen[0]
        fields = dict(part.split("=", 1) for part in seen.headers["X-Ariagent-Signature"].split(","))
        signed = fields["t"].encode() + b"." + seen.body
        assert fields["v1"] == hmac.new(b"shared", signed, hashlib.sha256).hexdigest()
        assert abs(time.time() - int(fields["t"])) < 60

    async def test_the_sites_headers_win_however_they_are_written(self, site: Any, box: Make) -> None:
        kind = "application/merge-patch+json"
        headers = {"content-type": kind, "x-signature": "not this"}
        made = box(method="PATCH", headers=headers, signature={"secret": "shared", "header": "X-Signature"})
        assert (await made.call(number="1")).ok
        [seen] = site.seen
        sent = [(name.lower(), value) for name, value in seen.headers.items()]
        assert [value for name, value in sent if name == "content-type"] == [kind]
        assert [value[:2] for name, value in sent if name == "x-signature"] == ["t="]


class TestWhatIsUsedOfTheAnswer:
    async def test_all_of_it(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = answering(lambda: web.json_response({"status": "größer", "n": [1]}))
        assert (await box().call(number="1")).output == '{"status":"größer","n":[1]}'

    async def test_what_the_mapping_names(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = answering(
            lambda: web.json_response({"order": {"items": [{"status": "sent", "secret": 1}]}})
        )
        made = box(answer={"status": "order.items.0.status", "when": "order.when", "none": "order.items.3.status"})
        assert json.loads((await made.call(number="1")).output) == {"status": "sent", "when": None, "none": None}

    async def test_an_answer_with_nothing_of_the_mapping_is_a_failure(self, site: Any, box: Make) -> None:
        outcome = await box(answer={"status": "order.status"}).call(number="1")
        assert outcome.kind == "bad_answer"
        assert "does not hold" in error_of(outcome)

    async def test_no_content_is_a_success(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(status=204))
        assert (await box(method="POST").call(number="1")).output == '{"ok":true}'

    async def test_json_of_a_kind_of_its_own(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(text="[1]", content_type="application/hal+json"))
        assert (await box().call(number="1")).output == "[1]"


PAGE = "<!doctype html><head><style>a{}</style></head><body><h1>Thank&nbsp;you</h1><script>x()</script>Booked.</body>"
OTHERS: dict[str, tuple[int, str, bytes, Any]] = {
    "201 empty": (201, "", b"", {"ok": True}),
    "200 empty": (200, "application/json", b" \r\n", {"ok": True}),
    "202 empty": (202, "", b"", {"ok": True}),
    "204": (204, "", b"", {"ok": True}),
    "205": (205, "text/plain", b"", {"ok": True}),
    "202 JSON": (202, "application/json", b'{"ticket": 7}', {"ticket": 7}),
    "null": (200, "application/json", b"null", {"ok": True}),
    "a number": (200, "application/json", b"4711", 4711),
    "a string": (200, "application/json", b'"booked"', "booked"),
    "JSON without its type": (200, "text/html", b'{"ticket": 7}', {"ticket": 7}),
    "a byte order mark": (200, "application/json", b'\xef\xbb\xbf{"ticket": 7}', {"ticket": 7}),
    "text": (200, "text/plain", b"Booked:\n \x00\x1b[1m 7", {"ok": True, "text": "Booked: [1m 7"}),
    "a web page": (200, "text/html", PAGE.encode(), {"ok": True, "text": "Thank you Booked."}),
    "XML": (200, "application/xml", b"<id>7</id>", {"ok": True, "text": "<id>7</id>"}),
    "broken JSON": (200, "application/json", b'{"a": NaN}', {"ok": True, "text": '{"a": NaN}'}),
    "cut off JSON": (201, "application/json", b'{"a": ', {"ok": True, "text": '{"a":'}),
    "no UTF-8": (200, "text/plain; charset=latin-1", b"gebucht f\xfcr 7", {"ok": True, "text": "gebucht für 7"}),
    "no known encoding": (200, "text/plain; charset=x-none", b"f\xfcr", {"ok": True, "text": "f\ufffdr"}),
    "JSON that is no UTF-8": (200, "application/json", b'{"a": "\xff"}', {"ok": True, "text": '{"a": "\ufffd"}'}),
    "half a character": (200, "application/json", b'"\\ud800"', {"ok": True, "text": '"\\ud800"'}),
    "much": (200, "text/plain", b"x" * 9000, {"ok": True, "text": "x" * 1000 + "..."}),
    "deep": (200, "application/json", b"[" * 9000, {"ok": True, "text": "[" * 1000 + "..."}),
}


class TestOtherThanJson:
    """An action that was done is reported as done: after a failure a model does it again."""

    @pytest.mark.parametrize("method", ["POST", "GET"])
    @pytest.mark.parametrize("name", OTHERS)
    async def test_a_success_is_a_success(self, site: Any, box: Make, name: str, method: str) -> None:
        status, kind, body, told = OTHERS[name]
        headers = {"Content-Type": kind} if kind else {}
        site.answers["/order/1"] = answering(lambda: web.Response(status=status, body=body, headers=headers))
        outcome = await box(method=method).call(number="1")
        assert (outcome.ok, outcome.kind, json.loads(outcome.output)) == (True, "ok", told)

    @pytest.mark.parametrize("body", [b"<html>Booked</html>", b'{"other": 1}', b"[]", b'{"a": '])
    async def test_the_mapping_lets_nothing_else_through(self, site: Any, box: Make, body: bytes) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(status=201, body=body, content_type="text/html"))
        outcome = await box(method="POST", answer={"id": "ticket.id"}).call(number="1")
        assert (outcome.ok, outcome.output) == (True, '{"ok":true}')

    @pytest.mark.parametrize("how", ["too long", "compressed"])
    async def test_what_cannot_be_read_was_done(self, site: Any, box: Make, how: str) -> None:
        headers = {"Content-Encoding": "gzip"} if how == "compressed" else {}
        site.answers["/order/1"] = answering(lambda: web.Response(body=b"x" * 20_000, headers=headers))
        assert (await box(method="POST").call(number="1")).output == '{"ok":true}'

    async def test_303_was_done(self, site: Any, box: Make) -> None:
        elsewhere = {"Location": f"{site.url}/thanks"}
        site.answers["/order/1"] = answering(lambda: web.Response(status=303, headers=elsewhere, text="<p>See"))
        assert (await box(method="POST").call(number="1")).output == '{"ok":true}'
        assert (await box(method="GET").call(number="1")).kind == "redirect"
        assert [seen.raw_path for seen in site.seen] == ["/order/1"] * 2

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            *((status, "was not done") for status in (400, 401, 403, 405, 409, 415, 422, 429, 307, 308)),
            *((status, "may have taken effect") for status in (500, 501, 502, 503, 504, 300, 301, 302)),
        ],
    )
    async def test_others_say_whether_it_was_done(self, site: Any, box: Make, status: int, words: str) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(status=status, headers={"Location": "/x"}))
        assert words in error_of(await box(method="POST").call(number="1"))
        assert words not in error_of(await box(retries=0).call(number="1"))
        assert len(site.seen) == 2

    async def test_what_was_never_sent_was_not_done(self, site: Any, box: Make) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/{{number}}"
            assert "was not done" in error_of(await box(url, method="POST", timeout_s=20).call(number="1"))

        class Never(Names):
            async def resolve(self, *args: Any, **kwargs: Any) -> list[ResolveResult]:
                await asyncio.Event().wait()
                return []

        url = f"http://orders.example.com:{site.port}/{{number}}"
        made = box(url, hosts=("orders.example.com",), resolver=Never("127.0.0.1"), method="POST", timeout_s=0.2)
        assert "was not done" in error_of(await made.call(number="1"))


class TestBadAnswers:
    @pytest.mark.parametrize(("status", "word"), [(400, "refused"), (404, "nothing"), (500, "failed"), (501, "failed")])
    async def test_statuses(self, site: Any, box: Make, status: int, word: str) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(status=status, text="internal: db password is x"))
        outcome = await box().call(number="1")
        assert outcome.kind == "http_status"
        told = error_of(outcome)
        assert str(status) in told
        assert word in told
        assert "password" not in told
        assert len(site.seen) == 1

    @pytest.mark.parametrize("body", [b"<html>Sign in</html>", b"", b'{"other": 1}', b'"x"', b'{"a": NaN}'])
    async def test_a_get_that_brings_nothing_of_the_mapping(self, site: Any, box: Make, body: bytes) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(body=body, content_type="text/html"))
        outcome = await box(answer={"status": "order.status"}).call(number="1")
        assert outcome.kind == ("bad_answer" if body else "ok")
        assert "Sign" not in outcome.output

    @pytest.mark.parametrize("announced", [True, False])
    async def test_ten_megabytes_are_not_read(self, site: Any, box: Make, announced: bool) -> None:
        size = 10_000_000
        done = asyncio.Event()

        async def flood(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            if announced:
                response.content_length = size
            try:
                await response.prepare(request)
                while site.written < size:
                    await response.write(b" " * 10_000)
                    site.written += 10_000
            finally:
                done.set()
            return response

        site.answers["/order/1"] = flood
        made = box()
        tracemalloc.start()
        outcome = await made.call(number="1")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        async with asyncio.timeout(30):
            await done.wait()
        assert (outcome.kind, "16384 bytes" in error_of(outcome)) == ("too_large", True)
        assert site.written < size
        assert peak < 2_000_000

    @pytest.mark.parametrize(
        "flood",
        [
            b"HTTP/1.1 102 Processing\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\n" + b"Link: </a>\r\n" * 100 + b"\r\n",
            b"\r\n",
            b"",
        ],
    )
    async def test_what_never_becomes_an_answer(self, box: Make, flood: bytes) -> None:
        # aiohttp reads it without end: seconds in which no call has its audio, and hundreds of megabytes.
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                if not flood:
                    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    writer.write((flood or b"0") * 1000)
                    await writer.drain()
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            outcome = await box(f"http://127.0.0.1:{port}/{{number}}", retries=0, timeout_s=20).call(number="1")
        assert outcome.kind == "unreachable"

    async def test_a_compressed_answer_is_not_unpacked(self, site: Any, box: Make) -> None:
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        site.answers["/order/1"] = answering(lambda: web.Response(body=b"\x1f\x8b", headers=headers))
        assert (await box().call(number="1")).kind == "bad_answer"
        assert site.seen[0].headers["Accept-Encoding"] == "identity"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_is_not_followed(self, site: Any, box: Make, status: int) -> None:
        elsewhere = {"Location": f"{site.url}/private"}
        site.answers["/order/1"] = answering(lambda: web.Response(status=status, headers=elsewhere))
        outcome = await box().call(number="1")
        assert (outcome.kind, "/private" in outcome.output) == ("redirect", False)
        assert [seen.raw_path for seen in site.seen] == ["/order/1"]

    async def test_what_is_no_http(self, site: Any, box: Make) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readline()
            writer.write(b"220 mail.example.com ESMTP\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            outcome = await box(f"http://127.0.0.1:{port}/{{number}}").call(number="1")
        finally:
            server.close()
        assert (outcome.ok, outcome.kind) == (False, "bad_answer")


class TestTime:
    async def test_no_answer(self, site: Any, box: Make) -> None:
        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            return web.Response()

        site.answers["/order/1"] = never
        outcome = await box(timeout_s=0.2).call(number="1")
        assert (outcome.kind, "within 0.2 s" in error_of(outcome)) == ("timeout", True)
        assert len(site.seen) == 1

    async def test_an_endless_slow_answer(self, site: Any, box: Make) -> None:
        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            while True:
                await response.write(b" ")
                await asyncio.sleep(0.02)

        site.answers["/order/1"] = drip
        assert (await box(timeout_s=0.3).call(number="1")).kind == "timeout"

    async def test_retries_are_inside_the_limit(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = answering(lambda: web.Response(status=503))
        start = time.monotonic()
        assert (await box(timeout_s=0.5, retries=5).call(number="1")).kind == "timeout"
        assert time.monotonic() - start < 10
        assert 1 < len(site.seen) < 6

    async def test_what_was_not_confirmed_is_told_as_such(self, site: Any, box: Make) -> None:
        async def never(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            return web.Response()

        site.answers["/order/1"] = never
        assert "may have taken effect" in error_of(await box(method="POST", timeout_s=0.2).call(number="1"))


class TestRetries:
    @pytest.mark.parametrize("status", [502, 503, 504])
    async def test_get_is_repeated(self, site: Any, box: Make, status: int) -> None:
        site.answers["/order/1"] = failing_first(2, status)
        outcome = await box(retries=2, timeout_s=20).call(number="1")
        assert outcome.output == '{"status":"shipped"}'
        assert len(site.seen) == 3

    async def test_only_so_often(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = failing_first(3, 503)
        outcome = await box(retries=2, timeout_s=20).call(number="1")
        assert (outcome.kind, "503" in error_of(outcome)) == ("http_status", True)
        assert len(site.seen) == 3

    async def test_get_is_repeated_when_the_connection_is_lost(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = cut_off
        outcome = await box(retries=1, timeout_s=20).call(number="1")
        assert (outcome.kind, "lost" in error_of(outcome)) == ("unreachable", True)
        assert len(site.seen) == 2

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    async def test_others_never(self, site: Any, box: Make, method: str) -> None:
        site.answers["/order/1"] = cut_off
        outcome = await box(method=method, retries=5, timeout_s=20).call(number="1")
        assert "may have taken effect" in error_of(outcome)
        site.answers["/order/1"] = answering(lambda: web.Response(status=503))
        await box(method=method, retries=5, timeout_s=20).call(number="1")
        assert [seen.method for seen in site.seen] == [method, method]

    async def test_each_try_is_signed_for_its_own_time(self, site: Any, box: Make) -> None:
        site.answers["/order/1"] = failing_first(1, 503)
        assert (await box(signature={"secret": "x"}, timeout_s=20).call(number="1")).ok
        assert all(seen.headers["X-Ariagent-Signature"].startswith("t=") for seen in site.seen)
        assert len(site.seen) == 2

    async def test_nobody_listening(self, site: Any, box: Make) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/{{number}}"
            outcome = await box(url, timeout_s=20).call(number="1")
        assert (outcome.kind, "cannot be reached" in error_of(outcome)) == ("unreachable", True)


class TestWhereItMayGo:
    async def test_an_allowed_name_at_an_allowed_address(self, site: Any, box: Make) -> None:
        url = f"http://orders.example.com:{site.port}/{{number}}"
        made = box(url, hosts=("*.example.com",), resolver=Names("127.0.0.1"))
        assert (await made.call(number="1")).ok
        assert site.seen[0].headers["Host"] == f"orders.example.com:{site.port}"

    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00:ec2::254", "0.0.0.0"]
    )
    async def test_a_name_at_a_private_address_is_refused(self, site: Any, box: Make, address: str) -> None:
        names = Names(address)
        url = f"http://orders.example.com:{site.port}/{{number}}"
        outcome = await box(url, hosts=("orders.example.com",), private=(), resolver=names, retries=3).call(number="1")
        assert (outcome.kind, address in outcome.output) == ("forbidden", False)
        assert (site.seen, names.asked) == ([], 1)

    async def test_a_name_that_changes_its_address_is_refused_then(self, site: Any, box: Make) -> None:
        names = Names("127.0.0.2", "127.0.0.1")
        url = f"http://orders.example.com:{site.port}/{{number}}"
        made = box(url, hosts=("orders.example.com",), private=("127.0.0.2/32",), resolver=names, retries=0)
        assert (await made.call(number="1")).kind == "unreachable"  # nobody listens there, but it may be tried
        assert (await made.call(number="1")).kind == "forbidden"
        assert site.seen == []

    async def test_the_systems_own_resolver_is_guarded_as_well(self, site: Any, box: Make) -> None:
        url = f"http://localhost:{site.port}/{{number}}"
        assert (await box(url, hosts=("localhost",), private=()).call(number="1")).kind == "forbidden"
        assert (await box(url, hosts=("localhost",), private=("127.0.0.0/8", "::1/128")).call(number="1")).ok
        assert len(site.seen) == 1

    @pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0x7f.0.0.1"])
    async def test_addresses_in_the_url_are_refused(self, site: Any, box: Make, host: str) -> None:
        made = box(f"http://{host}:{site.port}/{{number}}", hosts=(host.strip("[]"),), private=())
        outcome = await made.call(number="1")
        assert (outcome.kind, site.seen) == ("forbidden", [])

    async def test_a_host_that_is_not_allowed(self, site: Any, box: Make) -> None:
        outcome = await box(hosts=("example.com",)).call(number="1")
        assert (outcome.kind, site.seen) == ("forbidden", [])
