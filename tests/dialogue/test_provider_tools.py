"""Tools that the model's provider runs, at literal times."""

from ariagent.dialogue.provider_tools import OTHER, SIGN_AFTER_S, SIGN_AGAIN_S, ProviderTools, Ran
from ariagent.realtime.events import ProviderToolEnded, ProviderToolStarted


def started(item_id: str = "a", server: str = "crm") -> ProviderToolStarted:
    return ProviderToolStarted(item_id, "find_customer", server)


def test_how_long_one_took() -> None:
    tools = ProviderTools(("crm",))
    tools.started(started(), 10.0)
    assert tools.running
    assert tools.ended(ProviderToolEnded("a", ok=True), 12.5) == Ran("find_customer", "crm", 2.5)
    assert not tools.running


def test_a_server_that_is_not_in_the_settings_has_no_name() -> None:
    tools = ProviderTools(("crm",))
    tools.started(started(server="x" * 64), 10.0)
    assert tools.ended(ProviderToolEnded("a", ok=True), 11.0).server == OTHER
    assert tools.ended(ProviderToolEnded("unknown", ok=True), 11.0) == Ran("", OTHER, 0.0)
    assert tools.server("crm") == "crm"


def test_a_caller_who_waits_is_given_signs() -> None:
    tools = ProviderTools(())
    assert not tools.sign_due(1000.0)
    tools.started(started("a"), 10.0)
    tools.started(started("b"), 10.9)
    assert not tools.sign_due(10.0 + SIGN_AFTER_S - 0.01)
    assert tools.sign_due(10.0 + SIGN_AFTER_S)
    assert not tools.sign_due(12.0)
    assert tools.sign_due(10.0 + SIGN_AFTER_S + SIGN_AGAIN_S)
    tools.ended(ProviderToolEnded("a", ok=True), 16.0)
    assert tools.sign_due(20.0)
    tools.ended(ProviderToolEnded("b", ok=True), 20.0)
    assert not tools.sign_due(1000.0)


def test_what_a_lost_session_ran_is_over() -> None:
    tools = ProviderTools(())
    tools.started(started(), 10.0)
    tools.lost()
    assert not tools.running
    assert not tools.sign_due(1000.0)
