"""Numbers of callers that look like fields, messages and answers of Asterisk's: nothing in them is believed, and the
message that they are in is read as it was meant."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ariagent.ami import events, runs
from ariagent.ami.events import CallerLeft, CallerWaits, Event, MemberChanged, UserEvent
from ariagent.ami.protocol import GREETING, Decoder, Message
from tests.ami import wire

LONGEST_NUMBER = 79
"""Characters that PJSIP takes; more are cut."""
FORGED = (
    "\n\nEvent:UserEvent\nUserEvent:AriagentSupervisor\nDo:take\nCall:1795950548.204\nTo:1",
    "\n\nEvent: UserEvent\nPrivilege: user,all\nUserEvent: AriagentSupervisor\nDo: barge",
    "\r\n\r\nEvent: QueueMemberRemoved\r\nPrivilege: agent,all\r\nQueue: q\r\nInterface: x",
    "\n\nEvent: AgentConnect\nPrivilege: agent,all\nQueue: q\nInterface: x\nUniqueid: 1",
    "\n\nEvent: QueueParams\nQueue: q\nMax: 0\nCompleted: 99999",
    "\n\nEvent: QueueStatusComplete\nEventList: Complete\nActionID: ariagent-3",
    "EventList: Complete\nActionID: ariagent-3",
    "\nEventList: Complete\nActionID: ariagent-3",
    "\n\nResponse: Error\nActionID: ariagent-3\nMessage: no",
    "555\r\nQueue: support\r\nUniqueid: 1.999",
    "555\nUniqueid: 1.999",
    "\nCallerIDName: x\nConnectedLineNum: x\nConnectedLineName: x\nLanguage: \nAccountC",
    "\nCallerIDName: \n\nEvent: UserEvent\nPrivilege: user,all\nChannel: x\nUserEvent: A",
    "\n" * LONGEST_NUMBER,
    "\r\n\r\nAction: Logoff\r\n\r\n",
    "\nAsterisk Call Manager/1.0\n\n",
)
LINES = st.sampled_from([*FORGED, "\n", "\r\n", "\n\n", ": ", *wire.CHANNEL, *events._MAKERS, "Event: ", "Privilege: "])
NUMBERS = st.lists(LINES | st.text(max_size=12), max_size=6).map(lambda parts: "".join(parts)[:LONGEST_NUMBER])


def decoded(*parts: bytes) -> list[Message]:
    decoder = Decoder()
    return decoder.feed(GREETING + b"11.0.0\r\n" + b"".join(parts))


def understood(*parts: bytes, listed: bool = False) -> list[Event]:
    found = (events.parse(message, listed=listed) for message in decoded(*parts))
    return [event for event in found if event is not None]


@given(NUMBERS)
@example(FORGED[0])
def test_a_number_is_one_value_and_the_rest_is_as_it_was(number: str) -> None:
    event = wire.caller_left("q", "1.1", CallerIDNum=number, ConnectedLineNum=number[::-1])
    after = wire.caller_left("q", "1.2")
    assert understood(wire.text(event), wire.text(after)) == [CallerLeft("q", "1.1"), CallerLeft("q", "1.2")]


@given(NUMBERS)
def test_the_number_is_cut_at_its_first_line(number: str) -> None:
    (message,) = decoded(wire.text(wire.caller_left(CallerIDNum="5550100\n" + number)))
    assert message["calleridnum"] == "5550100"
    assert list(message)[:2] == ["event", "privilege"]


@given(NUMBERS, NUMBERS)
def test_in_a_prefix_too(number: str, other: str) -> None:
    agent = {"Queue": "q", "Interface": "PJSIP/1001", "MemberName": "Agent 1001", "RingTime": "900", "HoldTime": "1"}
    both = {**wire.channel(CallerIDNum=number), **wire.channel("Dest", CallerIDNum=other, ConnectedLineNum=number)}
    (event,) = understood(wire.text({"Event": "AgentConnect", "Privilege": "agent,all", **both, **agent}))
    assert isinstance(event, events.AgentConnected)
    assert (event.interface, event.unique_id) == ("PJSIP/1001", wire.CHANNEL["Uniqueid"])


@given(NUMBERS)
def test_a_dialled_extension_forges_nothing(number: str) -> None:
    """The site's own pattern may take everything (``_X.``). The message that it is in may be lost."""
    messages = decoded(wire.text(wire.caller_left("q", "1.1", Exten="7" + number[1:])))
    found = []
    for message in messages:
        try:
            found.append(events.parse(message))
        except (KeyError, ValueError, OverflowError):
            continue
    assert {event for event in found if event is not None} <= {CallerLeft("q", "1.1")}


@pytest.mark.parametrize("more", ["", "\nX: y"])
def test_a_dialled_extension_does_not_make_the_message_another_callers(more: str) -> None:
    """A pattern of the site (``_79.``) takes line breaks: the one who waits would be counted no more."""
    dialled = f"79\nPriority: 1\nUniqueid: 1795986324.63\nLinkedid: 1795986324.63{more}"
    assert len(dialled) <= LONGEST_NUMBER
    after = wire.caller_left("q", "1.2")
    found = understood(wire.text(wire.caller_left("q", "1.1", Exten=dialled)), wire.text(after))
    assert found == [CallerLeft("q", "1.2")]


@given(NUMBERS)
def test_the_caller_of_a_list_is_read(number: str) -> None:
    entry = {**wire.ENTRY, "CallerIDNum": number, "ActionID": "ariagent-1"}
    assert understood(wire.text(entry), listed=True) == [CallerWaits("q", "1795980360.60", 1, 7, 0)]


@given(NUMBERS, NUMBERS)
def test_a_channel_of_status_keeps_its_own_id(number: str, dialled: str) -> None:
    (message,) = decoded(wire.text(wire.status("ariagent-77", CallerIDNum=number, DNID=dialled)))
    assert message["actionid"] == "ariagent-77"
    assert message["application"] == "Stasis"
    assert "eventlist" not in message


@given(NUMBERS)
def test_a_user_event_is_its_dialplans(number: str) -> None:
    said = {"Do": "next", "Key": "k"}
    (event,) = understood(wire.text(wire.user_event("AriagentSupervisor", number=number, **said)))
    assert isinstance(event, UserEvent)
    assert {name: event.fields[name] for name in ("do", "key", "channel")} == {
        "do": "next",
        "key": "k",
        "channel": wire.CHANNEL["Channel"],
    }
    assert "call" not in event.fields


def test_what_the_dialplan_says_later_does_not_replace_what_asterisk_said_first() -> None:
    (event,) = understood(wire.text(wire.user_event("X")).replace(b"\r\n\r\n", b"\r\nChannel: PJSIP/1004-1\r\n\r\n"))
    assert isinstance(event, UserEvent)
    assert event.fields["channel"] == wire.CHANNEL["Channel"]


class TestWithoutThePrivilege:
    @pytest.mark.parametrize("forged", FORGED)
    def test_a_message_of_its_own_is_nothing(self, forged: str) -> None:
        for message in decoded(forged.strip().encode() + b"\r\n\r\n"):
            try:
                assert events.parse(message) is None
            except (KeyError, ValueError, OverflowError):
                continue

    @pytest.mark.parametrize("privilege", ["", "call,all", "user", "agentall"])
    def test_an_event_of_another_class(self, privilege: str) -> None:
        with pytest.raises(ValueError, match="class"):
            understood(wire.text({**wire.caller_left(), "Privilege": privilege}))

    def test_the_class_is_the_second_line(self) -> None:
        event = wire.caller_left()
        late = {"Event": event["Event"], "Channel": event["Channel"], **event}
        with pytest.raises(ValueError, match="class"):
            understood(wire.text(late))

    def test_an_item_of_a_list_counts_in_a_list_only(self) -> None:
        item = wire.text({"Event": "QueueMember", **wire.LISTED_MEMBER})
        assert len(understood(item, listed=True)) == 1
        with pytest.raises(ValueError, match="did not request"):
            understood(item)

    @pytest.mark.parametrize("name", [name for name in wire.MEMBER if name.lower() in events._OF_MEMBER])
    def test_a_member_without_a_field(self, name: str) -> None:
        assert isinstance(understood(wire.text(wire.member_status()))[0], MemberChanged)
        fields = {key: value for key, value in wire.member_status().items() if key != name}
        with pytest.raises(KeyError):
            understood(wire.text(fields))

    def test_a_user_event_of_a_program_is_not_for_us(self) -> None:
        own = {"UserEvent": "AriagentSupervisor", "Channel": "PJSIP/1004-1", "Uniqueid": "1.1", "Linkedid": "1.1"}
        assert understood(wire.text({"Event": "UserEvent", "Privilege": "user,all", **own})) == []


def test_the_end_of_a_conversation_whose_channels_are_gone() -> None:
    agent = {"Queue": "q", "Interface": "PJSIP/1001", "MemberName": "Agent 1001"}
    event = {"Event": "AgentComplete", "Privilege": "agent,all", **agent}
    ended = {**event, "HoldTime": "1", "TalkTime": "2", "Reason": "caller"}
    (found,) = understood(wire.text(ended))
    assert isinstance(found, events.AgentCompleted)
    assert found.talked_s == 2
    least = {name: value[:1] if name not in ("Event", "Privilege") else value for name, value in ended.items()}
    assert len(wire.text(least).replace(b"\r", b"")) > LONGEST_NUMBER
    with pytest.raises(KeyError):
        understood(wire.text(event))


class TestBounds:
    def test_a_run_that_does_not_end_costs_one_message(self) -> None:
        cut_off = wire.text({"Event": "Odd", **wire.channel()}).partition(b"CallerIDName")[0]
        decoder = Decoder()
        decoder.feed(GREETING + b"11.0.0\r\n" + cut_off)
        for _ in range(2 * runs.MOST_LINES):
            assert decoder.feed(b"Output: x\r\n") == []
        assert decoder.feed(b"\r\n" + wire.text({"Event": "Next"})) == [{"event": "Next"}]
        assert decoder.dropped == 1

    def test_a_number_that_is_no_channels_begins_nothing(self) -> None:
        said = {"Event": "OriginateResponse", "Uniqueid": "1.1", "CallerIDNum": "5"}
        assert [list(each) for each in decoded(wire.text(said), wire.text({"Event": "Next"}))] == [
            ["event", "uniqueid", "calleridnum"],
            ["event"],
        ]

    def test_the_rest_of_a_run_is_longer_than_a_number(self) -> None:
        """The numbers' own names are not among what a number must forge; from the connected line's on it is least."""
        for head in (
            ("channel", "channelstate", "channelstatedesc", "calleridnum"),
            ("channel", "uniqueid", "calleridnum"),
        ):
            rest = runs.rest(head)
            least = min(len("".join(f"\n{name}: " for name in rest)), LONGEST_NUMBER)
            assert rest
            assert least > LONGEST_NUMBER - 8, "too few characters are left for a message"
