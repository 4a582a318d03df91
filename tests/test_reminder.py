"""A trouble that lasts is not logged at every look."""

from ariagent.reminder import REMIND_S, Reminder


def test_a_trouble_is_logged_when_it_begins_and_when_it_changes() -> None:
    reminder = Reminder()
    assert [reminder.due(what, at) for at, what in enumerate(("refused", "refused", "timed out", "refused"))] == [
        *(True, False),
        *(True, False),
    ]


def test_one_that_stays_is_logged_again_after_a_while() -> None:
    reminder = Reminder()
    logged = [at for at in range(0, int(2 * REMIND_S) + 1, 10) if reminder.due("refused", float(at))]
    assert logged == [0, REMIND_S, 2 * REMIND_S]


def test_after_it_was_over_it_is_news() -> None:
    reminder = Reminder()
    assert reminder.due("refused", 0.0)
    reminder.over()
    assert reminder.due("refused", 1.0)


def test_it_remembers_no_more_than_it_needs() -> None:
    reminder = Reminder()
    for at in range(1000):
        reminder.due(f"channel {at}", float(at))
    assert len(reminder._logged) <= REMIND_S
