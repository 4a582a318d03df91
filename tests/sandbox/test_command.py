"""``ariagent sandbox`` as a process."""

import asyncio
import re
import signal
import sys
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError

ARGUMENTS = ("--voice", "tone", "--no-recogniser", "--detector", "none")


async def read_all(connection: ClientConnection) -> None:
    async for _ in connection:
        pass


async def run(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ariagent.sandbox", *arguments, stdout=-1, stderr=-1, stdin=-3
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_where_it_listens_serves_and_ends_with_exit_0(number: signal.Signals) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ariagent.sandbox", "--port", "0", *ARGUMENTS, stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        found = re.fullmatch(r"sandbox listening on (ws://127\.0\.0\.1:(\d+)/v1/realtime)\n", line)
        assert found
        async with connect(f"{found[1]}?model=gpt-realtime-2.1", additional_headers={"api-key": "x"}) as connection:
            assert '"session.created"' in str(await connection.recv())
            code, _, taken = await run("--port", found[2], *ARGUMENTS)
            assert code == 2
            assert taken.splitlines()[-1].startswith(
                f"the sandbox cannot listen on 127.0.0.1 port {found[2]}: it is ta"
            )
            process.send_signal(number)
            _, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert "stand-in" in err.decode()
    assert "Traceback" not in err.decode()


async def test_a_reset_works_on_its_own_event_loop_too() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ariagent.sandbox", *ARGUMENTS, "--fault", "abort:0", stdout=-1, stderr=-1
    )
    assert process.stdout is not None
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().split()[-1]
        async with connect(f"{url}?model=gpt-realtime-2.1", additional_headers={"api-key": "x"}) as connection:
            await connection.send('{"type":"response.create"}')
            with pytest.raises((ConnectionClosedError, ConnectionResetError)):
                await read_all(connection)
            assert connection.close_code == 1006
        process.terminate()
        _, err = await asyncio.wait_for(process.communicate(), 60)
    finally:
        if process.returncode is None:
            process.kill()
    assert "Traceback" not in err.decode()


async def test_wrong_settings_are_one_line_and_exit_2(tmp_path: Any) -> None:
    story = tmp_path / "story.yaml"
    story.write_text("otherwise: x\nwhatever: y\n")
    for arguments, text in (
        (("--fault", "nope"), "no such fault: nope"),
        (("--detector", "nose"), "no such detector: nose"),
        (("--scenario", str(story)), f"{story}, line 2, key whatever: unknown key"),
    ):
        code, out, err = await run(*ARGUMENTS, *arguments)
        assert (code, out) == (2, "")
        assert err.strip().startswith(text)
        assert len(err.strip().splitlines()) == 1


async def test_help_says_that_it_contains_no_language_model() -> None:
    code, out, _ = await run("--help")
    assert code == 0
    assert "It contains no language model" in " ".join(out.split())
    assert "--detector" in out
