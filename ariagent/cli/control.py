"""The commands that control a running service: transfer, whisper, pause, resume, drain."""

from typing import Annotated

import typer

from ariagent.cli.options import ConfigOption, JsonOption, failing

CallArgument = Annotated[
    str, typer.Argument(metavar="CALL", help="Id of a running call, or the beginning or end of it.")
]
SeatArgument = Annotated[
    str | None,
    typer.Argument(metavar="[SEAT]", help="Number of a seat: 07 for Local/07@ariagent-seat. Default: all seats."),
]
_ACCESS = """

    Run it on the service's machine, as its user or as root. Elsewhere set `ARIAGENT_API_URL` and
    `ARIAGENT_API_TOKEN` (a token of `control.tokens` with the role supervisor).

    Exit code 0: done; 1: not done, the reason is printed; 2: wrong usage, or the settings do not load.
"""


def transfer(
    call: CallArgument,
    queue: Annotated[str | None, typer.Option(metavar="QUEUE", help="Transfer to this Asterisk queue.")] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DESTINATION", help="Transfer to one of `destinations` in the settings."),
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="The reason, for the human agent.")] = "",
    summary: Annotated[str, typer.Option(metavar="TEXT", help="A summary of the call, for the human agent.")] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the transfer is done.")] = True,
    as_json: JsonOption = False,
    configuration: ConfigOption = None,
) -> None:
    from ariagent.control import command

    with failing():
        where = {"queue": queue, "destination": to}
        command.transfer(configuration, call, where, reason=reason, summary=summary, wait=wait, as_json=as_json)


transfer.__doc__ = f"""Transfer the caller of a running call to human agents.

    The AI may finish its sentence, for at most 5 s. Then the caller waits in the queue, and queue_log shows a transfer
    by the AI. If nobody answers, the caller returns to the AI, which still has the conversation.

        ariagent transfer 1795357064 --queue support --reason "asks for a refund"
        ariagent transfer 1795357064 --to desk
    {_ACCESS}"""


def whisper(
    call: CallArgument,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A note for the AI; at most 500 bytes.")],
    now: Annotated[bool, typer.Option("--now", help="Have the AI act on it at once.")] = False,
    as_json: JsonOption = False,
    configuration: ConfigOption = None,
) -> None:
    from ariagent.control import command

    with failing():
        command.whisper(configuration, call, text, now=now, as_json=as_json)


whisper.__doc__ = f"""Give the AI of a running call a note that the caller does not hear.

    Without --now the AI uses it when it speaks next. The AI decides how to use it, within its instructions.

        ariagent whisper 1795357064 "She is a member since 2009: offer her the free inspection." --now
    {_ACCESS}"""


def pause(seat: SeatArgument = None, as_json: JsonOption = False, configuration: ConfigOption = None) -> None:
    from ariagent.control import command

    with failing():
        command.pause(configuration, seat, paused=True, as_json=as_json)


pause.__doc__ = f"""Pause the AI's seats, or one of them: they take no more calls from queues.

    Running calls continue. queue_log shows PAUSE with the reason `ariagent: manual`. The pause lasts until
    `ariagent resume`, also over a restart of the service. The AI still answers callers who dial it directly.

        ariagent pause
        ariagent pause 07
    {_ACCESS}"""


def resume(seat: SeatArgument = None, as_json: JsonOption = False, configuration: ConfigOption = None) -> None:
    from ariagent.control import command

    with failing():
        command.pause(configuration, seat, paused=False, as_json=as_json)


resume.__doc__ = f"""Resume the AI's seats, or one of them: they take calls from queues again.

    It ends every pause, also those of other programs. If the service cannot take calls (draining, no model, over a
    cap), the command prints this, and the seats stay paused for that reason.

        ariagent resume
        ariagent resume 07
    {_ACCESS}"""


def drain(
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="human_queue|next",
            help="Where the remaining callers go: to the human queue, or to the next process. Default: `drain_to`.",
        ),
    ] = None,
    after: Annotated[
        float | None,
        typer.Option("--after", metavar="S", help="Seconds that calls may continue. Default: `drain_timeout_s`."),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until the service has ended.")] = False,
    as_json: JsonOption = False,
    configuration: ConfigOption = None,
) -> None:
    from ariagent.control import command

    with failing():
        command.drain(configuration, to=to, after_s=after, wait=wait, as_json=as_json)


drain.__doc__ = f"""Drain the service: it ends when its calls have ended. Use it for an upgrade.

    The AI's seats take no more calls at once, and new direct callers go to the human queue. Running calls may continue
    for drain_timeout_s; then the remaining callers go where drain_to says: to the human queue, unless it is changed.
    SIGTERM does the same.

    The shipped systemd unit starts the service again as soon as it has ended (`Restart=always`). To stop it for good,
    for instance before a shutdown of the machine, use `systemctl stop ariagent`: that drains as well.

    With `--to next` the remaining callers stay in Asterisk, in silence, and the next process continues their calls.
    Callers hardly notice such an upgrade if the next process starts at once. A second `ariagent drain` replaces the
    first one's options.

        ariagent drain --wait
        ariagent drain --to next --after 0
    {_ACCESS.replace("supervisor", "admin")}"""
