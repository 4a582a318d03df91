"""A machine in a folder: essential packages, Python and systemd of the distribution that this machine has.

Commands run in it by chroot, which needs root; each has a mount namespace of its own, so nothing stays mounted.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ariagent.errors import ConfigurationError
from ariagent.synthesis.debian import ensure_folder
from lab.packages import default_lab_dir, stderr_progress

WANTED = ("?essential", "python3", "adduser", "procps", "systemd")
_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_MOUNT = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && '
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


class Machine:
    """A root file system, below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.binds: dict[Path, str] = {}
        """Folder outside -> folder inside that shows it."""

    def entering(self, user: str = "root") -> tuple[str, ...]:
        """The argv prefix that runs a command in it."""
        mounts = _MOUNT + "".join(
            f'mount --bind "{outside}" "$0{inside}" && ' for outside, inside in self.binds.items()
        )
        return ("unshare", "--mount", "sh", "-c", f'{mounts} exec chroot --userspec={user} "$0" "$@"', str(self.root))

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return subprocess.run(
            [*self.entering(), *words], capture_output=True, text=True, env=ENVIRONMENT, timeout=300, check=False
        )

    def done(self, *words: str) -> str:
        """Run a command in it that must not fail; returns what it prints."""
        finished = self.run(*words)
        assert finished.returncode == 0, f"{' '.join(words)}: {finished.stdout}\n{finished.stderr}"
        return finished.stdout + finished.stderr

    def tree(self) -> dict[str, str]:
        """Every file, folder and link of it, with owner, mode and what it holds."""
        found = {}
        for folder, folders, files in os.walk(self.root):
            for name in (*folders, *files):
                path = Path(folder) / name
                status = path.lstat()
                kind = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else f"{status.st_size} bytes"
                found["/" + str(path.relative_to(self.root))] = (
                    f"{status.st_uid}:{status.st_gid} {status.st_mode:o} {kind}"
                )
        return found


def copy_of_clean_machine(folder: Path) -> Machine:
    """Raises ConfigurationError, with the reason, where none can be made."""
    if os.geteuid() != 0:
        raise ConfigurationError("only root may chroot")
    probe = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        raise ConfigurationError(f"no mount namespace can be had here: {probe.stderr.strip()}")
    suite = _suite()
    made = ensure_folder(f"machine-{suite}", WANTED, default_lab_dir(), _make, stderr_progress, suite=suite)
    subprocess.run(["cp", "--archive", "--reflink=auto", made, folder], check=True)
    return Machine(folder)


def _suite() -> str:
    """The release of the distribution that this machine has: the package fits its Python."""
    lines = Path("/etc/os-release").read_text().splitlines()
    release = dict(line.split("=", 1) for line in lines if "=" in line)
    if release.get("ID", "").strip('"') != "debian":
        raise ConfigurationError(f"a clean machine is made of Debian's packages, and this is {release.get('NAME')}")
    return release["VERSION_CODENAME"].strip('"')


def _make(archives: Sequence[Path], root: Path) -> None:
    """Install as debootstrap does it: files first, so that the packages' scripts can run; then dpkg."""
    for name in _LINKS:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for archive in archives:
        # dpkg-deb -x would make folders of the links.
        packed = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE)
        subprocess.run(["tar", "-x", "--keep-directory-symlink", "-C", root], stdin=packed.stdout, check=True)
        packed.wait()
    for name in ("passwd", "group"):
        shutil.copy(root / "usr/share/base-passwd" / f"{name}.master", root / "etc" / name)
    for name in ("updates", "info"):
        (root / "var/lib/dpkg" / name).mkdir(parents=True, exist_ok=True)
    (root / "var/lib/dpkg/status").touch()
    for step in (("--force-all", "--unpack", *archives), ("--configure", "-a")):
        argv = ["unshare", "--mount", "sh", "-c", 'mount --rbind /dev "$0/dev" && exec dpkg --root="$0" "$@"', root]
        done = subprocess.run(
            [*argv, "--force-unsafe-io", *step], capture_output=True, text=True, env=ENVIRONMENT, check=False
        )
        if done.returncode:
            raise ConfigurationError(f"dpkg cannot install a clean machine: {done.stderr[-500:]}")
    # Absolute links would lead those who look from outside out of the folder.
    for name in ("run", "lock"):
        (root / "var" / name).unlink()
        (root / "var" / name).symlink_to({"run": "../run", "lock": "../run/lock"}[name])
