"""UDP sockets of the lab's phone."""

import socket

from ariagent.errors import AsteriskError


def bind_even(host: str, *, receive_buffer: int = 0) -> socket.socket:
    """A non-blocking UDP socket on a free even port; ``receive_buffer`` in bytes, 0 for the system's default.

    Even for SIP too: RTCP is sent to the port above each RTP port, and must not reach a phone beside ours.
    Raises AsteriskError when none is found.
    """
    for _ in range(200):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((host, 0))
        if sock.getsockname()[1] % 2 == 0:
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            return sock
        sock.close()
    raise AsteriskError(f"no free even UDP port on {host}")
