"""Money: cached tokens once and at their own price, unknown models in tokens only, caps by day."""

import pytest

from ariagent.config import CostSettings, PriceSettings
from ariagent.realtime.events import Usage
from ariagent.records import views
from ariagent.records.cost import DailySpending, PriceTable, money, shares

PRICE = PriceSettings(input_text=4, cached_text=0.4, output_text=24, input_audio=32, cached_audio=0.4, output_audio=64)
MILLION = 1_000_000


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(input_text=MILLION), 4),
        (Usage(input_text=MILLION, cached_text=MILLION), 0.4),
        (Usage(input_audio=MILLION, cached_audio=250_000), 0.75 * 32 + 0.1),
        (Usage(output_text=MILLION, output_audio=MILLION), 88),
        (Usage(), 0),
    ],
)
def test_each_kind_at_its_price(usage: Usage, cost: float) -> None:
    assert money(usage, PRICE) == pytest.approx(cost)


def test_a_conversation_of_the_model_page() -> None:
    """2.1: a minute of caller (10 tokens a second) and of agent speech (20 a second) are 1.92 and 7.68 cents."""
    assert money(Usage(input_audio=600), PRICE) == pytest.approx(0.0192)
    assert money(Usage(output_audio=1200), PRICE) == pytest.approx(0.0768)


def test_transcription_is_by_the_minute() -> None:
    assert money(Usage(), PRICE, transcribed_s=120) == pytest.approx(0.009)


def test_more_cached_than_there_is_earns_nothing() -> None:
    assert money(Usage(input_text=10, cached_text=1000), PRICE) == pytest.approx(10 * 0.4 / MILLION)


def test_shares_add_up_and_leave_out_what_was_not_used() -> None:
    found = shares(Usage(input_text=100, cached_text=60, output_audio=50), PRICE, 3)
    assert [(s.kind, s.amount) for s in found] == [
        ("input_text", 40),
        ("cached_text", 60),
        ("output_audio", 50),
        ("transcription", 3),
    ]
    assert sum(s.money or 0 for s in found) == pytest.approx(
        money(Usage(input_text=100, cached_text=60, output_audio=50), PRICE, 3)
    )


def test_without_a_price_there_are_tokens_but_no_money() -> None:
    assert [(s.kind, s.money) for s in shares(Usage(input_text=5), None)] == [("input_text", None)]


def test_a_dated_snapshot_has_its_models_price_and_the_mini_its_own() -> None:
    table = PriceTable(CostSettings())
    assert table.of("gpt-realtime-2.1-2026-09-01") == table.of("gpt-realtime-2.1")
    assert table.of("gpt-realtime-2.1-mini") != table.of("gpt-realtime-2.1")
    assert table.of("another") is None
    assert table.money("another", Usage(input_text=1)) is None
    assert table.money("gpt-realtime-2.1", Usage(input_text=MILLION)) == pytest.approx(4)


def test_the_sandbox_costs_nothing_and_hides_no_models_price() -> None:
    table = PriceTable(CostSettings())
    used = Usage(input_text=MILLION, output_audio=MILLION, free=True)
    assert table.money(used.billed_as("gpt-realtime-2.1"), used, 60.0) == 0
    # A model that is called so is another thing than the sandbox.
    assert table.of("sandbox") is None
    billed = Usage(input_text=MILLION)
    assert table.money(billed.billed_as("gpt-realtime-2.1"), billed) == pytest.approx(4)
    # One billed response among others: all of them are priced.
    assert not (used + billed).free
    assert (used + Usage() + used).free
    assert not Usage().free
    assert views.amount(0.0, "USD") == "free"
    assert views.amount(0.00005, "USD") == "0.0001 USD"


def test_the_cap_counts_what_was_spent_before_the_start() -> None:
    spending = DailySpending(10, "2026-11-22", 9.5)
    assert not spending.over_cap("2026-11-22")
    spending.add(0.5, "2026-11-22")
    assert spending.over_cap("2026-11-22")


def test_a_new_day_begins_at_nothing() -> None:
    spending = DailySpending(10, "2026-11-22", 20)
    assert not spending.over_cap("2026-11-23")
    spending.add(1, "2026-11-23")
    assert spending.spent("2026-11-23") == 1


def test_yesterdays_late_bill_does_not_bring_yesterday_back() -> None:
    spending = DailySpending(10, "2026-11-22", 20)
    spending.add(1, "2026-11-23")
    spending.add(2, "2026-11-22")
    assert spending.spent("2026-11-23") == 3
    assert not spending.over_cap("2026-11-23")


def test_without_a_cap_nothing_is_too_much() -> None:
    assert not DailySpending(None, "2026-11-22", 1e9).over_cap("2026-11-22")


def test_a_cap_of_nothing_refuses_every_call() -> None:
    assert DailySpending(0).over_cap("2026-11-22")
