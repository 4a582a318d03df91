"""Results as lines and as JSON."""

import json

from ariagent.check.report import Report, Status, failed, ok, skipped, warning


def test_a_line_says_status_what_found_and_remedy() -> None:
    assert failed("model", "it refused.", "Check the key").line == (
        "failed   model                  - it refused; Check the key"
    )
    assert ok("queues", "60 members").line == "ok       queues                 - 60 members"
    assert skipped("dialplan", "Asterisk").line == "skipped  dialplan               - needs Asterisk"


def test_what_a_peer_said_cannot_break_the_line() -> None:
    line = warning("tool", "bad\x1b[2J\nanswer\t\x00\u202e!").line
    assert line.endswith("- bad [2J answer !")
    assert line.isprintable()


def test_warnings_and_skipped_ones_do_not_fail() -> None:
    report = Report()
    assert report.summary == "nothing was checked"
    for result in (ok("a", "1"), warning("b", "2"), skipped("c", "d"), ok("e", "3")):
        report.add(result)
    assert report.exit_code == 0
    assert report.summary == "2 ok, 1 warning, 1 skipped"
    report.add(warning("g", "5"))
    assert report.summary == "2 ok, 2 warnings, 1 skipped"
    report.add(failed("f", "4"))
    assert report.exit_code == 1
    assert report.count(Status.FAILED) == 1


def test_json_holds_everything() -> None:
    report = Report()
    report.add(ok("round trip", "1 ms", median_ms=1.0))
    report.add(failed("key", "ö", "Check it"))
    told = json.loads(report.json(settings="a.yaml"))
    assert told == {
        "settings": "a.yaml",
        "passed": False,
        "counts": {"ok": 1, "warning": 0, "failed": 1, "skipped": 0},
        "results": [
            {"status": "ok", "check": "round trip", "found": "1 ms", "remedy": "", "figures": {"median_ms": 1.0}},
            {"status": "failed", "check": "key", "found": "ö", "remedy": "Check it"},
        ],
    }
