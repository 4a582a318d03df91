"""The commands that steer a running service: transfer, whisper, pause, resume, drain."""

from typing import Annotated

import typer

from ariagent.cliparts import ConfigOption, JsonOption, failing

CallArgument = Annotated[
    str, typer.Argument(metavar="CALL", help="A call that goes on: its id, or a beginning or end of it.")
]
SeatArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SEAT]", help="Number of a seat, 07 for Local/07@ariagent-seat. Default: all of them."),
]
_ACCESS = """

    Works on the machine of the service, as its user or as root. Elsewhere: `ARIAGENT_API_URL` and
    `ARIAGENT_API_TOKEN` (of a token in `control.tokens` with the role supervisor).

    Exit code 0: done; 1: not done, the reason is printed; 2: wrong usage, or settings that do not load.
"""


def transfer(
    call: CallArgument,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="To this queue of Asterisk's.")] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="DESTINATION", help="To one of `destinations` of the settings.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for who takes the call.")] = "",
    summary: Annotated[str, typer.Option(metavar="TEXT", help="What it is about, for who takes the call.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the caller is there.")] = True,
    as_json: JsonOption = False,
    configuration: ConfigOption = None,
) -> None:
    from ariagent.control import command

    with failing():
        where = {"queue": queue, "destination": to}
        command.transfer(configuration, call, where, reason=reason, summary=summary, wait=wait, as_json=as_json)


transfer.__doc__ = f"""Put the caller of a running call through to people.

    The sentence that the agent is saying is heard to its end, for at most 5 s; then the caller waits in the queue, and
    in queue_log stands a transfer by the agent. Whom nobody takes comes back to the agent, which remembers everything.

        ariagent transfer 1795357064 --queue support --reason "asks for a refund"
        ariagent transfer 1795357064 --to desk
    {_ACCESS}"""


def whisper(
    call: CallArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the agent is to know; 500 bytes at most.")],
    now: Annotated[bool, typer.Option("--now", help="Have the agent act on it at once.")] = False,
    as_json: JsonOption = False,
    configuration: ConfigOption = None,
) -> None:
    from ariagent.control import command

    with failing():
        command.whisper(configuration, call, text, now=now, as_json=as_json)


whisper.__doc__ = f"""Tell the agent of a running call something that the caller does not hear.

    Without --now it knows when it speaks next. What it makes of it is up to it, within its instructions.

        ariagent whisper 1795357064 "She is a member since 2009: offer her the free inspection." --now
    {_ACCESS}"""


def pause(seat: SeatArgument = None, as_json: JsonOption = False, configuration: ConfigOption = None) -> None:
    from ariagent.control import command

    with failing():
        command.pause(configuration, seat, paused=True, as_json=as_json)


pause.__doc__ = f"""Have the AI, or one of its seats, take no more calls from the queues.

    Calls that go on do so. In queue_log stands PAUSE with the reason `ariagent: manual`; it lasts, also when the
    service is started anew, until `ariagent resume`. Callers who dial the agent directly are still answered.

        ariagent pause
        ariagent pause 07
    {_ACCESS}"""


def resume(seat: SeatArgument = None, as_json: JsonOption = False, configuration: ConfigOption = None) -> None:
    from ariagent.control import command

    with failing():
        command.pause(configuration, seat, paused=False, as_json=as_json)


resume.__doc__ = f"""Have the AI, or one of its seats, take calls from the queues again.

    Ends a pause whoever made it. Where the service itself cannot take calls (draining, no model, over its cap) it says
    so, and the seats stay paused for that reason.

        ariagent resume
        ariagent resume 07
    {_ACCESS}"""


def drain(
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="people|next", help="Who gets the calls that are left. Default: `drain_to`."),
    ] = None,
    after: Annotated[
        float | None,
        typer.Option("--after", metavar="S", help="How long calls may still go on. Default: `drain_timeout_s`."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the service has ended.")] = False,
    as_json: JsonOption = False,
    configuration: ConfigOption = None,
) -> None:
    from ariagent.control import command

    with failing():
        command.drain(configuration, to=to, after_s=after, wait=wait, as_json=as_json)


drain.__doc__ = f"""Have the service end when its calls have ended: for an upgrade.

    The AI's seats are paused at once (`ariagent: draining`), new direct callers go on in the dialplan, to people. Calls
    that go on may do so for drain_timeout_s; who is left then goes to people. SIGTERM does the same.

    systemd starts the service again as soon as it has ended (`Restart=always` in the shipped unit), and it takes calls
    again. Before the machine goes down, and wherever the service is to stay down, use `systemctl stop ariagent`: that
    sends SIGTERM, so it drains as well.

    With `--to next` who is left stays in Asterisk, in silence, and the process that is started next goes on with the
    conversations: an upgrade that callers hardly notice, where something starts one at once. A second `ariagent drain`
    changes what the first one said.

        ariagent drain --wait
        ariagent drain --to next --after 0
    {_ACCESS.replace("supervisor", "admin")}"""
