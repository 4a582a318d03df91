"""Free loopback ports. A port found free can be taken before it is used: callers that lose the race try again."""

import random
import socket

RTP_PORTS = 1000
"""Size of one instance's RTP range: 120 calls with both legs and RTCP use 480, and the rest is for collisions."""

_RTP_LOWEST, _RTP_HIGHEST = 10_000, 31_000


def free_tcp_port(host: str = "127.0.0.1") -> int:
    """A TCP port of ``host`` that nothing listens on."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def free_udp_port(host: str = "127.0.0.1") -> int:
    """A UDP port of ``host`` that nothing is bound to."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def rtp_range() -> tuple[int, int]:
    """First and last port of a random RTP range below the ephemeral ports.

    Two instances may overlap without harm: Asterisk takes the next pair when one is in use.
    """
    first = random.randrange(_RTP_LOWEST, _RTP_HIGHEST, 100)
    return first, first + RTP_PORTS - 1
