"""The test call with which ``ariagent init`` ends: one conversation through the site's Asterisk.

It needs a service that runs. Where there is none, one is started for this call alone; where there is no key for the
model, the sandbox stands in for it. Both end with the call, and keep what they write in a folder that ends with them.
They must never be left behind: a service with a stand-in would take real calls. So they also end when this process is
ended by a signal, by the kernel's doing if need be.
"""

import ctypes
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ariagent import configfile
from ariagent.ari.client import AriClient
from ariagent.caller import CONTEXT
from ariagent.caller.call_command import hold
from ariagent.caller.plan import CallPlan
from ariagent.caller.script import DEFAULT_SCRIPT, load_script
from ariagent.config import Settings
from ariagent.errors import AriagentError
from ariagent.install.plan import SERVICE_USER
from ariagent.loop import run_async
from ariagent.secret import lost
from ariagent.synthesis.programs import installed

READY_LIMIT_S = 60.0
"""Time limit for Asterisk, the model and the spoken phrases together, in seconds."""
LOOK_S = 0.1
END_LIMIT_S = 15.0
TOLD_LINES = 8
CALL_LIMIT_S = 120.0
TONES = Path(__file__).parents[1] / "sandbox" / "scenarios" / "tones.yaml"

_PR_SET_PDEATHSIG = 1
_ENDING = (signal.SIGTERM, signal.SIGHUP)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of the call."""

    code: int
    """The exit code. 0: the AI took the call, heard the caller and answered."""
    with_model: bool
    """Whether the model itself answered, and not the sandbox."""


def prove(settings_file: Path, number: str, say: Say, *, as_json: bool = False) -> Proof:
    """Hold one call with ``number``, as a phone of the site would. Leaves nothing behind, also when interrupted.

    Raises AriagentError when Asterisk or the service do not get so far.
    """
    environment = dict(os.environ)
    with ExitStack() as stack:
        stack.enter_context(_unwound())
        settings = configfile.load(settings_file, environment)
        runs = run_async(_service_runs(settings))
        missing = _lacks(settings)
        with_model = missing is None
        log: Path | None = None
        told: list[str] = []
        if runs:
            say("The service runs, so the test call goes to it. It has the settings of its start.")
            with_model = True
        else:
            folder = stack.enter_context(_folder())
            environment["ARIAGENT_STATE_DIRECTORY"] = str(folder / "state")
            if not with_model:
                say(f"The model's key is not here yet{missing}: a stand-in answers with tones. All the rest is real.")
                environment |= stack.enter_context(_stand_in(folder))
            settings = configfile.load(settings_file, environment)
            say("Starting the service for one test call ...")
            log = stack.enter_context(_service(settings_file, folder, environment, say))
            told = _told(log)
        say(f"Calling {number} as a phone of yours would ...")
        plan = CallPlan(
            extension=number,
            script=load_script(DEFAULT_SCRIPT),
            context=CONTEXT,
            caller_id="5550100",
            anyone=False,
            timeout_s=CALL_LIMIT_S,
            record_dir=None,
            find=installed,
            guess=False,
        )
        code = hold(settings, plan, as_json=as_json, quiet=as_json)
        for line in _told(log) if code and log is not None else ():
            if line not in told:
                say(f"  {line}")
        return Proof(code, with_model)


async def _service_runs(settings: Settings) -> bool:
    """Raises AriError when Asterisk cannot be asked."""
    client = AriClient(settings.asterisk)
    try:
        await client.connect()
        return await client.registered() is not None
    finally:
        await client.close()


def _lacks(settings: Settings) -> str | None:
    """The reason why the model's key is missing, for the end of a sentence; empty if the settings name no key; None if
    the key is there."""
    for each in lost(settings):
        if each.key.startswith("realtime."):
            return f" ({each.problem})"
    return "" if settings.realtime.lacks_key else None


@contextmanager
def _unwound() -> Iterator[None]:
    """A signal that ends this process ends first what it has started."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    earlier = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for a service that leaves nothing. Asterisk may go through it, to the files that it plays."""
    folder = Path(tempfile.mkdtemp(prefix="ariagent-init-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _stand_in(folder: Path) -> Iterator[Mapping[str, str]]:
    """A sandbox that needs nothing which was not installed; gives the settings that lead to it."""
    words = ("sandbox", "--scenario", str(TONES), "--detector", "energy", "--no-recogniser", "--voice", "tone")
    with _process(words, folder / "sandbox.log", dict(os.environ)) as process:
        log = folder / "sandbox.log"
        found = _wait(lambda: re.search(r"sandbox listening on (\S+)", log.read_text()), process, log, "the sandbox")
        yield {"ARIAGENT_REALTIME__URL": found[1], "ARIAGENT_REALTIME__API_KEY": "stand-in"}


@contextmanager
def _service(settings_file: Path, folder: Path, environment: Mapping[str, str], say: Say) -> Iterator[Path]:
    """``ariagent run``, as its own user where there is one, once calls are served; gives its log."""
    user = _service_user(say)
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    log = folder / "service.log"
    with _process(("run", "--no-keeper", "-c", str(settings_file)), log, environment, user) as process:
        _wait(lambda: re.search(r" service\.ready(?: |$)", log.read_text(), re.MULTILINE), process, log, "the service")
        for line in _told(log):
            say(f"  {line}")
        yield log


def _service_user(say: Say) -> pwd.struct_passwd | None:
    """The user that the service will run as, if root may choose and that user can run it; else None: this user."""
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None
    probe = [sys.executable, "-c", "import ariagent"]
    try:
        done = subprocess.run(probe, cwd="/", capture_output=True, check=False, **_as(user))
    except OSError:
        done = None
    if done is None or done.returncode:
        say(f"warning: the user {SERVICE_USER} cannot run {sys.executable}, so the test call is made as root.")
        say(f"  Install ariagent where {SERVICE_USER} can read it: not in a home folder.")
        return None
    return user


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": os.getgrouplist(user.pw_name, user.pw_gid)}


@contextmanager
def _process(
    words: tuple[str, ...], log: Path, environment: Mapping[str, str], user: pwd.struct_passwd | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """A command of ariagent's with its output in ``log``; ended in the end, and when this process dies."""
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != parent:
            os._exit(1)

    process: subprocess.Popen[bytes] | None = None
    try:
        with log.open("wb") as output, _interrupts_wait():
            process = subprocess.Popen(
                [sys.executable, "-m", "ariagent", *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env=environment,
                # Ctrl-C is for the command that was typed; it ends these.
                start_new_session=True,
                preexec_fn=in_child,
                **_as(user),
            )
        yield process
    finally:
        if process is not None:
            _end(process)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """A signal in the middle of a start would leave a process that nobody knows: it takes effect afterwards."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number)) for number in (signal.SIGINT, *_ENDING)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(
    look: Callable[[], re.Match[str] | None], process: "subprocess.Popen[bytes]", log: Path, what: str
) -> re.Match[str]:
    """Wait until ``look`` finds something, and return it. Raises AriagentError, with the process's messages, when the
    process ends or takes too long."""
    until = time.monotonic() + READY_LIMIT_S
    while (found := look()) is None:
        ended = process.poll() is not None
        if ended or time.monotonic() > until:
            problem = "ended" if ended else f"was not ready after {READY_LIMIT_S:.0f} s"
            raise AriagentError("\n  ".join([f"{what} {problem}. It said:", *_told(log)]))
        time.sleep(LOOK_S)
    return found


def _told(log: Path) -> list[str]:
    """The last lines that tell of trouble."""
    lines = log.read_text(errors="replace").splitlines()
    serious = [line for line in lines if re.search(r" (?:WARNING|ERROR|CRITICAL) |^ariagent: ", line)]
    return serious[-TOLD_LINES:]
