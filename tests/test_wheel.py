"""The wheel holds the product: all of the package, nothing that lies beside it, and every shipped file."""

import subprocess
from pathlib import Path
from zipfile import ZipFile

import pytest

from ariagent import __version__, shipped
from tests.installed import CHECKOUT, build, install

DATA = ("*.yaml", "*.wav")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return install(wheel, tmp_path_factory.mktemp("installed") / "venv")


def ariagent(command: list[str], *words: str) -> str:
    done = subprocess.run([*command, *words], cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name.partition("/")[0] for name in names} == {"ariagent", f"ariagent-{__version__}.dist-info"}
    package = CHECKOUT / "ariagent"
    wanted = {path for kind in ("*.py", *DATA) for path in package.rglob(kind)}
    wanted |= {package / "shipped" / name for name in shipped.names()} | {package / "py.typed"}
    packed = {name for name in names if name.startswith("ariagent/")}
    assert packed == {str(path.relative_to(CHECKOUT)) for path in wanted}


def test_installed_it_knows_its_version(command: list[str]) -> None:
    assert ariagent(command, "version").strip() == __version__


@pytest.mark.long
def test_installed_it_prints_every_shipped_file(command: list[str]) -> None:
    names = ariagent(command, "files").split()
    assert names == shipped.names()
    for name in names:
        assert ariagent(command, "files", name) == (CHECKOUT / name).read_text()
