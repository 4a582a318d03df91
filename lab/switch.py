"""A TCP relay whose new connections can be sent elsewhere, while those that exist stay.

``python -m lab.switch PORT OTHER_PORT`` prints the port it listens on and relays to PORT of 127.0.0.1; from
SIGUSR1 on, new connections go to OTHER_PORT. A reader that is slow slows its sender down, as without a relay.
It has the lowest priority: it stands for a network, which takes nothing of the processor.
"""

import asyncio
import signal
import sys
from contextlib import suppress

import uvloop

from lab.processes import step_back

_CHUNK = 1 << 16


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()


class Switch:
    """Relays connections to ``ports[0]``, or to ``ports[1]`` once switched."""

    def __init__(self, ports: tuple[int, int]) -> None:
        self._ports = ports
        self._chosen = 0

    def switch(self) -> None:
        """Send new connections to the other port."""
        self._chosen = 1

    async def serve(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Relay one connection until either side ends it."""
        try:
            far_in, far_out = await asyncio.open_connection("127.0.0.1", self._ports[self._chosen])
        except OSError:
            near_out.close()
            return
        await asyncio.gather(_relay(near_in, far_out), _relay(far_in, near_out))


async def main(ports: tuple[int, int]) -> None:
    """Relay until killed."""
    step_back()
    switch = Switch(ports)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, switch.switch)
    server = await asyncio.start_server(switch.serve, "127.0.0.1", 0)
    print(f"switch listening on {server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main((int(sys.argv[1]), int(sys.argv[2]))))
