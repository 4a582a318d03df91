"""Tools that the model's provider runs, at literal times."""

from ariagent.dialogue.provider_tools import OTHER, ProviderTools, Ran
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


def test_what_a_lost_session_ran_is_over() -> None:
    tools = ProviderTools(())
    tools.started(started("a"), 10.0)
    tools.started(started("b"), 11.0)
    assert tools.lost() == ["a", "b"]
    assert not tools.running
    assert tools.lost() == []
