"""SIP messages, addresses and digest credentials."""

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lab
from ariagent.errors import InternalError
from lab.digest import Challenge, digest_response
from lab.sip import (
    Headers,
    NameAddr,
    Request,
    Response,
    SipError,
    Uri,
    make_response,
    parse,
    split_list,
)
from tests.parsing import parsed

INVITE = (
    b"INVITE sip:bob@192.0.2.4 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bKabc;rport, SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKdef\r\n"
    b"Max-Forwards: 70\r\n"
    b'f: "Alice, \\"A\\"" <sip:alice@192.0.2.1>;tag=77\r\n'
    b"To: <sip:bob@192.0.2.4>\r\n"
    b"i: 1@192.0.2.1\r\n"
    b"CSEQ:   9\r\n  INVITE\r\n"
    b"Record-Route: <sip:p1;lr>,<sip:p2;lr>\r\n"
    b"Content-Type: text/plain\r\n"
    b"l: 5\r\n\r\nhello rest of the datagram"
)


def round_trip(message: Request | Response) -> Request | Response:
    return parse(message.serialize())


def test_request_with_compact_folded_and_list_headers() -> None:
    message = parse(INVITE)
    assert isinstance(message, Request)
    assert (message.method, message.uri, message.body) == ("INVITE", "sip:bob@192.0.2.4", b"hello")
    assert (message.call_id, message.cseq, message.cseq_method) == ("1@192.0.2.1", 9, "INVITE")
    assert message.branch == "z9hG4bKabc"
    assert len(message.headers.values("v")) == 2
    assert message.from_.display == 'Alice, "A"'
    assert message.from_.tag == "77"
    assert message.to.tag == ""
    assert message.headers.values("record-route") == ["<sip:p1;lr>", "<sip:p2;lr>"]


def test_messages_survive_a_round_trip() -> None:
    request = parse(INVITE)
    assert isinstance(request, Request)
    again = round_trip(request)
    assert isinstance(again, Request)
    assert (again.method, again.uri, again.body, again.call_id) == ("INVITE", request.uri, b"hello", request.call_id)
    response = make_response(request, 180, "Ringing", to_tag="ours")
    assert round_trip(response) == Response(Headers((*response.headers, ("Content-Length", "0"))), b"", 180, "Ringing")


def test_response_copies_what_routes_it_back() -> None:
    request = parse(INVITE)
    assert isinstance(request, Request)
    response = make_response(request, 200, "OK", to_tag="ours", body=b"x")
    assert response.headers.values("via") == request.headers.values("via")
    assert response.to.tag == "ours"
    assert response.headers.values("record-route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert make_response(request, 100, "Trying").to.tag == ""
    assert make_response(request, 486, "Busy Here", to_tag="ours").headers.values("record-route") == []


def test_message_cut_at_any_byte_is_refused_or_whole() -> None:
    whole = INVITE.index(b"hello") + 5
    for length in range(whole):
        with pytest.raises(SipError):
            parse(INVITE[:length])
    assert parse(INVITE[:whole]).body == b"hello"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"),
        (b"INVITE sip:bob@192.0.2.4", b"INVITE"),
        (b"INVITE sip", b"BYE sip"),
        (b"CSEQ:   9", b"CSEQ: x"),
        (b"CSEQ:   9", b"CSEQ: " + b"9" * 6000),
        (b"CSEQ:   9", b"CSEQ: 4294967296"),
        (b"l: 5", b"l: five"),
        (b"l: 5", b"l: -1"),
        (b"l: 5", b"l: 500"),
        (b"l: 5", b"l: " + b"5" * 6000),
        (b"i: 1@192.0.2.1", b"Subject: none"),
        (b"Max-Forwards: 70", b"no colon here"),
        (b"<sip:alice@192.0.2.1>", b"<sip:alice@192.0.2.1"),
        (b"<sip:alice@192.0.2.1>", b"<tel:123>"),
        (b"<sip:alice@192.0.2.1>", b"<sip:alice@192.0.2.1:99999>"),
        (b"<sip:alice@192.0.2.1>", b"<sip:alice@>"),
    ],
)
def test_malformed_message_is_refused(old: bytes, new: bytes) -> None:
    assert old in INVITE
    with pytest.raises(SipError):
        parse(INVITE.replace(old, new, 1))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_raise_nothing_but_sip_error(data: bytes) -> None:
    for candidate in (data, INVITE[:40] + data, INVITE.replace(b"Max-Forwards: 70", data)):
        try:
            message = parse(candidate)
        except SipError:
            continue
        assert message.call_id


@pytest.mark.parametrize("status", [b"99", b"700", b"abc", b"2\xc2\xb20"])
def test_impossible_status_is_refused(status: bytes) -> None:
    with pytest.raises(SipError):
        parse(INVITE.replace(b"INVITE sip:bob@192.0.2.4 SIP/2.0", b"SIP/2.0 " + status + b" Why"))


def test_line_break_in_a_header_is_our_fault() -> None:
    with pytest.raises(InternalError):
        Request(Headers((("X-A", "1\r\nX-B: 2"),)), b"", "OPTIONS", "sip:x").serialize()


@pytest.mark.parametrize(
    "text",
    [
        "sip:127.0.0.1",
        "sip:1001@127.0.0.1:5060",
        "sips:a.b+c@[::1]:5061;transport=tcp;lr",
        "sip:1002@127.0.0.1?Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2&Require=replaces",
    ],
)
def test_uri_round_trip(text: str) -> None:
    assert str(Uri.parse(text)) == text


def test_uri_fields() -> None:
    uri = Uri.parse("sip:1002@[::1]?Replaces=a%40b%3Bto-tag%3D1")
    assert uri.address == ("::1", 5060)
    assert uri.headers == (("Replaces", "a@b;to-tag=1"),)
    assert Uri.parse("sip:a%20b@h").user == "a b"
    assert str(Uri("a b", "h")) == "sip:a%20b@h"


def test_address_without_brackets_owns_its_parameters() -> None:
    assert NameAddr.parse("sip:bob@192.0.2.4;tag=9") == NameAddr(Uri("bob", "192.0.2.4"), "", (("tag", "9"),))


def test_new_tag_takes_the_place_of_the_old() -> None:
    address = NameAddr.parse('"Bob" <sip:bob@192.0.2.4;lr>;tag=9;x').with_tag("8")
    assert str(address) == '"Bob" <sip:bob@192.0.2.4;lr>;x;tag=8'


def test_header_that_is_set_replaces_every_field_of_that_name() -> None:
    headers = Headers((("m", "a"), ("X", "1"), ("Contact", "b")))
    assert headers.set("Contact", "c").items == (("Contact", "c"), ("X", "1"))
    assert headers.set("Y", "2").get("y") == "2"


def test_commas_in_quotes_and_brackets_do_not_split() -> None:
    assert split_list('"a, b" <sip:x,y>, c ,, "d\\", e"') == ['"a, b" <sip:x,y>', "c", '"d\\", e"']


RFC_7616 = {
    "user": "Mufasa",
    "password": "Circle of Life",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    "count": 1,
}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_gives_the_values_of_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    challenge = Challenge.parse(
        'Digest realm="http-auth@example.org", qop="auth, auth-int", '
        f"algorithm={algorithm}, "
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    assert challenge.usable
    assert digest_response(challenge, "GET", "/dir/index.html", **RFC_7616) == response  # type: ignore[arg-type]
    header = challenge.authorization("GET", "/dir/index.html", **RFC_7616)  # type: ignore[arg-type]
    assert f'response="{response}"' in header
    assert "qop=auth, nc=00000001" in header
    assert 'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' in header


def test_digest_without_qop_gives_the_value_of_rfc_2069() -> None:
    """The example of RFC 2069 section 2.4 with the response of its erratum 749."""
    challenge = Challenge.parse('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"')
    value = challenge.authorization("GET", "/dir/index.html", "Mufasa", "CircleOfLife", cnonce="unused")
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in value
    assert "cnonce" not in value


@pytest.mark.parametrize("text", ['Basic realm="x"', "Digest", 'Digest realm="x"'])
def test_what_is_no_digest_challenge_is_refused(text: str) -> None:
    with pytest.raises(SipError):
        Challenge.parse(text)


def test_unknown_algorithm_is_not_usable() -> None:
    assert not Challenge.parse('Digest realm="x", nonce="y", algorithm=SHA-512-256').usable
    assert not Challenge.parse('Digest realm="x", nonce="y", qop="auth-int"').usable


@pytest.mark.parametrize("module", ["sip", "digest", "transactions", "dialog", "sdp", "codecs", "rtp"])
def test_core_module_imports_no_io_and_no_clock(module: str) -> None:
    source = (Path(lab.__file__).parent / f"{module}.py").read_text()
    imported = set()
    for node in ast.walk(parsed(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.split(".")[0])
    assert imported.isdisjoint({"asyncio", "socket", "time", "datetime", "threading", "os", "io"})


@pytest.mark.parametrize("display", ["Ann <110>", 'a" <sip:b@c>;tag=1 "d', "\\", "<", ";"])
def test_a_name_in_quotes_may_hold_anything(display: str) -> None:
    address = NameAddr(Uri("ann", "127.0.0.1"), display, (("tag", "x"),))
    assert NameAddr.parse(str(address)) == address
