"""Manager events, whatever their fields hold."""

from hypothesis import given
from hypothesis import strategies as st

from ariagent.ami import events
from ariagent.ami.protocol import Decoder, Message

NAMES = sorted(events._MAKERS)
FIELDS = (
    "queue",
    "status",
    "membername",
    "interface",
    "stateinterface",
    "paused",
    "pausedreason",
    "calls",
    "wait",
    "position",
    "uniqueid",
    "channel",
    "linkedid",
    "holdtime",
    "reason",
)
VALUES = st.sampled_from(["", "0", "1", "-1", "1e400", "nan", "inf", "0x10", "frontline", "Local/01@ariagent-seat"])


@given(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(FIELDS), VALUES | st.text(max_size=20)))
def test_any_fields_are_an_event_or_malformed(name: str, fields: Message) -> None:
    try:
        event = events.parse({"event": name, **fields}, listed=True)
    except (KeyError, ValueError, OverflowError):
        return  # what the client counts
    assert event is None or str(event)


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=40), max_size=12))
def test_any_lines_are_messages(lines: list[str]) -> None:
    decoder = Decoder()
    text = "\r\n".join(["Asterisk Call Manager/11.0.0", *lines, "", ""])
    for message in decoder.feed(text.encode(errors="replace")):
        assert all(isinstance(each, str) for pair in message.items() for each in pair)
