"""Which endpoint is asked, at literal times."""

from pydantic import SecretStr

from ariagent.config import RealtimeSettings
from ariagent.config.peers import FallbackSettings
from ariagent.realtime.endpoints import AVOIDED_S, Endpoints

FALLBACK = FallbackSettings(url="wss://other/v1", api_key=SecretStr("k2"))
BOTH = RealtimeSettings(url="wss://one/v1", api_key=SecretStr("k1"), model="m", ping_interval_s=2.0, fallback=FALLBACK)


def test_the_other_endpoint_is_as_the_first_but_for_where_it_is() -> None:
    one, other = BOTH.endpoints
    assert (other.url, other.api_key, other.model) == ("wss://other/v1", SecretStr("k2"), "m")
    assert other.ping_interval_s == one.ping_interval_s
    assert other.endpoints == (other,)
    assert RealtimeSettings().endpoints == (RealtimeSettings(),)


def test_the_first_one_unless_it_failed_a_moment_ago() -> None:
    endpoints = Endpoints(BOTH)
    assert endpoints.choose(10.0) == 0
    endpoints.failed(0, 10.0)
    assert endpoints.choose(10.0) == 1
    assert endpoints.choose(10.0 + AVOIDED_S) == 0
    endpoints.failed(0, 20.0)
    endpoints.worked(0)
    assert endpoints.choose(20.0) == 0


def test_when_both_failed_the_first_is_as_good_as_the_other() -> None:
    endpoints = Endpoints(BOTH)
    endpoints.failed(0, 10.0)
    endpoints.failed(1, 10.0)
    assert endpoints.choose(10.0) == 0
    assert endpoints.choose(10.0, {0}) == 1
    assert endpoints.untried({0})
    assert not endpoints.untried({0, 1})


def test_one_alone_is_always_asked() -> None:
    endpoints = Endpoints(RealtimeSettings(url="wss://one/v1"))
    endpoints.failed(0, 10.0)
    assert endpoints.choose(10.0, {0}) == 0
    assert not endpoints.untried({0})
