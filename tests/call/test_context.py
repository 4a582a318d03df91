"""The objects that calls share, and their answers while the service has no state yet."""

import dataclasses
from pathlib import Path

import pytest

from ariagent.call.context import Context
from ariagent.realtime.client import RealtimeClient
from tests.call.incall import Office
from tests.call.virtualtime import virtual_time


@virtual_time
async def test_without_a_manager_interface_nothing_is_known_of_queues(tmp_path: Path) -> None:
    async with Office(tmp_path, ami=False) as office:
        context = office.context
        assert context.ami is None
        assert (context.queue_view("support"), context.has_queue("support")) == (None, None)
        assert context.transferred_call("1.1") is None
        assert not context.overloaded()
        # A destination of which nothing is known is tried.
        call = await office.answered("c1")
        function_call = office.model.session.calls_tool("transfer_status")
        assert "can be tried" in office.model.session.result(function_call)["blind"]["state"]
        assert call.state.value == "talking"


@virtual_time
async def test_is_shared_and_does_not_change(tmp_path: Path) -> None:
    async with Office(tmp_path) as office:
        with pytest.raises(dataclasses.FrozenInstanceError):
            office.context.media_address = "elsewhere"  # type: ignore[misc]


def test_the_model_is_reached_by_a_websocket_unless_told_otherwise() -> None:
    (field,) = [field for field in dataclasses.fields(Context) if field.name == "connect_model"]
    assert field.default is RealtimeClient
