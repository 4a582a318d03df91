"""The party on the line of a seat after an attended transfer, by the events of the manager interface."""

from ariagent.ami.events import AttendedTransferred
from ariagent.call.attended_transfer import remote_party
from ariagent.dialogue.introduction import Party

SEAT = "Local/03@ariagent-seat-00000001;1"


def transferred(**fields: str) -> AttendedTransferred:
    told = {
        "result": "Success",
        "first": "PJSIP/1001-1",
        "second": "PJSIP/1001-2",
        "transferee": "PJSIP/caller-1",
        "transferee_caller": "5551000",
        "transferee_name": "<unknown>",
        "target": SEAT,
        "target_caller": "<unknown>",
        "target_name": "<unknown>",
        "linked_id": "1.2",
        **fields,
    }
    return AttendedTransferred(**told)


class TestRemoteParty:
    def test_is_who_is_handed_to_the_seat(self) -> None:
        assert remote_party(transferred(), SEAT) == Party("5551000")

    def test_or_whom_the_seat_is_handed_to(self) -> None:
        event = transferred(
            transferee=SEAT, transferee_caller="", target="PJSIP/caller-1", target_caller="5551000", target_name="Ben"
        )
        assert remote_party(event, SEAT) == Party("5551000", "Ben")

    def test_of_another_seat_is_none(self) -> None:
        assert remote_party(transferred(), "Local/04@ariagent-seat-00000002;1") is None

    def test_of_a_transfer_that_failed_is_none(self) -> None:
        assert remote_party(transferred(result="Fail"), SEAT) is None
