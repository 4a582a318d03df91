"""A bare AudioSocket echo: what comes in goes out at once. The baseline that the bench subtracts.

``python -m lab.echo`` prints its port and runs until it is ended.
"""

import asyncio
import socket
from typing import cast

import uvloop

from ariagent.audiosocket.frames import FORMATS, Decoder, audio_frame


class Echo(asyncio.Protocol):
    """One connection; each audio frame is written back in one piece."""

    def __init__(self) -> None:
        self._decoder = Decoder()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            if frame.kind in FORMATS:
                self._transport.write(audio_frame(frame.kind, frame.payload))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    print(f"echo listening on {server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
