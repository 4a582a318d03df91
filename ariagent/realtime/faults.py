"""Whose fault a failure is, by the codes the server gives. Source: the codes of OpenAI's Realtime (GA) server."""

from ariagent.realtime.events import SILENT, Fault, RequestRefused, ResponseEnded, SessionFailed

_FAULTS = {
    "invalid_api_key": (Fault.CREDENTIALS, "Check realtime.api_key"),
    "missing_model": (Fault.REQUEST, "Set realtime.model"),
    "invalid_model": (Fault.REQUEST, "Check realtime.model and that the key may use it"),
    "model_not_found": (Fault.REQUEST, "Check realtime.model and that the key may use it"),
    "beta_api_shape_disabled": (Fault.REQUEST, "Remove the OpenAI-Beta header from realtime.headers"),
    "rate_limit_exceeded": (Fault.LIMIT, "Ask for a higher limit or lower max_calls"),
    "insufficient_quota": (Fault.LIMIT, "Check the plan and billing of the account"),
    "session_expired": (Fault.EXPIRED, ""),
    "server_error": (Fault.SERVER, ""),
}


def refusal(code: str, message: str) -> SessionFailed:
    """The session is over because of an error with this code."""
    fault, remedy = _FAULTS.get(code, (Fault.REQUEST, "Check the agent's settings"))
    return SessionFailed(fault, f"the model refused: {code}: {message}", remedy)


def exhausted(ended: ResponseEnded) -> SessionFailed:
    """The session is of no use: the model refuses to respond."""
    if ended.reason == SILENT:
        return SessionFailed(Fault.SILENT, "the model answers, and says nothing")
    fault, remedy = _FAULTS.get(ended.reason, (Fault.SERVER, ""))
    return SessionFailed(fault, f"the model does not respond: {ended.reason}: {ended.message}", remedy)


def loss(code: int | None, reason: str, error: RequestRefused | None, *, ready: bool) -> SessionFailed:
    """The connection is gone: close code (None: cut off without one), reason, and the last error before."""
    # An error of long ago did not end the session; one that ends it says so in the close reason, or comes where
    # nothing else could.
    if error is not None and (not ready or error.code in reason or error.code == "session_expired"):
        return refusal(error.code, error.message)
    if (named := reason.rpartition(".")[2]) in _FAULTS:  # "invalid_request_error.invalid_api_key"
        return refusal(named, reason)
    if "maximum duration" in reason:
        return refusal("session_expired", reason)
    if code in (None, 1006):
        return SessionFailed(Fault.NETWORK, "the connection to the model was cut off")
    fault = Fault.NETWORK if code in (1000, 1001, 1012) else Fault.SERVER
    return SessionFailed(fault, f"the model closed the connection ({code} {reason})".replace(" )", ")"))
