"""Finds the service that a seat leads to. Several services may share an Asterisk, each with a Stasis application of its
own."""

from ariagent.ami.client import AmiClient
from ariagent.errors import AmiRefusedError

NO_SEATS_REMEDY = (
    "Give this service seats of its own (docs/queues.md#two-services-on-one-asterisk). If there is to be only one "
    "service, set asterisk.app to the application of these seats"
)
CUSTOM = "custom:"
APP = "ARIAGENT_APP"
"""The dialplan's variable with the Stasis application that callers are sent to: global, and inherited by a call."""


async def applications(client: AmiClient, number: str, context: str) -> set[str]:
    """The applications that seat ``number`` of ``context`` may lead to; empty if the dialplan does not say. Raises
    AmiError.

    The seat's hint names the device state ``Custom:APP``. Without one the seat leads where the shipped dialplan does.
    """
    # Not HINT(): until something has watched the hint, it shows a pattern's hint with its variables unevaluated.
    hint = await _read(client, "ExtensionState", "hint", Exten=number, Context=context)
    devices = (device.strip() for device in hint.split("&"))
    named = {device[len(CUSTOM) :] for device in devices if device.lower().startswith(CUSTOM)} - {""}
    return named or {await _read(client, "Getvar", "value", Variable=APP)} - {""}


async def _read(client: AmiClient, action: str, key: str, **fields: str) -> str:
    try:
        return (await client.action(action, **fields)).get(key, "")
    except AmiRefusedError:
        return ""
