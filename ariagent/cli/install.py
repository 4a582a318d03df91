"""``ariagent install``, ``uninstall`` and ``files``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ariagent import configfile, shipped
from ariagent.cli.options import JsonOption, StateOption, fail
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.choices import DEFAULT_NUMBER, DEFAULT_SEATS

RootOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Change a copy of a machine's files, below DIR (DIR/etc/asterisk ...), not this machine."
    ),
]
ConfOption = Annotated[
    Path | None,
    typer.Option(
        "--asterisk-conf",
        metavar="FILE",
        help="Asterisk's asterisk.conf. Default: the running Asterisk's, else the usual one.",
    ),
]
ProgramOption = Annotated[
    str | None,
    typer.Option("--asterisk", metavar="COMMAND", help="Command that runs Asterisk. Default: the running Asterisk's."),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option("-c", "--config", metavar="FILE", help=f"The service's settings. Default: {configfile.DEFAULT_PATH}"),
]


def install(
    human_queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The queue of human agents. They get every call that the AI cannot take."),
    ] = None,
    number: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NUMBER", help=f"A number that reaches the AI; may be repeated. Default: {DEFAULT_NUMBER}"
        ),
    ] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="A dialplan context of the site's phones. It gets the numbers; may be repeated."
        ),
    ] = None,
    seats: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"How many calls the AI takes at the same time. Default: {DEFAULT_SEATS}"),
    ] = None,
    last_resort: Annotated[
        str | None,
        typer.Option(
            metavar="CONTEXT,EXTENSION,PRIORITY",
            help="Where callers go if the human queue does not take them. Default: a spoken sentence, then congestion.",
        ),
    ] = None,
    direct_number: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER", help="A number that reaches the AI without a queue; may be repeated."),
    ] = None,
    ai_queue: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the queue of AI seats. Default: frontline")
    ] = None,
    member_name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The AI's name in queue_log and reports. Default: AI Agent")
    ] = None,
    app: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the Stasis application. Default: ariagent")
    ] = None,
    ari_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the ARI user. Default: ariagent")
    ] = None,
    ami_user: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the AMI user. Default: ariagent")
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(metavar="PORT", help="Port for Asterisk's HTTP server, if that server is off now. Default: 8088"),
    ] = None,
    ami_port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Port for AMI, if AMI is off now. Default: 5038")
    ] = None,
    supervisor_context: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A dialplan context of supervisors' phones. It gets the feature codes; may be repeated.",
        ),
    ] = None,
    supervisors: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Devices that may use the feature codes: 1004&PJSIP/1005. Default: none."),
    ] = None,
    code: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="Prefix of the feature codes. Default: *8 (*88 with FreePBX)")
    ] = None,
    service_address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="The service's IP address, if it runs on another machine than Asterisk."),
    ] = None,
    asterisk_address: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="With --service-address: this machine's IP address, as the service reaches it. HTTP and AMI listen "
            "there if they are off until now.",
        ),
    ] = None,
    general: Annotated[
        bool | None,
        typer.Option(
            "--general/--no-general",
            help="Add missing values to [general] sections (HTTP and AMI enabled; the default), or only list them.",
        ),
    ] = None,
    units: Annotated[
        bool | None,
        typer.Option(
            "--units/--no-units",
            help="Also write the systemd units. Default: yes if systemd runs and no package has installed them.",
        ),
    ] = None,
    turns: Annotated[
        bool,
        typer.Option(
            "--turns", help="Also fetch the model of the end-of-turn judge, with pip. It needs the extra turns."
        ),
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write the changes. Without it, only show them.")] = False,
    configuration: SettingsOption = None,
    root: RootOption = None,
    asterisk_conf: ConfOption = None,
    asterisk: ProgramOption = None,
    state_directory: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Install ariagent beside an existing Asterisk.

    Shows every change as a diff; `--apply` writes them. ariagent's files are in their own folder
    (`/etc/asterisk/ariagent`). Each of the site's files gets one line that includes them; with FreePBX, its custom
    files get these lines. Asterisk is reloaded, not restarted. Then the command checks that Asterisk has loaded
    everything. `ariagent uninstall` undoes all changes.

    Run it again after an upgrade, or to change an option: it shows only what is new. Options that you do not give keep
    their values. The first time, at a terminal, it asks for the most important ones.

        ariagent install --human-queue support --context from-internal
        ariagent install --apply

    Exit code 0: done, or the changes are shown; 1: not installed, or Asterisk did not load all of it; 2: wrong usage.
    """
    from ariagent.cli.install_session import Session

    given = {
        "human_queue": human_queue,
        "numbers": _each(number),
        "contexts": _each(context),
        "seats": seats,
        "last_resort": last_resort,
        "direct_numbers": _each(direct_number),
        "ai_queue": ai_queue,
        "member_name": member_name,
        "app": app,
        "ari_user": ari_user,
        "ami_user": ami_user,
        "http_port": http_port,
        "ami_port": ami_port,
        "supervisor_contexts": _each(supervisor_context),
        "supervisors": supervisors,
        "code": code,
        "service_address": service_address,
        "asterisk_address": asterisk_address,
        "general": general,
    }
    try:
        session = Session(root, asterisk_conf, asterisk, configuration, state_directory, quiet=as_json)
        chosen = {name: value for name, value in given.items() if value is not None}
        code_ = session.install(chosen, units=units, turns=turns, apply=apply)
    except AriagentError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps(session.document, indent=1))
    raise typer.Exit(code_)


def _each(values: list[str] | None) -> tuple[str, ...] | None:
    """Each once. ``""`` takes back what was chosen before."""
    return tuple(dict.fromkeys(value for value in values if value)) if values else None


def uninstall(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Uninstall even while the service runs.")] = False,
    configuration: SettingsOption = None,
    root: RootOption = None,
    asterisk_conf: ConfOption = None,
    asterisk: ProgramOption = None,
    state_directory: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Undo `ariagent install`: every file is restored, byte for byte.

    If a file has been changed since, only ariagent's lines are removed from it. The service's settings and records
    stay.

    Exit code 0: the changes are undone, or shown; 1: they cannot be undone, or the service is running; 2: wrong usage.
    """
    from ariagent.cli.install_session import Session

    try:
        session = Session(root, asterisk_conf, asterisk, configuration, state_directory, quiet=as_json)
        exit_code = session.uninstall(dry_run=dry_run, force=force)
    except AriagentError as error:
        fail(error)
    if as_json:
        typer.echo(json.dumps(session.document, indent=1))
    raise typer.Exit(exit_code)


def files(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A file to print, named as in the list.")] = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="DIR", help="Write all files below this folder.")] = None,
) -> None:
    """List the files that ariagent ships for Asterisk and systemd, print one of them, or write all.

    `ariagent install` fills in the words between two `@`, for instance `@ARI_PASSWORD@`.
    """
    try:
        if name is not None:
            typer.echo(shipped.text(name), nl=False)
            return
    except KeyError:
        fail(ConfigurationError(f"there is no shipped file {name}", remedy="`ariagent files` lists them"))
    for each in shipped.names():
        typer.echo(each)
        if to is not None:
            path = to / each
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(shipped.text(each))
            except OSError as error:
                fail(AriagentError(f"{path} cannot be written: {error.strerror}"))
