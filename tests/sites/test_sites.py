"""ariagent beside an Asterisk with a configuration of its own: installed, restarted, called, broken, taken out."""

import asyncio
import shutil
from typing import Any

import numpy as np
import pytest

from lab import environment
from tests.sites.conftest import Heard, SiteUnderTest, difference, service
from tests.sites.shapes import COMPANY, SHAPES, UPSTREAM, Shape

pytestmark = pytest.mark.asterisk

AI = "7000"
ELSEWHERE = ("127.0.0.2", "127.0.0.3")
"""The service's and Asterisk's addresses, as of two machines."""
LIMIT_S = 30
TONE = (9000 * np.sin(2 * np.pi * 700 * np.arange(8000 * LIMIT_S) / 8000)).astype(np.int16)


async def human_answers(site: SiteUnderTest, caller: Any, human_agent: Any, number: str) -> None:
    """A call to ``number`` reaches the human agent, and both hear each other."""
    call = await caller.dial(number)
    ringing = await human_agent.incoming(LIMIT_S)
    await ringing.answer()
    await call.answered(LIMIT_S)
    await hear_each_other(call, ringing)
    await call.hangup()
    await ringing.ended(LIMIT_S)
    await quiet(site)


async def hear_each_other(one: Any, other: Any) -> None:
    for speaker, listener in ((one, other), (other, one)):
        heard = Heard(listener)
        # They are joined a moment after the answer.
        speaker.play(TONE)
        await heard.loud()
        speaker.stop_playing()


async def unknown_number(caller: Any) -> tuple[bool, int]:
    """The site's reaction to a number that it does not have: whether it answers (and says so), and how it ends."""
    call = await caller.dial(AI)
    end = await call.ended(LIMIT_S)
    return call.answered_at is not None, end.status


async def quiet(site: SiteUnderTest) -> None:
    """Return when no channel is left. Raises TimeoutError."""
    async with asyncio.timeout(LIMIT_S):
        while "0 active channels" not in await site.asterisk.cli("core show channels count"):
            await asyncio.sleep(0.1)


async def lets_in(site: SiteUnderTest, source: str) -> bool:
    """Whether the AMI user may log in from an address."""
    password = (site.etc / "ariagent" / "ami-password").read_text().strip()
    reader, writer = await asyncio.open_connection(ELSEWHERE[1], site.addresses.ami, local_addr=(source, 0))
    writer.write(f"Action: Login\r\nUsername: ariagent\r\nSecret: {password}\r\nEvents: off\r\n\r\n".encode())
    async with asyncio.timeout(LIMIT_S):
        await reader.readline()
        answer = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert b"Response: Success" in answer or b"Authentication failed" in answer, answer
    return b"Response: Success" in answer


@pytest.mark.sites
async def test_a_service_on_another_machine_is_let_in_and_others_are_not(make_site: Any) -> None:
    """Loopback has many addresses: this machine is several."""
    site: SiteUnderTest = await make_site(UPSTREAM)
    done = await site.install("--apply", "--service-address", ELSEWHERE[0], "--asterisk-address", ELSEWHERE[1])
    assert done.code == 0, done
    await site.restart()
    assert f"{ELSEWHERE[1]}:{site.addresses.http}" in await site.asterisk.cli("http show status")
    assert await lets_in(site, ELSEWHERE[0])
    assert await lets_in(site, ELSEWHERE[1])
    assert not await lets_in(site, "127.0.0.9")


@pytest.mark.sites
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
async def test_installed_called_broken_and_taken_out(make_site: Any, shape: Shape) -> None:
    site: SiteUnderTest = await make_site(shape)
    shutil.copytree(site.etc, site.root / "etc.before", symlinks=True)
    before = await site.shown()
    caller = await site.phone("1001")
    taken_for_unknown = await unknown_number(caller)

    # Looking changes nothing.
    looked = await site.install()
    assert looked.code == 0, looked
    assert difference(site.root / "etc.before", site.etc) == ""
    assert await site.shown() == before

    done = await site.install("--apply")
    assert done.code == 0, done
    assert [line for line in done.out.splitlines() if line.startswith(("failed", "warning"))] == []
    again = await site.install()
    assert "Everything is in place." in again.out, again
    if shape.links:
        assert all((site.etc / "asterisk" / name).is_symlink() for name in shape.links)
        assert (
            difference(site.root / "etc.before" / "asterisk" / "http.conf", site.etc / "asterisk" / "http.conf") == ""
        )

    await site.restart()
    assert (await site.install()).code == 0
    caller, human_agent = await site.phone("1001"), await site.phone("1002")
    async with environment.sandbox(site.root, "--detector", "energy", "--no-recogniser", "--voice", "tone") as (
        model,
        url,
    ):
        words = ["--business", "Harbour Cycles", "--model-url", url, "--api-key-env", "MODEL_KEY"]
        tests = ["--call"] if shape is COMPANY else []
        made = await site.ariagent("init", "--root", str(site.root), *words, *tests)
        assert made.code == 0, made
        if tests:
            assert "The telephone path works" in made.out
            await quiet(site)
        async with service(site) as running:
            # The AI answers, and hears the caller.
            call = await caller.dial(AI)
            await call.answered(LIMIT_S)
            heard = Heard(call)
            await heard.loud()
            await call.send_dtmf("0")  # to a human agent, who is in the site's own queue
            ringing = await human_agent.incoming(LIMIT_S)
            await ringing.answer()
            await hear_each_other(call, ringing)
            await call.hangup()
            await quiet(site)

            # Without a model callers reach human agents.
            await model.stop()
            await human_answers(site, caller, human_agent, AI)
            await running.wait_for("model.unusable")
    # Without a service too.
    await human_answers(site, caller, human_agent, AI)
    # The site's own numbers are the site's.
    await human_answers(site, caller, human_agent, "1002")
    await human_answers(site, caller, human_agent, "7100")

    gone = await site.ariagent("uninstall", "--root", str(site.root))
    assert gone.code == 0, gone
    site.settings.unlink()
    site.settings.parent.rmdir()
    assert difference(site.root / "etc.before", site.etc) == ""
    await site.restart()
    assert await site.shown() == before
    caller, human_agent = await site.phone("1001"), await site.phone("1002")
    await human_answers(site, caller, human_agent, "7100")
    assert await unknown_number(caller) == taken_for_unknown
