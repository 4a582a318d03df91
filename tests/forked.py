"""The ``ariagent`` command as a process of its own, without the second of processor time that its imports take.

A server process has imported everything, and each command is a fork of it: it has its own arguments, environment,
folder, output and exit code. What concerns the start itself (the import of modules, ``python -m``) is tested with the
real command.
"""

import asyncio
import multiprocessing
import os
import sys
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

from ariagent.cli import MODULES
from ariagent.start import main

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.forked",
        "ariagent.caller.call_command",
        "ariagent.check.bundle",
        "ariagent.check.command",
        "ariagent.control.command",
        "ariagent.records.command",
        "ariagent.rescue.command",
        "ariagent.sandbox.__main__",
        "ariagent.service.service",
        *(f"ariagent.cli.{each}" for each in set(MODULES.values())),
    ]
)


def _be_ariagent(
    words: tuple[str, ...],
    environment: dict[str, str],
    folder: Path | None,
    changed: dict[str, object],
    out: Connection,
    err: Connection,
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = [each for each in sys.path if each]  # without the current directory, as the command has it
    for name, value in changed.items():
        module, _, constant = name.rpartition(".")
        setattr(import_module(module), constant, value)
    if folder is not None:
        os.chdir(folder)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    out.close()
    err.close()
    sys.argv = ["ariagent", *words]
    main()


class Forked:
    """A command that runs. ``environment`` is all that it has; ``changed``: constants by their full names."""

    def __init__(
        self,
        *words: str,
        environment: dict[str, str],
        folder: Path | None = None,
        changed: dict[str, object] | None = None,
    ) -> None:
        self._out, out = _CONTEXT.Pipe(duplex=False)
        self._err, err = _CONTEXT.Pipe(duplex=False)
        args = (words, environment, folder, changed or {}, out, err)
        self._process = _CONTEXT.Process(target=_be_ariagent, args=args)
        self._process.start()
        out.close()
        err.close()

    async def output(self) -> asyncio.StreamReader:
        """Its standard output, as it comes."""
        return await _reader(self._out)

    async def error(self) -> asyncio.StreamReader:
        """Its standard error, as it comes."""
        return await _reader(self._err)

    def signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    async def ended(self) -> int:
        """Wait for its end, and say its exit code."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def close(self) -> None:
        """End it if it still runs."""
        self._process.kill()
        self._process.join()
        self._process.close()


async def _reader(connection: Connection) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    pipe = os.fdopen(os.dup(connection.fileno()), "rb", 0)
    connection.close()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def ariagent(
    *words: str,
    environment: dict[str, str],
    folder: Path | None = None,
    changed: dict[str, object] | None = None,
    limit_s: float = 60.0,
) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``ariagent`` with these words, started in ``folder``."""
    process = Forked(*words, environment=environment, folder=folder, changed=changed)
    try:
        async with asyncio.timeout(limit_s):
            out, err = await process.output(), await process.error()
            said, told, code = await asyncio.gather(out.read(), err.read(), process.ended())
            return code, said.decode(), told.decode()
    finally:
        process.close()
