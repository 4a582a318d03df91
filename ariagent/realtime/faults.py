"""Judges a failure by the codes that the server gives: network, settings, limit or server.

Sources: the codes of OpenAI's Realtime (GA) server; of huggingface/speech-to-speech 1.1.0 (``session_limit_reached``,
close 1008); of LocalAI (``model_load_error``). Other servers have codes of their own: their form tells what is meant.
"""

import re

from ariagent.realtime.events import SILENT, Fault, RequestRefused, ResponseEnded, SessionFailed

KEY = "Check realtime.api_key and that it may use the model"
FEWER = "Lower max_calls to the number of sessions that the server takes at once"

_FAULTS = {
    "invalid_api_key": (Fault.CREDENTIALS, "Check realtime.api_key"),
    "missing_model": (Fault.REQUEST, "Set realtime.model"),
    "invalid_model": (Fault.REQUEST, "Check realtime.model and that the key may use it"),
    "model_not_found": (Fault.REQUEST, "Check realtime.model and that the key may use it"),
    "beta_api_shape_disabled": (Fault.REQUEST, "Remove the OpenAI-Beta header from realtime.headers"),
    "rate_limit_exceeded": (Fault.LIMIT, "Ask for a higher limit or lower max_calls"),
    "insufficient_quota": (Fault.LIMIT, "Check the plan and billing of the account"),
    "session_limit_reached": (Fault.LIMIT, FEWER),
    "session_expired": (Fault.EXPIRED, ""),
    "server_error": (Fault.SERVER, ""),
    "model_load_error": (Fault.SERVER, "Look at the log of the model's server"),
}
_FORMS = (
    (re.compile(r"unauthori[sz]ed|forbidden|denied|auth|credential|api_?key|permission"), (Fault.CREDENTIALS, KEY)),
    (re.compile(r"quota|billing"), _FAULTS["insufficient_quota"]),
    (re.compile(r"limit|too_?many|capacity|overload|busy|full|concurren|exhausted"), (Fault.LIMIT, FEWER)),
    (re.compile(r"^(invalid|missing|unknown|unsupported|bad)|not_?(found|supported)$"), (Fault.REQUEST, "")),
    (re.compile(r"internal|unavailable|timeout|server|failed"), (Fault.SERVER, "")),
)
"""Codes that a server uses before the session exists, by the first form that they have."""
_ASK = "Check realtime.url and realtime.model, and look the code up in the documentation of the server"
_FULL_CLOSES = (1008, 1013)
"""Policy violation, try again later (the registry of RFC 6455): so servers close that have no room for a session."""
_UNPAID = "insufficient_quota"
"""The limit that ends running calls, too."""


def refusal(code: str, message: str, *, created: bool = True) -> SessionFailed:
    """The session is over because of an error with this code. Until it is ``created`` nothing was asked of the server
    but to have one: a code that nobody knows most likely means that there is no room for it now."""
    cause = f"the model refused: {code}: {message}"
    if (known := _FAULTS.get(code)) is None:
        known = (Fault.REQUEST, "Check the agent's settings") if created else _by_form(code)
    return _failed(known, cause)


def _by_form(code: str) -> tuple[Fault, str]:
    lower = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", code).lower()  # Azure's are DeploymentNotFound and the like
    fault, remedy = next((meant for form, meant in _FORMS if form.search(lower)), (Fault.LIMIT, FEWER))
    return fault, remedy or (_ASK if fault is Fault.REQUEST else "")


def _failed(known: tuple[Fault, str], cause: str) -> SessionFailed:
    fault, remedy = known
    return SessionFailed(fault, cause, remedy, full=fault is Fault.LIMIT and known != _FAULTS[_UNPAID])


def exhausted(ended: ResponseEnded) -> SessionFailed:
    """The session is of no use: the model refuses to respond."""
    if ended.reason == SILENT:
        return SessionFailed(Fault.SILENT, "the model's responses are empty")
    fault, remedy = _FAULTS.get(ended.reason, (Fault.SERVER, ""))
    return SessionFailed(fault, f"the model does not respond: {ended.reason}: {ended.message}", remedy)


def loss(
    code: int | None, reason: str, error: RequestRefused | None, *, ready: bool, created: bool = True
) -> SessionFailed:
    """The connection is gone: close code (None: cut off without one), reason, and the last error before."""
    # An error of long ago did not end the session; one that ends it says so in the close reason, or comes where
    # nothing else could.
    if error is not None and (not ready or error.code in reason or error.code == "session_expired"):
        return refusal(error.code, error.message, created=created)
    if (named := reason.rpartition(".")[2]) in _FAULTS:  # "invalid_request_error.invalid_api_key"
        return refusal(named, reason)
    if "maximum duration" in reason:
        return refusal("session_expired", reason)
    if code in (None, 1006):
        return SessionFailed(Fault.NETWORK, "the connection to the model was cut off")
    cause = f"the model closed the connection ({code} {reason})".replace(" )", ")")
    if code in _FULL_CLOSES:
        return _failed((Fault.LIMIT, FEWER), cause)
    return SessionFailed(Fault.NETWORK if code in (1000, 1001, 1012) else Fault.SERVER, cause)
