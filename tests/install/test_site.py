"""Where an Asterisk is, whose it is, and which files it reads."""

import os

import pytest

from ariagent.check.installed import check_numbers
from ariagent.check.report import Status
from ariagent.errors import AsteriskError
from ariagent.install.site import find, started
from tests.install.conftest import STOCK, MakeSite, choices, plan_of

STANDARD = "/etc/asterisk/asterisk.conf"


@pytest.mark.parametrize(
    ("words", "conf"),
    [
        ("/usr/sbin/asterisk", STANDARD),
        ("/usr/sbin/asterisk -f -U asterisk -G asterisk -vvvg -c", STANDARD),
        ("/usr/sbin/asterisk -Uasterisk -C /opt/pbx/asterisk.conf", "/opt/pbx/asterisk.conf"),
        ("/usr/sbin/asterisk -C/opt/pbx/asterisk.conf -g", "/opt/pbx/asterisk.conf"),
        ("/lib/ld-linux.so.2 --argv0 a /usr/sbin/asterisk -C x.conf", "x.conf"),
        ("asterisk -rvvv", None),
        ("asterisk -x reload", None),
        ("asterisk -C /opt/pbx/asterisk.conf -rx reload", None),
        ("vim asterisk", None),
        ("python3 -m http.server", None),
    ],
)
def test_which_processes_are_an_asterisk(words: str, conf: str | None) -> None:
    found = started(words.split())
    assert (None if found is None else found[1]) == conf


def test_a_copied_tree_is_not_left_by_absolute_includes(make_site: MakeSite) -> None:
    files = {
        "extensions.conf": '[general]\n#include "/etc/asterisk/more/*.conf"\n#include /etc/asterisk/one.conf\n',
        "more/a.conf": "[from-internal]\nexten => 1,1,NoOp()\n",
        "one.conf": "[one]\n",
    }
    plan = plan_of(make_site(STOCK, files))
    assert plan.found.obstacles == []
    document = plan.found.documents["extensions.conf"]
    assert document is not None
    assert [section.name for section in document.sections] == ["general", "from-internal", "one"]


def test_braces_in_an_include(make_site: MakeSite) -> None:
    files = {"extensions.conf": "#include {a,b}1*.conf\n", "a1.conf": "[from-internal]\n", "b1.conf": "[b]\n"}
    document = make_site(STOCK, files).document("extensions.conf")
    assert document is not None
    assert [section.name for section in document.sections] == ["from-internal", "b"]


@pytest.mark.parametrize(
    "line", ["astrundir => var/run", "astmoddir =>", "astetcdir =>", "astlogdir => /var/log/asterisk/"]
)
def test_folders_however_they_are_written(make_site: MakeSite, line: str) -> None:
    site = make_site(STOCK, {"asterisk.conf": f"[directories]\n{line}\n"})
    assert site.etc == site.root / "etc" / "asterisk"
    assert site.folders.run.is_relative_to(site.root)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize(
    ("files", "runs_as", "wanted"),
    [
        ((0, 0), (4711, 4712), (0, 4712)),  # made by root, for everybody to read
        ((0, 4712), (4711, 4712), (0, 4712)),
        ((4711, 0), (4711, 4712), (4711, 0)),
        ((0, 0), (0, 0), (0, 0)),
    ],
)
def test_asterisk_can_read_what_is_made_for_it(
    make_site: MakeSite, files: tuple[int, int], runs_as: tuple[int, int], wanted: tuple[int, int]
) -> None:
    site = make_site(STOCK)
    log = site.root / "var" / "log" / "asterisk"
    log.mkdir(parents=True)
    os.chown(log, *runs_as)
    os.chown(site.etc / "extensions.conf", *files)
    assert find(root=site.root).owner == wanted


class Shows:
    """A running Asterisk that knows some extensions."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known

    def ask(self, command: str) -> str:
        if command == "core show version":
            return "Asterisk"
        place = command.split('"')[1]
        if place not in self._known:
            raise AsteriskError(f"There is no existence of {place} extension")
        number, _, context = place.partition("@")
        does = self._known[place]
        return f"[ Context '{context}' created by 'pbx_config' ]\n  '{number}' =>     1. {does}   [extensions.conf:1]\n"


OURS = "Gosub(ariagent-queue,${EXTEN},1(frontline))"


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ({"7000@ariagent-internal": OURS, "7000@from-internal": OURS}, [Status.OK, Status.OK]),
        ({"7000@ariagent-internal": OURS, "7000@from-internal": "NoOp()"}, [Status.OK, Status.FAILED]),
        ({"7000@ariagent-internal": OURS}, [Status.OK, Status.FAILED]),
        ({"7000@from-internal": OURS}, [Status.FAILED, Status.OK]),
    ],
)
def test_numbers_that_do_not_reach_the_ai(known: dict[str, str], wanted: list[Status]) -> None:
    assert [each.status for each in check_numbers(Shows(known), choices())] == wanted  # type: ignore[arg-type]
