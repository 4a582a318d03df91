"""The party on the line, by what Asterisk tells of channels: literal times, in seconds."""

import pytest

from ariagent.ami.events import AttendedTransferred
from ariagent.ari.client import AriClient, NotFoundError
from ariagent.ari.events import Channel
from ariagent.call import presentation
from ariagent.call.attended_transfer import SETTLE_S, AttendedTransfer, party_after_transfer, remote_party
from ariagent.config import AsteriskSettings
from ariagent.dialogue.introduction import Party

HUMAN_AGENT, CALLER = Party("1001", "Anna"), Party("5551000")


def channel(state: str, number: str = "") -> Channel:
    return Channel("leg-2", "Local/_attended@transfer-1;2", state, caller_number=number)


def met(parties: AttendedTransfer) -> list[tuple[float, Party]]:
    """The party that the agent is to meet, and the time, if nothing else happens."""
    found = []
    while (due := parties.next_deadline()) is not None:
        assert parties.tick(due - 0.001) is None
        party = parties.tick(due)
        assert party is not None
        found.append((round(due, 3), party))
    return found


class TestNewcomers:
    def test_the_number_comes_behind_the_channel(self) -> None:
        parties = AttendedTransfer()
        parties.shown(HUMAN_AGENT)
        parties.replaced(channel("Up"), 10.0)
        parties.shown(CALLER)
        assert met(parties) == [(10.0 + SETTLE_S, CALLER)]

    def test_the_channels_own_number_where_nothing_comes(self) -> None:
        parties = AttendedTransfer()
        parties.shown(HUMAN_AGENT)
        parties.replaced(channel("Up", "5551000"), 10.0)
        assert met(parties) == [(10.0 + SETTLE_S, CALLER)]

    def test_a_party_whose_phone_rings_is_met_when_they_answer(self) -> None:
        parties = AttendedTransfer()
        parties.replaced(channel("Down"), 10.0)
        parties.shown(CALLER)
        parties.up("another", 11.0)
        assert parties.next_deadline() is None
        assert parties.tick(12.0) is None
        parties.up("leg-2", 15.0)
        assert met(parties) == [(15.0 + SETTLE_S, CALLER)]

    def test_is_met_once_when_the_channel_is_told_as_up_again(self) -> None:
        parties = AttendedTransfer()
        parties.replaced(channel("Down", "5551000"), 10.0)
        parties.up("leg-2", 11.0)
        assert met(parties) == [(11.0 + SETTLE_S, CALLER)]
        parties.up("leg-2", 12.0)
        assert met(parties) == []

    def test_two_in_a_row_are_met_once(self) -> None:
        parties = AttendedTransfer()
        parties.replaced(channel("Up", "1002"), 10.0)
        parties.replaced(channel("Up", "5551000"), 10.05)
        assert met(parties) == [(10.05 + SETTLE_S, CALLER)]

    def test_one_behind_another_who_still_rings_takes_their_place(self) -> None:
        parties = AttendedTransfer()
        parties.replaced(channel("Up", "1002"), 10.0)
        parties.replaced(channel("Down", "5551000"), 10.05)
        assert met(parties) == []
        parties.up("leg-2", 12.0)
        assert met(parties) == [(12.0 + SETTLE_S, CALLER)]

    def test_nobody_new_is_met_without_a_transfer(self) -> None:
        parties = AttendedTransfer()
        parties.arrived(HUMAN_AGENT)
        parties.shown(CALLER)
        assert parties.next_deadline() is None
        assert parties.tick(1e6) is None
        assert (parties.current, parties.changed) == (HUMAN_AGENT, False)

    def test_what_is_read_of_the_first_caller_comes_too_late_for_the_second(self) -> None:
        parties = AttendedTransfer()
        parties.joined(CALLER, 1.0)
        parties.arrived(HUMAN_AGENT)
        assert parties.current == CALLER


class TestTalkTime:
    def test_is_one_number_without_a_change(self) -> None:
        parties = AttendedTransfer()
        assert parties.talk_s(5.0) == {"talk_s": 0}
        parties.answered(10.0)
        assert parties.talk_s(15.0) == {"talk_s": 5.0}

    def test_is_split_at_the_change(self) -> None:
        parties = AttendedTransfer()
        parties.answered(10.0)
        parties.joined(CALLER, 12.0)
        assert parties.current == CALLER
        assert parties.talk_s(20.0) == {"talk_s": 10.0, "talk_human_agent_s": 2.0, "talk_caller_s": 8.0}

    def test_counts_the_first_change(self) -> None:
        parties = AttendedTransfer()
        parties.answered(10.0)
        parties.joined(CALLER, 12.0)
        parties.joined(Party("1002"), 15.0)
        assert parties.talk_s(20.0) == {"talk_s": 10.0, "talk_human_agent_s": 2.0, "talk_caller_s": 8.0}


SEAT = "Local/03@ariagent-seat-1;1"


def transferred(**changes: str) -> AttendedTransferred:
    given = {
        "result": "Success",
        "first": "PJSIP/anna-1",
        "second": "PJSIP/anna-2",
        "transferee": "PJSIP/caller-1",
        "transferee_caller": "5551000",
        "transferee_name": "",
        "target": SEAT,
        "target_caller": "03",
        "target_name": "",
        "linked_id": "1.1",
    }
    return AttendedTransferred(**{**given, **changes})


class TestRemoteParty:
    def test_is_handed_on_to_the_seat(self) -> None:
        assert remote_party(transferred(), SEAT) == CALLER

    def test_or_the_seat_to_them(self) -> None:
        event = transferred(transferee=SEAT, target="PJSIP/caller-1", target_caller="5551000", target_name="")
        assert remote_party(event, SEAT) == CALLER

    @pytest.mark.parametrize("changes", [{"result": "Fail"}, {"target": "Local/04@ariagent-seat-1;1"}])
    def test_of_another_seat_or_of_one_that_failed_is_nobody(self, changes: dict[str, str]) -> None:
        assert remote_party(transferred(**changes), SEAT) is None


class Variables(AriClient):
    """Variables of channels, and nothing else."""

    def __init__(self, values: dict[tuple[str, str], str]) -> None:
        super().__init__(AsteriskSettings())
        self.values = values

    async def get_variable(self, channel_id: str, name: str) -> str:
        if channel_id == "gone":
            raise NotFoundError("Channel not found")
        return self.values.get((channel_id, name), "")


class TestWhatMayBeShown:
    async def shown(self, channel: str = "", **values: str) -> Party:
        named = {
            "media": ("media", presentation.CONNECTED_NUMBER),
            "leg": ("leg", presentation.NUMBER),
            "name": ("leg", presentation.NAME),
            "theirs": ("PJSIP/caller-1", presentation.NUMBER),
        }
        ari = Variables({named[key]: value for key, value in values.items()})
        return await party_after_transfer(ari, Party("5551000", "Eve"), channel, "media", "leg")

    async def test_is_shown_where_nothing_forbids_it(self) -> None:
        assert await self.shown() == Party("5551000", "Eve")
        assert await self.shown(media="allowed_not_screened", leg="allowed") == Party("5551000", "Eve")

    @pytest.mark.parametrize("where", ["media", "leg"])
    async def test_a_number_that_is_withheld_on_either_channel_is_not(self, where: str) -> None:
        assert await self.shown(**{where: "prohib_passed_screen"}) == Party()

    async def test_a_name_that_is_withheld_is_not(self) -> None:
        assert await self.shown(name="prohib") == Party("5551000", "")

    async def test_by_their_own_channel_where_it_is_known(self) -> None:
        assert await self.shown("PJSIP/caller-1", media="prohib") == Party("5551000", "Eve")
        assert await self.shown("PJSIP/caller-1", theirs="prohib") == Party()

    async def test_is_not_shown_where_asterisk_does_not_tell(self) -> None:
        assert await self.shown("gone") == Party()
