"""The server against real sockets on loopback, under asyncio and under uvloop."""

import asyncio
import logging
import socket
import time
from uuid import UUID, uuid4

import pytest

from ariagent.audio.format import SLIN8, SLIN16, SLIN24
from ariagent.audiosocket import connection as connection_module
from ariagent.audiosocket.frames import Frame, Kind, audio_frame, dtmf_frame, error_frame, hangup_frame, uuid_frame
from ariagent.audiosocket.server import AudioSocketServer
from ariagent.errors import ResourceError

SPEECH8 = b"\x34\x12" * 160
LOUD8 = audio_frame(Kind.SLIN8, SPEECH8)


@pytest.fixture
def refused(eventually):
    """Until the server has refused one connection, for this reason."""

    async def refused(server, reason):
        await eventually(lambda: server.refused.total())
        assert dict(server.refused) == {reason: 1}

    return refused


# --- media


async def test_a_frame_of_silence_every_20_ms_from_the_handshake(call, endpoint) -> None:
    peer = await call()
    frames = await peer.receive(25)
    assert set(frames) == {Frame(Kind.SLIN8, bytes(320))}
    # 24 intervals of 20 ms: a loaded machine may be late, but the rate is caught up, never exceeded.
    assert peer.times[24] - peer.times[0] > 0.40
    assert endpoint.frames_due >= 25


@pytest.mark.parametrize(("fmt", "kind"), [(SLIN8, Kind.SLIN8), (SLIN16, Kind.SLIN16), (SLIN24, Kind.SLIN24)])
async def test_speech_goes_out_and_comes_in_at_the_agreed_rate(call, endpoint, fmt, kind) -> None:
    speech = bytes(range(1, 161)) * (fmt.frame_bytes // 160)
    endpoint.speech = [speech] * 3
    peer = await call(fmt)
    await peer.receive(4)
    assert peer.frames[:4] == [Frame(kind, speech)] * 3 + [Frame(kind, bytes(fmt.frame_bytes))]
    peer.send(audio_frame(kind, speech))
    await endpoint.until(lambda: endpoint.audio)
    assert endpoint.audio == [speech]


async def test_frames_cut_anywhere_arrive_whole(call, endpoint) -> None:
    peer = await call()
    stream = b"".join(audio_frame(Kind.SLIN8, bytes([number]) * 320) for number in range(1, 9)) + dtmf_frame("7")
    for at in range(0, len(stream), 101):
        peer.send(stream[at : at + 101])
        await peer.writer.drain()
        await asyncio.sleep(0)
    await endpoint.until(lambda: endpoint.digits)
    assert endpoint.audio == [bytes([number]) * 320 for number in range(1, 9)]
    assert endpoint.digits == "7"


async def test_times_are_of_the_monotonic_clock(call, endpoint) -> None:
    before = time.monotonic()
    peer = await call()
    peer.send(LOUD8)
    await endpoint.until(lambda: endpoint.audio and endpoint.frames_due > 2)
    assert all(before <= at <= time.monotonic() for at in endpoint.times)
    assert endpoint.times == sorted(endpoint.times)


async def test_the_reader_is_not_held_up_by_what_is_sent(call, endpoint) -> None:
    peer = await call()
    for _ in range(500):
        peer.send(LOUD8)
    await endpoint.until(lambda: len(endpoint.audio) == 500)


async def test_a_reply_does_not_wait_for_the_tick(call, endpoint) -> None:
    """Replies start 6 ms after a frame; the frame that carries them is asked for within the 20 ms, not after."""
    await call()
    waits = []
    for _ in range(10):
        due = endpoint.frames_due
        await endpoint.until(lambda due=due: endpoint.frames_due > due + 4)
        await asyncio.sleep(0.006)
        due, start = endpoint.frames_due, time.monotonic()
        endpoint.speech.append(SPEECH8)
        endpoint.connection.speech_ready()
        await endpoint.until(lambda due=due: endpoint.frames_due > due)
        waits.append(endpoint.times[-1] - start)
    assert sorted(waits)[2] < 0.005  # most at once; a tick would have been 14 ms away


async def test_speech_ready_from_any_callback_sends_no_frame_twice(call, endpoint) -> None:
    endpoint.speech = [SPEECH8] * 5
    note = endpoint.note

    def eager(call: str) -> None:
        if endpoint.connection is not None:
            endpoint.connection.speech_ready()
        note(call)

    endpoint.note = eager
    peer = await call()
    for _ in range(10):
        peer.send(LOUD8)
        await asyncio.sleep(0.005)
    await peer.receive(20)
    assert [frame.payload for frame in peer.frames[:5]] == [SPEECH8] * 5
    assert endpoint.frames_due >= len(peer.frames)
    # 19 intervals of at least 15 ms, less what the first frame may have been late in arriving.
    assert peer.times[19] - peer.times[0] > 0.24


async def test_fifty_calls_keep_their_rate(server, dial, eventually) -> None:
    endpoints = []
    for _ in range(50):
        uuid = uuid4()
        endpoints.append(Counting())
        server.expect(uuid, endpoints[-1], SLIN24)
        (await dial(server.port)).send(uuid_frame(uuid))
    await eventually(lambda: min(endpoint.frames for endpoint in endpoints) >= 50)
    for endpoint in endpoints:
        assert endpoint.frames <= (time.monotonic() - endpoint.start) / 0.020 + 2


class Counting:
    """The least an endpoint can be."""

    frames = 0
    start = 0.0

    def connected(self, connection) -> None:
        self.start = time.monotonic()

    def audio_received(self, payload, now) -> None: ...

    def frame_due(self, now) -> None:
        self.frames += 1

    def digit_received(self, digit) -> None: ...

    def disconnected(self, reason) -> None: ...


# --- ends


async def test_asterisk_closes(call, endpoint, server) -> None:
    peer = await call()
    await peer.receive(2)
    peer.close()
    assert await endpoint.ended() == "peer_closed"
    assert server.ended == {"peer_closed": 1}
    assert server.open_connections == 0


async def test_asterisk_closes_with_our_frames_unread(call, endpoint) -> None:
    """The kernel makes a reset of it; it is the same end."""
    peer = await call()
    await endpoint.until(lambda: endpoint.frames_due > 3)
    peer.writer.transport.abort()
    assert await endpoint.ended() == "peer_closed"


async def test_asterisk_closes_in_the_middle_of_a_frame(call, endpoint) -> None:
    peer = await call()
    peer.send(LOUD8[:100])
    await peer.writer.drain()
    peer.close()
    assert await endpoint.ended() == "peer_closed"
    assert endpoint.audio == []


async def test_hangup_is_a_frame_and_then_the_end(call, endpoint) -> None:
    peer = await call()
    await peer.receive(1)
    endpoint.connection.hangup()
    frames = await peer.until_closed()
    assert frames[-1] == Frame(Kind.HANGUP)
    assert [frame.kind for frame in frames].count(Kind.HANGUP) == 1
    assert await endpoint.ended() == "local"


async def test_close_sends_nothing_more(call, endpoint) -> None:
    peer = await call()
    await peer.receive(1)
    endpoint.connection.close()
    frames = await peer.until_closed()
    assert frames[-1].kind is Kind.SLIN8
    assert await endpoint.ended() == "local"


async def test_after_the_end_nothing_more_is_called_and_all_calls_are_harmless(call, endpoint) -> None:
    other = type(endpoint)()
    await call(other=other)
    peer = await call()
    connection = endpoint.connection
    connection.hangup()
    connection.hangup()
    connection.close()
    connection.speech_ready()
    peer.send(LOUD8, dtmf_frame("1"))
    await endpoint.ended()
    connection.speech_ready()
    connection.hangup()
    due = other.frames_due
    await other.until(lambda: other.frames_due > due + 3)  # time enough for a frame too many
    assert endpoint.calls.count("disconnected") == 1
    assert endpoint.calls[-1] == "disconnected"
    assert endpoint.audio == []


@pytest.mark.parametrize("callback", ["connected", "audio_received", "frame_due", "digit_received"])
async def test_hanging_up_inside_a_callback(call, endpoint, callback) -> None:
    endpoint.hang_up_in = callback
    peer = await call()
    peer.send(LOUD8, dtmf_frame("1"), LOUD8)
    frames = await peer.until_closed()
    assert frames[-1] == Frame(Kind.HANGUP)
    assert await endpoint.ended() == "local"
    assert endpoint.calls[-2:] == [callback, "disconnected"]


@pytest.mark.parametrize("callback", ["connected", "audio_received", "frame_due", "digit_received", "disconnected"])
async def test_an_exception_in_an_endpoint_ends_its_connection_only(call, endpoint, server, callback, caplog) -> None:
    other = type(endpoint)()
    healthy = await call(other=other)
    endpoint.raise_in = callback
    peer = await call()
    peer.send(LOUD8, dtmf_frame("1"))
    if callback == "disconnected":
        peer.close()
    assert await endpoint.ended() == ("peer_closed" if callback == "disconnected" else "fault")
    await healthy.receive(len(healthy.frames) + 3)
    assert other.reasons == []
    faults = [record for record in caplog.records if record.message == "media.endpoint_fault"]
    assert len(faults) == 1
    assert faults[0].exc_info is not None
    assert server.open_connections == 1


async def test_a_frame_of_the_wrong_length_is_our_fault(call, endpoint) -> None:
    endpoint.speech = [bytes(318)]
    await call()
    assert await endpoint.ended() == "fault"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (hangup_frame(), "peer_hangup"),
        (error_frame(b"\x01"), "peer_error"),
        (audio_frame(Kind.SLIN24, bytes(960)), "unexpected_kind"),
        (uuid_frame(UUID(int=7)), "unexpected_kind"),
        (b"\x47\x45\x54 / HTTP/1.1\r\n\r\n", "malformed"),
        (b"\x10\x01\x41", "malformed"),
    ],
)
async def test_what_ends_a_connection_from_outside(call, endpoint, data, reason, caplog) -> None:
    other = type(endpoint)()
    healthy = await call(other=other)
    peer = await call()
    with caplog.at_level(logging.INFO):
        peer.send(LOUD8, data, LOUD8)
        assert await endpoint.ended() == reason
    assert len(endpoint.audio) == 1  # what came before the fault counts, what came after does not
    assert all(record.exc_info is None for record in caplog.records)
    await healthy.receive(len(healthy.frames) + 2)
    assert other.reasons == []


async def test_malformed_input_is_logged_by_kind_and_length(call, endpoint, caplog) -> None:
    peer = await call()
    peer.send(b"\x99\x12\x34")
    await endpoint.ended()
    (record,) = [record for record in caplog.records if record.message == "media.malformed"]
    assert record.fields == {"kind": "0x99", "length": 0x1234, "uuid": str(endpoint.connection.uuid)}


async def test_what_is_logged_of_a_calls_connection_carries_the_calls_id(server, dial, endpoint, caplog) -> None:
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8, "1795357064.12")
    with caplog.at_level(logging.INFO):
        peer = await dial(server.port)
        peer.send(uuid_frame(uuid))
        await endpoint.until(lambda: endpoint.calls)
        peer.send(b"\x99\x12\x34")
        await endpoint.ended()
    told = {record.message: record.fields for record in caplog.records if record.message.startswith("media.")}
    assert set(told) == {"media.connected", "media.malformed", "media.ended"}
    for fields in told.values():
        assert (fields["call"], fields["uuid"]) == ("1795357064.12", str(uuid))


async def test_an_empty_audio_frame_ends_the_connection(call, endpoint) -> None:
    peer = await call()
    peer.send(LOUD8, b"\x10\x00\x00", LOUD8)
    assert await endpoint.ended() == "malformed"
    assert endpoint.audio == [SPEECH8]


# --- more than is handled in one turn of the event loop


class Turns:
    """Counts the turns of the event loop, and in how many of them ``happened`` counted up, by how much at most."""

    def __init__(self, happened) -> None:
        self.most = self.turns = 0
        self._happened, self._before, self._over = happened, happened(), False
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        now = self._happened()
        self.most, self._before = max(self.most, now - self._before), now
        self.turns += 1
        if not self._over:
            asyncio.get_running_loop().call_soon(self._look)

    def end(self) -> None:
        self._over = True


@pytest.mark.parametrize("payload", [2, 320, 2_000])
async def test_a_burst_is_handled_in_order_over_many_turns(call, endpoint, payload) -> None:
    peer = await call()
    frames = [number.to_bytes(2, "big") * (payload // 2) for number in range(400)]
    turns = Turns(lambda: len(endpoint.audio))
    peer.send(*(audio_frame(Kind.SLIN8, each) for each in frames), dtmf_frame("7"))
    await endpoint.until(lambda: endpoint.digits)
    turns.end()
    assert endpoint.audio == frames
    assert turns.most <= connection_module.FRAMES_A_TURN
    assert turns.turns >= 400 / connection_module.FRAMES_A_TURN
    # It is read again: nothing was forgotten.
    peer.send(LOUD8)
    await endpoint.until(lambda: len(endpoint.audio) == 401)


async def test_of_many_bursts_one_connection_has_its_turn(server, dial, endpoint, eventually) -> None:
    class Counted(Counting):
        heard = 0

        def audio_received(self, payload, now) -> None:
            self.heard += 1

    endpoints = []
    peers = []
    for _ in range(10):
        uuid = uuid4()
        endpoints.append(Counted())
        server.expect(uuid, endpoints[-1], SLIN8)
        peers.append(await dial(server.port))
        peers[-1].send(uuid_frame(uuid))
    await eventually(lambda: all(one.start for one in endpoints))
    for peer in peers:
        peer.send(audio_frame(Kind.SLIN8, b"\1\2") * 500)
    # Each may have one turn by what it has just read.
    await eventually(lambda: all(one.heard for one in endpoints))
    turns = Turns(lambda: sum(one.heard for one in endpoints))
    await eventually(lambda: all(one.heard == 500 for one in endpoints))
    turns.end()
    assert turns.most <= connection_module.FRAMES_A_TURN * 10
    assert len(server._later) == 0


async def test_more_audio_than_a_call_makes_ends_the_connection(call, endpoint, server, caplog) -> None:
    other = type(endpoint)()
    healthy = await call(other=other)
    peer = await call()
    for _ in range(30):
        peer.send(audio_frame(Kind.SLIN8, b"\1\2") * 1_000)
    assert await endpoint.ended() == "flooded"
    assert server.ended == {"flooded": 1}
    assert [record.message for record in caplog.records if record.message.startswith("media.")] == ["media.flooded"]
    await healthy.receive(len(healthy.frames) + 3)
    assert other.reasons == []


async def test_the_end_comes_in_the_middle_of_a_burst(call, endpoint, server) -> None:
    """Messages that wait are dropped, and nothing is called any longer."""
    peer = await call()
    peer.send(LOUD8 * 300)
    await endpoint.until(lambda: endpoint.audio)
    endpoint.connection.close()
    assert await endpoint.ended() == "local"
    heard = len(endpoint.audio)
    again = type(endpoint)()
    await (await call(other=again)).receive(3)
    assert len(endpoint.audio) == heard


async def test_a_handshake_byte_by_byte_with_audio_behind_it(server, dial, endpoint) -> None:
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    peer = await dial(server.port)
    for byte in uuid_frame(uuid) + LOUD8[:10]:
        peer.send(bytes([byte]))
        await peer.writer.drain()
        await asyncio.sleep(0)
    peer.send(LOUD8[10:] + LOUD8)
    await endpoint.until(lambda: len(endpoint.audio) == 2)
    assert endpoint.audio == [SPEECH8] * 2


async def test_a_handshake_with_garbage_behind_it(server, dial, endpoint, caplog) -> None:
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    peer = await dial(server.port)
    peer.send(uuid_frame(uuid), LOUD8, b"\x99" * 100_000)
    assert await endpoint.ended() == "malformed"
    assert endpoint.audio == [SPEECH8]


async def test_of_a_stranger_nothing_is_decoded(server, dial, monkeypatch, refused) -> None:
    def decodes(*args, **more):
        raise AssertionError("a stranger's bytes were decoded")

    monkeypatch.setattr(connection_module.Decoder, "feed", decodes)
    peer = await dial(server.port)
    peer.send(b"\x10\x00\x00" * 85_000)
    await refused(server, "no_uuid")


async def test_a_peer_that_stops_reading_is_held_then_cut_off(server, endpoint, monkeypatch) -> None:
    monkeypatch.setattr(connection_module, "MAX_BACKLOG_FRAMES", 5)
    monkeypatch.setattr(connection_module, "STALL_LIMIT_S", 0.3)
    monkeypatch.setattr(connection_module, "SEND_BUFFER_BYTES", 4096)
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN24)
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(peer, ("127.0.0.1", server.port))
        await loop.sock_sendall(peer, uuid_frame(uuid))
        assert await endpoint.ended() == "stalled"
    assert 5 <= server.frames_held <= 50
    assert server.open_connections == 0


async def test_a_stall_loses_nothing_of_the_speech(server, endpoint, monkeypatch, dial, eventually) -> None:
    """A frame that could not be sent is not requested from the endpoint: its count of sent frames stays true."""
    monkeypatch.setattr(connection_module, "MAX_BACKLOG_FRAMES", -1)  # as if always full
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    endpoint.speech = [SPEECH8] * 2
    peer = await dial(server.port)
    peer.send(uuid_frame(uuid))
    await eventually(lambda: server.frames_held >= 5)
    assert endpoint.frames_due == 0
    endpoint.connection._backlog_limit = 10_000
    await peer.receive(3)
    assert [frame.payload for frame in peer.frames[:3]] == [SPEECH8, SPEECH8, bytes(320)]


# --- who may connect


async def test_an_unknown_uuid_is_refused(server, dial, refused) -> None:
    peer = await dial(server.port)
    peer.send(uuid_frame(uuid4()))
    assert await peer.until_closed() == []
    await refused(server, "unknown_uuid")


async def test_a_uuid_is_good_for_one_connection(server, call, dial, endpoint, refused) -> None:
    uuid = uuid4()
    first = await call(uuid=uuid)
    second = await dial(server.port)
    second.send(uuid_frame(uuid))
    assert await second.until_closed() == []
    await refused(server, "unknown_uuid")
    await first.receive(len(first.frames) + 2)
    assert endpoint.calls.count("connected") == 1


async def test_a_forgotten_uuid_is_refused(server, dial, endpoint, refused) -> None:
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    server.forget(uuid)
    server.forget(uuid)
    peer = await dial(server.port)
    peer.send(uuid_frame(uuid))
    await peer.until_closed()
    await refused(server, "unknown_uuid")
    assert endpoint.calls == []


async def test_a_uuid_cannot_be_expected_twice(server, endpoint) -> None:
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    with pytest.raises(ValueError, match="expected already"):
        server.expect(uuid, endpoint, SLIN8)


async def test_the_uuid_must_come_first(server, dial, refused) -> None:
    peer = await dial(server.port)
    peer.send(LOUD8)
    await peer.until_closed()
    await refused(server, "no_uuid")


async def test_garbage_instead_of_a_handshake(server, dial, refused) -> None:
    peer = await dial(server.port)
    peer.send(b"GET / HTTP/1.1\r\n\r\n")
    await peer.until_closed()
    await refused(server, "malformed")


def test_a_peer_that_was_reset_before_it_was_looked_at_is_gone_and_not_forbidden() -> None:
    """Its address is not known any more."""
    assert AudioSocketServer().admit(None) == "closed_early"


async def test_a_peer_that_only_connects(server, dial, refused) -> None:
    peer = await dial(server.port)
    peer.close()
    await refused(server, "closed_early")


@pytest.mark.parametrize("data", [b"", b"\x01", uuid_frame(UUID(int=7))[:-1]])
async def test_a_handshake_has_a_time_limit(dial, data, refused) -> None:
    server = AudioSocketServer(handshake_timeout_s=0.05)
    await server.start("127.0.0.1", 0)
    peer = await dial(server.port)
    peer.send(data)
    assert await peer.until_closed() == []
    await refused(server, "handshake_timeout")
    await server.close()


async def test_a_handshake_in_time_is_not_cut_off_later(dial, endpoint) -> None:
    server = AudioSocketServer(handshake_timeout_s=0.3)
    await server.start("127.0.0.1", 0)
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    peer = await dial(server.port)
    peer.send(uuid_frame(uuid))
    await peer.receive(20)
    assert endpoint.reasons == []
    await server.close()
    assert endpoint.reasons == ["local"]


async def test_connections_are_capped(dial, endpoint, refused, eventually) -> None:
    server = AudioSocketServer(max_connections=2)
    await server.start("127.0.0.1", 0)
    peers = []
    for _ in range(2):
        uuid, answerer = uuid4(), type(endpoint)()
        server.expect(uuid, answerer, SLIN8)
        peers.append(await dial(server.port))
        peers[-1].send(uuid_frame(uuid))
        await answerer.until(lambda answerer=answerer: answerer.calls)
    third = await dial(server.port)
    assert await third.until_closed() == []
    await refused(server, "too_many")
    peers[0].close()
    await eventually(lambda: server.open_connections == 1)
    await dial(server.port)
    await eventually(lambda: server.open_connections == 2)
    await server.close()


@pytest.mark.parametrize("limit", [{"max_connections": 3}, {"max_unidentified": 3}])
async def test_who_says_nothing_gives_way_to_newcomers(dial, endpoint, eventually, limit) -> None:
    server = AudioSocketServer(**limit)
    await server.start("127.0.0.1", 0)
    silent = [await dial(server.port) for _ in range(3)]
    await eventually(lambda: server.open_connections == 3)
    uuid = uuid4()
    server.expect(uuid, endpoint, SLIN8)
    asterisk = await dial(server.port)
    assert await silent[0].until_closed() == []
    assert dict(server.refused) == {"crowded": 1}
    asterisk.send(uuid_frame(uuid))
    await asterisk.receive(3)
    for _ in range(6):
        await dial(server.port)
    await eventually(lambda: server.refused["crowded"] >= 6)
    assert endpoint.reasons == []
    await asterisk.receive(len(asterisk.frames) + 3)
    await server.close()


async def test_many_refusals_are_counted_but_not_all_logged(server, dial, eventually, caplog) -> None:
    for _ in range(60):
        (await dial(server.port)).send(b"GET / HTTP/1.1\r\n\r\n")
    await eventually(lambda: server.refused["malformed"] == 60)
    lines = [record for record in caplog.records if record.getMessage() == "media.refused"]
    assert 10 <= len(lines) < 60
    server._lines._second = float("-inf")  # the next second
    (await dial(server.port)).send(b"GET / HTTP/1.1\r\n\r\n")
    await eventually(lambda: server.refused["malformed"] == 61)
    lines = [record for record in caplog.records if record.getMessage() == "media.refused"]
    assert len(lines) + sum(record.fields.get("unlogged", 0) for record in lines) == 61


async def test_only_allowed_addresses_get_in(dial, refused) -> None:
    server = AudioSocketServer(allowed=("192.0.2.0/24", "2001:db8::/32"))
    await server.start("127.0.0.1", 0)
    peer = await dial(server.port)
    peer.send(uuid_frame(uuid4()))
    assert await peer.until_closed() == []
    await refused(server, "not_allowed")
    await server.close()


@pytest.mark.parametrize(
    ("peer", "allowed"),
    [
        (("127.0.0.1", 5), True),
        (("::ffff:127.0.0.1", 5, 0, 0), True),
        (("::1", 5, 0, 0), True),
        (("10.0.0.1", 5), False),
        (("fe80::1%eth0", 5, 0, 2), False),
        (None, False),
        ("", False),
    ],
)
async def test_addresses(peer, allowed) -> None:
    assert (AudioSocketServer().admit(peer) is None) == allowed


# --- the server's own life


async def test_a_taken_port_is_a_configuration_error(server) -> None:
    with pytest.raises(ResourceError, match=rf"cannot listen on 127\.0\.0\.1:{server.port}: ") as caught:
        await AudioSocketServer().start("127.0.0.1", server.port)
    assert caught.value.remedy


async def test_closing_tells_every_endpoint_and_frees_the_port(call, endpoint, server, dial) -> None:
    other = type(endpoint)()
    await call()
    await call(other=other)
    await dial(server.port)  # a handshake that never comes does not hold it up
    port = server.port
    async with asyncio.timeout(5):
        await server.close()
    assert endpoint.reasons == other.reasons == ["local"]
    assert server.open_connections == 0
    again = AudioSocketServer()
    await again.start("127.0.0.1", port)
    await again.close()


async def test_closing_is_not_held_up_by_a_peer_that_does_not_read(call, endpoint, server, monkeypatch) -> None:
    monkeypatch.setattr(connection_module, "CLOSE_LIMIT_S", 0.05)
    peer = await call(SLIN24)
    peer.reader._transport.pause_reading()  # type: ignore[attr-defined]
    endpoint.connection._transport.write(bytes(8_000_000))  # more than the kernels take
    async with asyncio.timeout(10):
        await server.close()
    assert endpoint.reasons == ["local"]


async def test_a_server_that_was_never_started_can_be_closed() -> None:
    server = AudioSocketServer()
    with pytest.raises(RuntimeError, match="not started"):
        _ = server.port
    await server.close()


async def test_two_hundred_connections_closed_at_any_moment_leave_nothing(server, endpoint, dial, eventually) -> None:
    loop = asyncio.get_running_loop()
    endpoints = []
    for number in range(200):
        other = type(endpoint)()
        endpoints.append(other)
        uuid = uuid4()
        server.expect(uuid, other, SLIN8)
        peer = await dial(server.port)
        stream = uuid_frame(uuid) + LOUD8 + dtmf_frame("1") + LOUD8
        peer.send(stream[: number * 4])
        loop.call_later(number % 7 * 0.003, peer.writer.transport.abort if number % 2 else peer.close)
    await eventually(lambda: not server.open_connections and server.ended.total() + server.refused.total() == 200)
    for other in endpoints:
        assert other.calls.count("disconnected") == other.calls.count("connected") <= 1
        assert not other.calls or other.calls[-1] == "disconnected"
