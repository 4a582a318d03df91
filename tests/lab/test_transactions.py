"""SIP transactions with literal times: what is sent when, and when it is given up."""

import pytest

from lab.sip import Headers, Request, Response, make_response, parse
from lab.transactions import (
    AckReceived,
    RequestReceived,
    ResponseReceived,
    TimedOut,
    TransactionLayer,
    make_cancel,
)

PEER = ("192.0.2.4", 5060)


def request(method: str, *, branch: str = "z9hG4bK1", cseq: int = 1) -> Request:
    headers = Headers(
        (
            ("Via", f"SIP/2.0/UDP 192.0.2.1:5060;branch={branch}"),
            ("Route", "<sip:192.0.2.8;lr>"),
            ("From", "<sip:a@192.0.2.1>;tag=a"),
            ("To", "<sip:b@192.0.2.4>"),
            ("Call-ID", "one"),
            ("CSeq", f"{cseq} {method}"),
        )
    )
    return Request(headers, b"", method, "sip:b@192.0.2.4")


def answer(to: Request, status: int) -> bytes:
    return make_response(to, status, "Reason", to_tag="b").serialize()


def sent_times(layer: TransactionLayer, start: float, until: float) -> list[float]:
    """Run the timers as a driver would; the times, from ``start``, at which datagrams went out."""
    times = [0.0] * len(layer.take_output())
    while (deadline := layer.next_deadline()) is not None and deadline <= until:
        layer.tick(deadline)
        times += [round(deadline - start, 3)] * len(layer.take_output())
    return times


def test_invite_is_repeated_with_doubling_intervals_until_it_is_given_up() -> None:
    layer = TransactionLayer()
    key = layer.send(request("INVITE"), PEER, 100.0)
    assert sent_times(layer, 100.0, 200.0) == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert layer.take_events() == [TimedOut(key, True)]
    assert layer.next_deadline() is None


def test_other_requests_are_repeated_at_most_every_four_seconds() -> None:
    layer = TransactionLayer()
    key = layer.send(request("BYE"), PEER, 0.0)
    assert sent_times(layer, 0.0, 100.0) == [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert layer.take_events() == [TimedOut(key, True)]


def test_provisional_response_stops_an_invite_from_being_repeated() -> None:
    layer = TransactionLayer()
    invite = request("INVITE")
    key = layer.send(invite, PEER, 0.0)
    layer.take_output()
    layer.receive(answer(invite, 180), PEER, 0.2)
    assert layer.next_deadline() is None
    assert [(event.key, event.response.status) for event in layer.take_events()] == [(key, 180)]  # type: ignore[union-attr]


def test_provisional_response_slows_another_request_down() -> None:
    layer = TransactionLayer()
    bye = request("BYE")
    layer.send(bye, PEER, 0.0)
    layer.take_output()
    layer.receive(answer(bye, 100), PEER, 0.2)
    assert sent_times(layer, 0.0, 13.0) == [4.2, 8.2, 12.2]


def test_refusal_is_acknowledged_each_time_and_reported_once() -> None:
    layer = TransactionLayer()
    invite = request("INVITE")
    layer.send(invite, PEER, 0.0)
    layer.take_output()
    for now in (0.1, 0.6):
        layer.receive(answer(invite, 486), PEER, now)
    acks = [parse(wire) for wire, _ in layer.take_output()]
    assert [ack.method for ack in acks if isinstance(ack, Request)] == ["ACK", "ACK"]
    assert acks[0].branch == "z9hG4bK1"
    assert acks[0].to.tag == "b"
    assert acks[0].headers.get("route") == "<sip:192.0.2.8;lr>"
    assert len(layer.take_events()) == 1


def test_success_is_reported_each_time_because_its_ack_may_be_lost() -> None:
    layer = TransactionLayer()
    invite = request("INVITE")
    layer.send(invite, PEER, 0.0)
    layer.take_output()
    for now in (0.1, 0.6):
        layer.receive(answer(invite, 200), PEER, now)
    assert layer.take_output() == []
    assert len(layer.take_events()) == 2
    assert sent_times(layer, 0.0, 100.0) == []
    layer.receive(answer(invite, 200), PEER, 101.0)
    assert layer.take_events() == []
    assert layer.stray == 1


def test_success_of_another_request_is_reported_once() -> None:
    layer = TransactionLayer()
    bye = request("BYE")
    layer.send(bye, PEER, 0.0)
    for now in (0.1, 0.6):
        layer.receive(answer(bye, 200), PEER, now)
    assert [type(event) for event in layer.take_events()] == [ResponseReceived]


def test_repeated_request_gets_the_same_answer_again() -> None:
    layer = TransactionLayer()
    wire = request("BYE").serialize()
    layer.receive(wire, PEER, 0.0)
    layer.receive(wire, PEER, 0.1)
    (event,) = layer.take_events()
    assert isinstance(event, RequestReceived)
    assert layer.take_output() == []
    layer.respond(event.key, make_response(event.request, 200, "OK", to_tag="b"), 0.2)
    ((first, _),) = layer.take_output()
    layer.receive(wire, PEER, 0.5)
    assert layer.take_output() == [(first, PEER)]
    assert layer.take_events() == []
    layer.tick(100.0)
    layer.receive(wire, PEER, 100.0)
    assert len(layer.take_events()) == 1


@pytest.mark.parametrize("status", [200, 486])
def test_final_response_to_invite_is_repeated_until_the_ack(status: int) -> None:
    layer = TransactionLayer()
    layer.receive(request("INVITE").serialize(), PEER, 0.0)
    (event,) = layer.take_events()
    assert isinstance(event, RequestReceived)
    layer.respond(event.key, make_response(event.request, status, "Reason", to_tag="b"), 0.0)
    assert sent_times(layer, 0.0, 8.0) == [0.0, 0.5, 1.5, 3.5, 7.5]
    ack = request("ACK", branch="z9hG4bK2").serialize()
    layer.receive(ack, PEER, 8.0)
    layer.receive(ack, PEER, 8.1)
    assert [type(found) for found in layer.take_events()] == [AckReceived]
    assert sent_times(layer, 0.0, 100.0) == []
    assert layer.take_events() == []


def test_missing_ack_is_reported() -> None:
    layer = TransactionLayer()
    layer.receive(request("INVITE").serialize(), PEER, 0.0)
    (event,) = layer.take_events()
    assert isinstance(event, RequestReceived)
    layer.respond(event.key, make_response(event.request, 200, "OK", to_tag="b"), 0.0)
    sent_times(layer, 0.0, 100.0)
    assert layer.take_events() == [TimedOut(event.key, False)]


def test_cancel_has_the_branch_of_its_invite_and_is_a_request_of_its_own() -> None:
    invite = request("INVITE")
    cancel = make_cancel(invite)
    layer = TransactionLayer()
    layer.receive(invite.serialize(), PEER, 0.0)
    layer.receive(cancel.serialize(), PEER, 0.1)
    events = layer.take_events()
    assert [event.request.method for event in events if isinstance(event, RequestReceived)] == ["INVITE", "CANCEL"]
    assert (cancel.branch, cancel.cseq) == (invite.branch, invite.cseq)


def test_only_the_first_final_response_counts() -> None:
    layer = TransactionLayer()
    layer.receive(request("INVITE").serialize(), PEER, 0.0)
    (event,) = layer.take_events()
    assert isinstance(event, RequestReceived)
    layer.respond(event.key, make_response(event.request, 487, "Request Terminated"), 0.0)
    layer.respond(event.key, make_response(event.request, 200, "OK"), 0.1)
    assert [parse(wire).serialize().split()[1] for wire, _ in layer.take_output()] == [b"487"]


def test_noise_is_counted_and_dropped() -> None:
    layer = TransactionLayer()
    for noise in (b"hello", b"\x80\x00" + bytes(170), b"INVITE sip:x SIP/2.0\r\n\r\n"):
        layer.receive(noise, PEER, 0.0)
    layer.receive(b"\r\n\r\n", PEER, 0.0)  # a keep-alive
    layer.receive(answer(request("BYE"), 200), PEER, 0.0)
    layer.receive(request("ACK").serialize(), PEER, 0.0)
    assert (layer.malformed, layer.stray) == (3, 2)
    assert layer.take_events() == []
    assert layer.take_output() == []


def test_response_type_is_kept() -> None:
    assert isinstance(parse(answer(request("BYE"), 481)), Response)
