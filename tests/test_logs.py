"""Log lines: one event a line with its fields, whatever the fields hold."""

import io
import json
import logging
import subprocess
import sys
import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ariagent.lograte import LINES_PER_S
from ariagent.logs import LONGEST_FIELD, CallLog, JsonFormatter, Side, TextFormatter
from ariagent.records import events as rec


class Sink:
    """A logger of our own that writes into memory."""

    def __init__(self, formatter: logging.Formatter) -> None:
        self.stream = io.StringIO()
        handler = logging.StreamHandler(self.stream)
        handler.setFormatter(formatter)
        self.logger = logging.Logger("ariagent.test")
        self.logger.addHandler(handler)

    @property
    def line(self) -> str:
        text = self.stream.getvalue()
        assert text.endswith("\n")
        return text[:-1]


@pytest.fixture
def text() -> Sink:
    return Sink(TextFormatter())


@pytest.fixture
def as_json() -> Sink:
    return Sink(JsonFormatter())


def test_a_text_line_is_time_level_event_and_fields(text: Sink) -> None:
    text.logger.warning("media.refused", extra={"fields": {"uuid": "ab-1", "after_ms": 0.123456789, "count": 3}})
    stamp, rest = text.line.split(" ", 1)
    assert rest == "WARNING media.refused uuid=ab-1 after_ms=0.123457 count=3"
    assert len(stamp) == len("2026-01-31T12:00:00.123+01:00")


@pytest.mark.parametrize(
    ("zone", "stamp"),
    [
        ("UTC", "2026-07-31T11:59:59.999+00:00"),
        ("CET-1CEST,M3.5.0,M10.5.0", "2026-07-31T13:59:59.999+02:00"),
        ("NST3:30", "2026-07-31T08:29:59.999-03:30"),
    ],
)
def test_times_tell_their_zone(zone: str, stamp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole milliseconds, cut off: a line is never of a moment that is still to come."""
    record = logging.makeLogRecord({"msg": "a.b", "levelname": "INFO", "created": 1_785_499_199.9996})
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        line = TextFormatter().format(record)
        entry = json.loads(JsonFormatter().format(record))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert line == f"{stamp} INFO a.b"
    assert entry["time"] == "2026-07-31T11:59:59.999Z"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "hi"', '"say \\"hi\\""'),
        ("Grüß Gott", '"Grüß Gott"'),
        ("one\ntwo", '"one\\ntwo"'),
        ("tab\there", '"tab\\there"'),
        ("\x1b[31mred", '"\\u001b[31mred"'),
        ("next\x85line", '"next\\u0085line"'),
        ("para\u2029graph", '"para\\u2029graph"'),
        (None, "None"),
        (True, "True"),
        (17, "17"),
    ],
)
def test_a_text_field_cannot_pass_for_two_or_for_another_line(text: Sink, value: object, written: str) -> None:
    text.logger.info("turn.caller", extra={"fields": {"said": value, "next": 1}})
    assert text.line.endswith(f" INFO turn.caller said={written} next=1")


@given(st.text())
def test_any_words_of_a_caller_stay_on_one_line(said: str) -> None:
    sink = Sink(TextFormatter())
    sink.logger.info("turn.caller", extra={"fields": {"said": said}})
    assert len(sink.line.splitlines()) == 1
    assert sink.line.isprintable()


def test_a_json_line_holds_event_and_fields(as_json: Sink) -> None:
    as_json.logger.error("call.fault", extra={"fields": {"call": "1.2", "cause": "a\nb", "where": {1}}})
    entry = json.loads(as_json.line)
    assert datetime.fromisoformat(entry.pop("time")).utcoffset() == timedelta(0)
    assert entry == {
        "level": "error",
        "event": "call.fault",
        "logger": "ariagent.test",
        "call": "1.2",
        "cause": "a\nb",
        "where": "{1}",
    }
    assert "\n" not in as_json.line


def test_a_trace_follows_its_text_line_and_is_inside_its_json_line(text: Sink, as_json: Sink) -> None:
    for sink in (text, as_json):
        try:
            raise ValueError("broken")
        except ValueError:
            sink.logger.exception("call.fault")
    assert text.line.splitlines()[1].startswith("Traceback")
    assert text.line.endswith("ValueError: broken")
    assert json.loads(as_json.line)["trace"].endswith("ValueError: broken")


def test_a_record_of_another_library_has_no_fields(text: Sink, as_json: Sink) -> None:
    for sink in (text, as_json):
        sink.logger.info("%s happened", "it")
    assert text.line.endswith(" INFO it happened")
    assert json.loads(as_json.line)["event"] == "it happened"


def test_a_calls_lines_carry_its_id_first(text: Sink) -> None:
    log = CallLog(text.logger, "1795.1")
    log.tell(rec.CallAnswered(5))
    assert text.line.endswith(" INFO call.answered call=1795.1 after_ms=5")


def test_a_calls_id_may_become_known_later(text: Sink) -> None:
    log = CallLog(text.logger, "1795.7")
    log.call_id = "1795.1"
    log.info("call.started")
    assert text.line.endswith(" INFO call.started call=1795.1")


def test_a_calls_event_has_its_level(text: Sink) -> None:
    text.logger.setLevel(logging.WARNING)
    log = CallLog(text.logger, "1")
    log.tell(rec.CallAnswered(5))
    log.tell(rec.NotReleased("x"))
    assert text.line.endswith(" ERROR call.release_failed call=1 cause=x")
    log.tell(rec.CallAnswered(5), logging.WARNING)
    assert text.line.endswith(" WARNING call.answered call=1 after_ms=5")
    assert len(text.stream.getvalue().splitlines()) == 2


class Kept:
    """A call's record."""

    def __init__(self) -> None:
        self.events: list[tuple[rec.CallEvent, float]] = []

    def tell(self, event: rec.CallEvent, at: float) -> None:
        self.events.append((event, at))

    def wave(self, side: Side, start_s: float, peaks: bytes) -> None:
        raise AssertionError("no waves here")


def test_a_calls_record_gets_every_event_whole_and_the_log_what_is_for_it(
    text: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795.5)
    log = CallLog(text.logger, "1")
    log.tell(rec.CallAnswered(5))
    log.record = kept = Kept()
    events = (rec.DigitsGiven(4, "4711"), rec.AudioGap(420.0), rec.CallerTurn("i1", "my card is 4711"))
    for event in events:
        log.tell(event)
    assert kept.events == [(event, 1795.5) for event in events]
    lines = [line.split(" INFO ")[1] for line in text.stream.getvalue().splitlines()]
    assert lines == [
        "call.answered call=1 after_ms=5",
        "call.digits call=1 count=4",
        "turn.caller call=1 item=i1 characters=15",
    ]
    log.tell(events[2], words=True)
    assert text.line.endswith(' turn.caller call=1 item=i1 said="my card is 4711"')


def test_what_the_log_has_no_room_for_is_in_the_record(text: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    log = CallLog(text.logger, "1")
    log.record = kept = Kept()
    for number in range(500):
        log.tell(rec.ModelMalformed("x" * 10_000, number))
    assert text.stream.getvalue().count("model.malformed") == LINES_PER_S
    assert [event for event, _ in kept.events] == [rec.ModelMalformed("x" * 10_000, number) for number in range(500)]


def test_of_alike_lines_of_a_call_few_are_written_and_the_rest_counted(
    text: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    log = CallLog(text.logger, "1")
    for number in range(500):
        log.tell(rec.ModelMalformed("json", number))
        if number < 3:
            log.tell(rec.ModelRefused(str(number)))
    assert text.stream.getvalue().count("model.malformed") == LINES_PER_S
    assert text.stream.getvalue().count("model.refused") == 3
    now = 101.0
    log.tell(rec.ModelMalformed("json", 500))
    assert text.line.endswith(f" length=500 unlogged={500 - LINES_PER_S}")


def test_a_long_field_of_a_call_is_cut(text: Sink) -> None:
    CallLog(text.logger, "1").tell(rec.ModelRefused("x", "x" * 1_000_000))
    assert text.line.endswith(" message=" + "x" * LONGEST_FIELD + "...")


class TestConfigure:
    """In a process of its own: it changes the root logger."""

    @pytest.fixture
    def lines(self, request: pytest.FixtureRequest) -> list[str]:
        level, style = request.param
        program = (
            "import logging; from ariagent import logs;"
            f"logs.configure({level!r}, {style!r});"
            "log = logging.getLogger('ariagent.x');"
            "log.debug('ours.debug'); log.info('ours.info'); log.error('ours.error');"
            "logging.getLogger('websockets.client').info('theirs.info');"
            "logging.getLogger('websockets.client').warning('theirs.warning')"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
        assert run.stdout == ""
        return run.stderr.splitlines()

    @pytest.mark.parametrize("lines", [("info", "text")], indirect=True)
    def test_text_to_standard_error(self, lines: list[str]) -> None:
        assert [line.split(" ", 1)[1] for line in lines] == [
            "INFO ours.info",
            "ERROR ours.error",
            "WARNING theirs.warning",
        ]

    @pytest.mark.parametrize("lines", [("debug", "json")], indirect=True)
    def test_json_with_debug_of_ours_only(self, lines: list[str]) -> None:
        events = [json.loads(line)["event"] for line in lines]
        assert events == ["ours.debug", "ours.info", "ours.error", "theirs.warning"]

    @pytest.mark.parametrize("lines", [("error", "text")], indirect=True)
    def test_only_errors_of_ours(self, lines: list[str]) -> None:
        assert [line.split(" ", 1)[1] for line in lines] == ["ERROR ours.error", "WARNING theirs.warning"]
