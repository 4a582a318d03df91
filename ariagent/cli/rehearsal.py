"""``ariagent call``, ``rehearse`` and ``sandbox``: synthetic callers, and a model's server to try them with."""

from pathlib import Path
from typing import Annotated

import typer

from ariagent import configfile, extras
from ariagent.caller import CONTEXT
from ariagent.cli.options import ConfigOption, fail
from ariagent.errors import AriagentError

FetchOption = Annotated[
    bool,
    typer.Option(
        "--fetch",
        help="If no speech synthesiser is installed, fetch one (flite, 50 MB) with apt into the user's cache.",
    ),
]


def call(
    extension: Annotated[str, typer.Argument(metavar="EXTEN", help="Extension to dial, for instance 7000.")],
    configuration: ConfigOption = None,
    context: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Dialplan context of EXTEN.", show_default=f"the script's, else {CONTEXT}"),
    ] = None,
    script: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Script: what to say and expect (YAML). Default: questions that any agent can answer."
        ),
    ] = None,
    caller_id: Annotated[str, typer.Option(metavar="NUM", help="The caller's number.")] = "5550100",
    anyone: Annotated[
        bool,
        typer.Option(
            "--anyone", help="Talk with anybody who answers. Without it, the call fails if the AI does not answer."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
    record: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep call.wav (left: caller, right: agent) and call.json in this folder."),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", help="Longest duration of the call.", min=1, max=3600)] = 180.0,
    fetch: FetchOption = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also print what a speech recogniser understands, if installed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Do not print the conversation.")] = False,
) -> None:
    """Call an extension through Asterisk and talk with the AI.

    It needs ARI, and an Asterisk that can connect to this machine. It leaves nothing behind in Asterisk, and writes
    files only with --record. The questions are recorded speech that comes with ariagent.

    Prints each turn with the response time: from the last sound of the caller to the first sound of the answer. The
    agent's words come from the service's records (state_directory) or its API (ARIAGENT_API_URL, ARIAGENT_API_TOKEN) if
    this user may read them. Otherwise a speech recogniser, if one is installed, guesses them.

    If the human queue or something else answers in place of the AI, the command ends the call and prints the reason.

    Exit code 0: the AI took the call, and everything went as the script expects; 1: it did not, or Asterisk did not
    answer or refused the login; 2: wrong usage, or the settings or the script do not load.
    """
    from ariagent.caller.call_command import hold
    from ariagent.caller.plan import CallPlan
    from ariagent.caller.script import DEFAULT_SCRIPT, load_script
    from ariagent.synthesis.programs import fetched, installed

    try:
        settings = configfile.load(configuration)
        what = load_script(script or DEFAULT_SCRIPT)
        plan = CallPlan(
            extension=extension,
            script=what,
            context=context or what.context or CONTEXT,
            caller_id=caller_id,
            anyone=anyone,
            timeout_s=timeout,
            record_dir=record,
            find=fetched if fetch else installed,
            guess=verbose,
        )
        code = hold(settings, plan, as_json=as_json, quiet=quiet)
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


def rehearse(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder with rehearsals (*.yaml), or one file.")],
    configuration: ConfigOption = None,
    exten: Annotated[
        str, typer.Option(metavar="EXTEN", help="Extension to dial, unless the rehearsal names one.")
    ] = "7001",
    context: Annotated[
        str, typer.Option(metavar="NAME", help="Dialplan context of EXTEN, unless the rehearsal names one.")
    ] = CONTEXT,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, max=64, help="Calls at the same time.")] = 4,
    wanted: Annotated[
        str,
        typer.Option(
            "--filter",
            metavar="TEXT",
            help="Only rehearsals with TEXT in their file name or title (* and ? are wildcards).",
        ),
    ] = "",
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results as JUnit XML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
    record: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep call.wav (left: caller, right: agent) and call.json of each call."),
    ] = None,
    timeout: Annotated[float, typer.Option(metavar="S", min=1, max=3600, help="Longest duration of a call.")] = 180.0,
    patience: Annotated[
        float, typer.Option(metavar="FACTOR", min=0.1, max=100, help="Multiplies every time limit, for a busy machine.")
    ] = 1.0,
    fetch: FetchOption = False,
) -> None:
    """Test an agent with synthetic callers.

    Each *.yaml in DIR is one caller: what the caller says (steps), and what must happen (expect):

        title: A caller who asks twice
        steps:
          - wait_answer
          - say: When are you open on Saturday?
          - wait_answer
          - hangup
        expect:
          said: [ten to two, {any: [goodbye, anything else], after: 2}]
          never_said: [/as an? (AI|language) model/]
          tools: [{name: lookup_hours, arguments: {day: saturday}}]
          ended_by: caller
          answer_within_ms: 2000

    The calls go through the real Asterisk to the running service and its model, and cost as much as other calls. The
    agent's words and actions come from the service's records (state_directory) if this user may read them. Otherwise a
    speech recogniser guesses the words. A speech synthesiser (flite) speaks the callers' sentences. ariagent/templates
    has agents with rehearsals to start from. The recogniser comes with the extra `rehearsal`, which this command needs.

    Exit code 0: all as expected; 1: not all as expected, or Asterisk did not answer or refused; 2: wrong usage, or the
    settings or rehearsals do not load.
    """
    try:
        extras.demand("rehearsal", "ariagent rehearse")
        from ariagent.rehearsal.rehearse import Plan
        from ariagent.rehearsal.rehearse_command import run_rehearsals
        from ariagent.synthesis.programs import fetched, installed

        find = fetched if fetch else installed
        plan = Plan(exten, context, jobs=jobs, timeout_s=timeout, record_dir=record, find=find)
        code = run_rehearsals(
            directory, configuration, plan, wanted=wanted, junit_path=junit, as_json=as_json, patience=patience
        )
    except AriagentError as error:
        fail(error)
    raise typer.Exit(code)


def sandbox(context: typer.Context) -> None:
    """Run a local Realtime server to develop and test against."""
    # Imported only here, and with its own options: the service does not need it.
    from ariagent.sandbox.__main__ import app as sandbox_app

    sandbox_app(context.args, prog_name="ariagent sandbox")
