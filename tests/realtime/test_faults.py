"""The party at fault for a failure."""

import pytest

from ariagent.realtime.events import Fault, RequestRefused, ResponseEnded, SessionFailed, Usage
from ariagent.realtime.faults import exhausted, loss, refusal


def ended(reason: str, message: str = "no") -> ResponseEnded:
    return ResponseEnded("r1", "failed", reason, message, Usage())


class TestRefusal:
    @pytest.mark.parametrize(
        ("code", "fault", "remedy"),
        [
            ("invalid_api_key", Fault.CREDENTIALS, "api_key"),
            ("model_not_found", Fault.REQUEST, "realtime.model"),
            ("rate_limit_exceeded", Fault.LIMIT, "max_calls"),
            ("insufficient_quota", Fault.LIMIT, "billing"),
            ("session_expired", Fault.EXPIRED, ""),
            ("server_error", Fault.SERVER, ""),
            ("what_nobody_heard_of", Fault.REQUEST, "agent's settings"),
        ],
    )
    def test_by_code(self, code: str, fault: Fault, remedy: str) -> None:
        failed = refusal(code, "because")
        assert (failed.fault, remedy in failed.remedy) == (fault, True)
        assert failed.cause == f"the model refused: {code}: because"


class TestBeforeTheSession:
    """Nothing was asked of the server but a session."""

    @pytest.mark.parametrize(
        ("code", "fault", "full"),
        [
            ("session_limit_reached", Fault.LIMIT, True),
            ("what_nobody_heard_of", Fault.LIMIT, True),
            ("too_many_sessions", Fault.LIMIT, True),
            ("max_concurrent_connections", Fault.LIMIT, True),
            ("engine_overloaded", Fault.LIMIT, True),
            ("billing_hard_limit_reached", Fault.LIMIT, False),
            ("authentication_error", Fault.CREDENTIALS, False),
            ("permission_denied", Fault.CREDENTIALS, False),
            ("incorrect_api_key_provided", Fault.CREDENTIALS, False),
            ("DeploymentNotFound", Fault.REQUEST, False),
            ("OperationNotSupported", Fault.REQUEST, False),
            ("invalid_request_error", Fault.REQUEST, False),
            ("unknown_model", Fault.REQUEST, False),
            ("model_load_error", Fault.SERVER, False),
            ("internal_error", Fault.SERVER, False),
            ("service_unavailable", Fault.SERVER, False),
        ],
    )
    def test_by_name_then_by_form(self, code: str, fault: Fault, full: bool) -> None:
        failed = refusal(code, "because", created=False)
        assert (failed.fault, failed.full) == (fault, full)
        assert not full or "max_calls" in failed.remedy

    def test_once_there_is_a_session_an_unknown_code_is_about_what_was_asked(self) -> None:
        assert refusal("what_nobody_heard_of", "because", created=True).fault is Fault.REQUEST

    @pytest.mark.parametrize("code", [1008, 1013])
    @pytest.mark.parametrize("ready", [True, False])
    def test_by_the_close_code_alone(self, code: int, ready: bool) -> None:
        failed = loss(code, "Only one concurrent session is supported", None, ready=ready, created=ready)
        assert (failed.fault, failed.full) == (Fault.LIMIT, True)
        assert "max_calls" in failed.remedy

    def test_what_is_known_goes_before_the_close_code(self) -> None:
        assert loss(1008, "invalid_api_key", None, ready=False, created=False).fault is Fault.CREDENTIALS
        error = RequestRefused("session_limit_reached", "one")
        assert (
            loss(1008, "", error, ready=False, created=False).cause == "the model refused: session_limit_reached: one"
        )


class TestExhausted:
    @pytest.mark.parametrize(
        ("reason", "fault"),
        [
            ("rate_limit_exceeded", Fault.LIMIT),
            ("insufficient_quota", Fault.LIMIT),
            ("server_error", Fault.SERVER),
            ("what_nobody_heard_of", Fault.SERVER),
        ],
    )
    def test_by_reason(self, reason: str, fault: Fault) -> None:
        failed = exhausted(ended(reason))
        assert (failed.fault, failed.cause) == (fault, f"the model does not respond: {reason}: no")

    def test_says_what_to_do_where_something_can_be_done(self) -> None:
        assert "billing" in exhausted(ended("insufficient_quota")).remedy
        assert exhausted(ended("server_error")).remedy == ""


class TestLoss:
    NO_QUOTA = RequestRefused("insufficient_quota", "pay first")

    @pytest.mark.parametrize("code", [None, 1006])
    @pytest.mark.parametrize("ready", [True, False])
    def test_cut_off(self, code: int | None, ready: bool) -> None:
        cut = SessionFailed(Fault.NETWORK, "the connection to the model was cut off")
        assert loss(code, "", None, ready=ready) == cut

    @pytest.mark.parametrize(
        ("code", "fault"),
        [(1000, Fault.NETWORK), (1001, Fault.NETWORK), (1012, Fault.NETWORK), (1011, Fault.SERVER)],
    )
    def test_closed(self, code: int, fault: Fault) -> None:
        assert loss(code, "because", None, ready=True).fault is fault
        assert loss(code, "", None, ready=True).cause == f"the model closed the connection ({code})"

    def test_by_the_reason_alone(self) -> None:
        assert loss(3000, "invalid_request_error.invalid_api_key", None, ready=False).fault is Fault.CREDENTIALS
        assert loss(3000, "invalid_api_key", None, ready=False).fault is Fault.CREDENTIALS
        expired = loss(1001, "Your session hit the maximum duration of 60 minutes.", None, ready=True)
        assert expired.fault is Fault.EXPIRED

    def test_before_it_was_ready_the_last_error_did_it(self) -> None:
        assert loss(1006, "", self.NO_QUOTA, ready=False) == refusal("insufficient_quota", "pay first")

    def test_later_only_one_that_the_close_names(self) -> None:
        assert loss(1006, "", self.NO_QUOTA, ready=True).fault is Fault.NETWORK
        named = loss(4000, "invalid_request_error.insufficient_quota", self.NO_QUOTA, ready=True)
        assert named == refusal("insufficient_quota", "pay first")

    def test_or_one_that_always_ends_it(self) -> None:
        expired = RequestRefused("session_expired", "60 minutes")
        assert loss(1001, "", expired, ready=True) == refusal("session_expired", "60 minutes")
