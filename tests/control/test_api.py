"""Requests that the API refuses, and its answers to them."""

import asyncio
import gzip
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ariagent.control import supervision as desk_module
from ariagent.errors import ResourceError
from tests.examples import examples

CALL = "/v1/calls/1795357064.1"


async def refused(site: Any, method: str, path: str, **more: Any) -> tuple[int, str, str]:
    """Status, word, and reason with remedy."""
    status, body, headers = await site.ask(method, path, **more)
    assert set(body) <= {"error", "reason", "remedy"}
    assert headers["Content-Type"].startswith("application/json")
    assert headers["Cache-Control"] == "no-store"
    assert not [name for name in headers if name.lower().startswith("access-control")]
    return status, body["error"], f"{body['reason']} {body.get('remedy', '')}".strip()


async def test_without_calls_and_manager_it_says_so(site: Any) -> None:
    assert (await site.ask("GET", "/v1/calls"))[:2] == (200, {"calls": [], "process": site.desk.calls().process})
    assert (await site.ask("GET", "/v1/seats"))[:2] == (200, {"known": False, "held_by": [], "seats": []})
    status, queues, _ = await site.ask("GET", "/v1/queues")
    assert (status, queues["known"], queues["queues"]) == (200, False, [])
    assert [place["name"] for place in queues["destinations"]] == ["desk"]


async def test_who_may(site: Any, token: dict[str, str]) -> None:
    assert await refused(site, "GET", "/v1/calls", token=None) == (
        401,
        "no_token",
        "a token is needed Send the header Authorization: Bearer TOKEN",
    )
    assert (await refused(site, "GET", "/v1/calls", token="wrong"))[:2] == (401, "wrong_token")
    assert (await site.ask("GET", "/v1/calls", token["viewer"]))[0] == 200
    status, word, reason = await refused(site, "POST", f"{CALL}/whisper", token=token["viewer"], json={"text": "x"})
    assert (status, word) == (403, "wrong_role")
    assert reason == "the-viewer has the role viewer; this needs the role supervisor or higher"
    # A permitted client learns that there is no such call. For any other client the body does not matter.
    assert (await refused(site, "POST", f"{CALL}/whisper", token=token["viewer"], data=b"x" * 99999))[0] == 403
    for role in ("supervisor", "admin"):
        status, word, _ = await refused(site, "POST", f"{CALL}/whisper", token=token[role], json={"text": "x"})
        assert (status, word) == (404, "unknown_call")


async def test_a_hashed_token_is_as_good(make_site: Any) -> None:
    digest = hashlib.sha256(b"a token of anna").hexdigest()
    site = await make_site(tokens=[{"name": "anna", "role": "viewer", "sha256": digest.upper()}])
    assert (await site.ask("GET", "/v1/calls", "a token of anna"))[0] == 200
    assert (await site.ask("GET", "/v1/calls", digest))[0] == 401


async def test_five_wrong_tokens_slow_down_wrong_tokens_only(site: Any, token: dict[str, str]) -> None:
    for _ in range(5):
        assert (await refused(site, "GET", "/v1/calls", token="wrong"))[:2] == (401, "wrong_token")
    status, body, headers = await site.ask("GET", "/v1/calls", "wrong")
    assert (status, body["error"]) == (429, "slow_down")
    wait_s = int(headers["Retry-After"])
    assert wait_s >= 1
    # Else anybody who shares an address with a supervisor could lock that supervisor out.
    assert (await site.ask("GET", "/v1/calls", token["admin"]))[0] == 200
    assert (await site.ask("GET", "/v1/calls", None))[0] == 401
    assert (await site.ask("GET", "/v1/calls", site.local_token))[0] == 200
    assert (await site.ask("GET", "/v1/openapi.json", None))[0] == 200
    await asyncio.sleep(wait_s)
    assert (await site.ask("GET", "/v1/calls", token["admin"]))[0] == 200
    assert (await refused(site, "GET", "/v1/calls", token="wrong"))[0] == 401
    assert int((await site.ask("GET", "/v1/calls", "wrong"))[2]["Retry-After"]) > wait_s


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("transfer", b"{", "the body: is not JSON: "),
        ("transfer", b"[]", "object"),
        ("transfer", b"\xff\xfe", "the body: is not JSON: "),
        ("transfer", b"", "give destination or queue, and not both"),
        ("transfer", {"queue": "a", "destination": "b"}, "give destination or queue, and not both"),
        ("transfer", {"queue": "support", "speed": 1}, "speed: unknown key"),
        ("transfer", {"queue": 7}, "queue: must be text"),
        ("transfer", {"queue": "support,s,1)"}, "queue: must be a name in Asterisk of letters"),
        ("transfer", {"queue": ""}, "queue: "),
        ("transfer", {"queue": "support", "reason": "x" * 501}, "reason: must have at most 500 characters"),
        ("transfer", {"queue": "support", "wait_s": "5"}, "wait_s: must be a number"),
        ("transfer", {"queue": "support", "wait_s": 31}, "wait_s: must be at most 30"),
        ("transfer", {"queue": "support", "summary": "ü" * 251}, "summary: must have at most 500 bytes (UTF-8)"),
        ("whisper", {}, "text: is missing"),
        ("whisper", {"text": "€" * 167}, "text: must have at most 500 bytes (UTF-8)"),
        ("whisper", {"text": ""}, "text: must not be empty"),
        ("whisper", {"text": "x" * 501}, "text: must have at most 500 characters"),
        ("whisper", {"text": ["x"]}, "text: must be text, not a list"),
        ("whisper", {"text": "x", "now": "yes"}, "now: must be true or false"),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong_with_it(site: Any, path: str, body: Any, said: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, word, reason = await refused(site, "POST", f"{CALL}/{path}", data=raw)
    assert (status, word) == (422, "bad_body")
    assert said in reason
    assert "A JSON object with: " in reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
BODIES = st.dictionaries(st.sampled_from(["queue", "destination", "reason", "summary", "wait_s", "text", "now"]), JSON)


@pytest.mark.hypothesis
async def test_nothing_that_is_sent_is_a_fault_of_ours(site: Any) -> None:
    """A body is refused, or is right for a call that there is not."""
    sent: list[tuple[str, bytes]] = []

    @settings(max_examples=examples(150), deadline=None, database=None)
    @given(st.sampled_from(["transfer", "whisper"]), BODIES.map(json.dumps).map(str.encode) | st.binary())
    def collect(path: str, body: bytes) -> None:
        sent.append((path, body))

    collect()
    for path, body in sent:
        status, _, _ = await refused(site, "POST", f"{CALL}/{path}", data=body)
        assert status in (404, 422), (path, body)
    for weird in ("%00", "%ff", "..%2f..", "%0d%0aX: y", "a" * 3000, "%F0%9F%93%9E"):
        assert (await refused(site, "GET", f"/v1/calls/{weird}"))[0] == 404


async def test_what_is_too_large_is_refused(site: Any) -> None:
    status, word, _ = await refused(site, "POST", f"{CALL}/whisper", data=b'{"text": "' + b"x" * 20_000 + b'"}')
    assert (status, word) == (413, "too_large")


async def test_what_there_is_not(site: Any) -> None:
    assert (await refused(site, "GET", "/v1/nothing"))[:2] == (404, "unknown_path")
    assert (await refused(site, "GET", "/v1/calls/"))[:2] == (404, "unknown_path")
    assert (await refused(site, "DELETE", "/v1/calls"))[:2] == (405, "wrong_method")
    _, _, headers = await site.ask("POST", "/v1/calls")
    assert headers["Allow"] == "GET"
    assert await refused(site, "GET", CALL) == (
        404,
        "unknown_call",
        "no active call 1795357064.1 GET /v1/calls lists the active calls",
    )
    for path in ("transfer", "whisper"):
        body = {"queue": "support"} if path == "transfer" else {"text": "x"}
        assert (await refused(site, "POST", f"/v1/calls/%2e%2e%2f/{path}", json=body))[0] == 404


async def test_seats_without_a_manager(site: Any) -> None:
    status, word, reason = await refused(site, "POST", "/v1/seats/pause")
    assert (status, word) == (503, "no_manager")
    assert "ami" in reason


async def test_seats_that_are_not_known_or_not_there(
    make_site: Any, listed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "ariagent")
    site = await make_site(manager=True)
    assert (await refused(site, "POST", "/v1/seats/pause", json={}))[:2] == (503, "seats_unknown")
    listed(site.desk.pool, "support")
    assert (await refused(site, "POST", "/v1/seats/pause", json={"seat": "7"}))[1:] == (
        "unknown_seat",
        "there is no seat 07 The queues have no seats: see queues.conf",
    )
    for wrong in ("x", "1234", "-1", 7, ""):
        assert (await refused(site, "POST", "/v1/seats/resume", json={"seat": wrong}))[:2] == (422, "bad_body")
    assert "control.seats_changed" not in caplog.messages


async def test_a_seat_that_asterisk_cannot_be_told_about_yet(
    make_site: Any, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "SETTLE_LIMIT_S", 0.1)
    site = await make_site(manager=True)
    listed(site.desk.pool, "frontline", seats=("06", "07"))
    status, body, _ = await site.ask("POST", "/v1/seats/pause", json={"seat": "7"})
    assert (status, body) == (200, {"seats": ["07"], "paused": True, "settled": False})
    status, body, _ = await site.ask("POST", "/v1/seats/resume", data=b"")
    assert (status, body) == (200, {"seats": ["06", "07"], "paused": False, "settled": False})
    status, body, _ = await site.ask("GET", "/v1/seats")
    assert (body["known"], body["held_by"], [seat["number"] for seat in body["seats"]]) == (
        True,
        ["down"],
        ["06", "07"],
    )
    status, body, _ = await site.ask("GET", "/v1/queues")
    assert [(queue["name"], queue["logged_in"]) for queue in body["queues"]] == [("frontline", 2)]


async def test_a_fault_of_ours_is_told_as_one_and_hides_what_it_was(
    make_site: Any, caplog: pytest.LogCaptureFixture
) -> None:
    site = await make_site(manager=True)
    site.desk.registry = None
    status, word, reason = await refused(site, "GET", "/v1/calls")
    assert (status, word) == (500, "fault")
    assert "NoneType" not in reason
    assert "control.fault" in caplog.text


async def test_the_port_is_taken(make_site: Any) -> None:
    site = await make_site()
    with pytest.raises(ResourceError, match="cannot serve the control API on 127") as caught:
        await make_site(port=site.server.port)
    assert "control.port" in caught.value.remedy


async def test_a_web_page_of_somebody_elses_gets_nowhere(site: Any, token: dict[str, str]) -> None:
    """In a supervisor's browser, also with a name of its own that points to this machine: it has no token to send."""

    async def ask(method: str, path: str, headers: dict[str, str], body: str | None = None) -> tuple[int, Any]:
        async with site.session.request(method, f"{site.url}{path}", headers=headers, data=body) as answer:
            return answer.status, answer.headers

    page = {"Origin": "https://evil.example.com", "Host": "evil.example.com:9094", "Sec-Fetch-Site": "cross-site"}
    asks = {**page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    status, headers = await ask("OPTIONS", f"{CALL}/transfer", asks)
    assert status == 405
    assert (await ask("GET", "/v1/openapi.json", page))[0] == 421
    assert not [name for name in headers if name.lower().startswith("access-control")]
    plain = {**page, "Content-Type": "text/plain", "Cookie": f"token={token['admin']}"}
    for path in (f"{CALL}/transfer", f"{CALL}/whisper", "/v1/seats/pause"):
        body = json.dumps({"token": token["admin"], "queue": "support"})
        status, headers = await ask("POST", f"{path}?access_token={token['admin']}", plain, body)
        assert status == 421, path
        assert not [name for name in headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_name_that_is_not_ours_needs_a_token(make_site: Any, host: str, token: dict[str, str]) -> None:
    """A browser sends the name of a foreign page; a reverse proxy may send its own."""
    site = await make_site(host=host)

    async def status(path: str, name: str, given: str | None) -> int:
        headers = {"Host": name, **({} if given is None else {"Authorization": f"Bearer {given}"})}
        async with site.session.get(f"{site.url}{path}", headers=headers) as answer:
            return answer.status

    for path in ("/v1/openapi.json", "/v1/calls"):
        assert await status(path, "evil.example.com", None) == 421
        assert await status(path, "evil.example.com:9094", "wrong") == 421
    assert await status("/v1/calls", "pbx.example.com", token["viewer"]) == 200
    assert await status("/v1/openapi.json", f"localhost:{site.server.port}", None) == 200


async def test_supervisors_behind_a_proxy_are_told_apart(make_site: Any, token: dict[str, str]) -> None:
    site = await make_site(trusted_proxies=["127.0.0.0/8"])

    async def status(client: str, given: str) -> int:
        headers = {"X-Forwarded-For": client, "Authorization": f"Bearer {given}"}
        async with site.session.get(f"{site.url}/v1/calls", headers=headers) as answer:
            return answer.status

    for _ in range(5):
        assert await status("1.2.3.4, 192.0.2.1", "wrong") == 401
    assert await status("5.6.7.8, 192.0.2.1", "wrong") == 429
    assert await status("1.2.3.4", "wrong") == 401
    assert await status("192.0.2.2", "wrong") == 401
    assert await status("192.0.2.1", token["viewer"]) == 200


async def test_a_header_of_who_is_no_proxy_is_not_believed(site: Any, caplog: Any) -> None:
    for number in range(8):
        headers = {"X-Forwarded-For": f"192.0.2.{number}", "Authorization": "Bearer wrong"}
        async with site.session.get(f"{site.url}/v1/calls", headers=headers) as answer:
            assert answer.status == (401 if number < 5 else 429)
    lines = [record.fields for record in caplog.records if record.getMessage() == "control.wrong_token"]
    assert [fields["address"] for fields in lines] == ["127.0.0.1"] * 5


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x-anything", "identity, gzip"])
async def test_a_packed_body_is_refused(site: Any, encoding: str, caplog: Any) -> None:
    for body in (b"", b"{}", b"\x1f\x8b\x08 not packed", gzip.compress(b'{"text": "x"}'), b"\x78\x9c" + bytes(100)):
        status, word, _ = await refused(
            site, "POST", f"{CALL}/whisper", data=body, more_headers={"Content-Encoding": encoding}
        )
        assert (status, word) == (415, "packed_body")
    status, word, _ = await refused(
        site, "POST", f"{CALL}/whisper", data=b'{"text": "x"}', more_headers={"Content-Encoding": "identity"}
    )
    assert (status, word) == (404, "unknown_call")
    assert "Traceback" not in caplog.text
