"""``ariagent init``: the first settings file."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ariagent import configfile
from ariagent.cli import options
from ariagent.cli.options import JsonOption, fail
from ariagent.errors import AriagentError, ConfigurationError
from ariagent.install.choices import Choices
from ariagent.install.firstsettings import OPENINGS, RECEPTIONIST, TEMPLATES, Answers, Place, first_settings, to_edit
from ariagent.install.ours import STATE
from ariagent.install.plan import AMI_PASSWORD, ARI_PASSWORD, service_owner
from ariagent.install.site import contents
from ariagent.install.store import Manifest, Store, replace

if TYPE_CHECKING:
    from ariagent.cli.proof import Proof

KEY_FILE = "openai-key"
KEY_VARIABLE = "OPENAI_API_KEY"


def init(
    business: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Name of the business and what it does, for the receptionist.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"The agent to start from: {', '.join(TEMPLATES)}.")
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(metavar="CODE", help=f"The language the receptionist greets in: {', '.join(OPENINGS)}."),
    ] = None,
    human_queue: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Queue for callers who ask for a human. Default: the installation's."),
    ] = None,
    api_key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file with the key of the model's server in its first line.")
    ] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The environment variable that holds the key when the service starts."),
    ] = None,
    model_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another Realtime server than OpenAI's, as wss://HOST/v1/realtime."),
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Another model than the default.")] = None,
    call: Annotated[
        bool | None,
        typer.Option(
            "--call/--no-call",
            help="Make a test call at the end, or do not. Default: yes if the service runs on this machine.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing settings file.")] = False,
    configuration: Annotated[
        Path | None,
        typer.Option("-c", "--config", metavar="FILE", help=f"The file to write. Default: {configfile.DEFAULT_PATH}"),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Change a copy of a machine's files, below DIR, not this machine."),
    ] = None,
    state_directory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help=f"Folder with the list of changes of `ariagent install`. Default: /{STATE}"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the first settings, with an agent to start from, and make a test call.

    Run `ariagent install` first, because the settings take Asterisk's address, users and passwords from it. On a
    terminal the command asks for missing values. It writes the key of the model's server into a separate file that only
    root and the service's user can read. You may add the key later.

    The test call goes through your Asterisk to the AI's number, asks two questions and waits for the answers. If the
    service does not run yet, the command starts it for this call. Without a key a local server answers with tones, to
    test the telephone path. With a key the call costs a few cents.

        ariagent init --business "Harbour Cycles, a bicycle repair shop"

    Exit code 0: written, and the AI answered the test call; 1: it did not, or nothing could be written; 2: wrong usage.
    """
    base = (root or Path("/")).absolute()
    path = (configuration or base / configfile.DEFAULT_PATH.relative_to("/")).absolute()
    try:
        if path.exists() and not force:
            raise ConfigurationError(f"{path} is there already", remedy="Edit it, or replace it with --force")
        manifest = Store(state_directory or base / STATE).read()
        if manifest is None:
            raise ConfigurationError(
                "ariagent is not installed beside Asterisk yet", remedy="Run `ariagent install` first"
            )
        given = {
            "business": business,
            "template": template,
            "language": language,
            "human_queue": human_queue,
            "model_url": model_url,
            "model": model,
        }
        chosen = {name: value for name, value in given.items() if value is not None}
        chosen["key"] = _key(path.parent, api_key_file, api_key_env, asks=options.can_ask() and model_url is None)
        installed = Choices.of(manifest.choices)
        answers = _answers(chosen, installed)
        _write(path, first_settings(answers, _place(manifest, installed, path.parent)))
    except AriagentError as error:
        fail(error)
    said = partial(typer.echo, err=as_json)
    said(f"wrote {path}")
    if keys := to_edit(answers.template):
        said(
            f"The agent {answers.template} speaks for an invented business. Before callers reach it, edit in that file:"
        )
        said(f"  {', '.join(keys)}")
    if not answers.key and not answers.model_url:
        said(f"still missing: the key of your OpenAI account. Put it into {path.parent / KEY_FILE}, mode 0640, and")
        said(f"  add to realtime in {path.name}: api_key: file:{path.parent / KEY_FILE}")
    wanted = call if call is not None else root is None and not installed.service_address
    proof = _prove(path, installed, said, as_json=as_json) if wanted and installed.all_numbers else None
    if as_json:
        document = {"settings": str(path), "key": bool(answers.key), "agent": answers.template}
        document["test_call"] = None if proof is None else "ok" if proof.code == 0 else "failed"
        typer.echo(json.dumps(document, indent=1))
    raise typer.Exit(0 if proof is None else proof.code)


def _write(path: Path, text: str) -> None:
    """Raises ConfigurationError for an answer that makes wrong settings; the file is as it was before, then."""
    before = contents(path)
    replace(path, text.encode(), service_owner(path.parent))
    try:
        configfile.load(path, {})
    except ConfigurationError:
        if before is None:
            path.unlink()
        else:
            replace(path, before, None)
        raise


def _prove(path: Path, installed: Choices, said: Callable[[str], None], *, as_json: bool) -> Proof:
    """The test call, and what it shows."""
    from ariagent.cli.proof import prove

    number = installed.all_numbers[0]
    try:
        proof = prove(path, number, said, as_json=as_json)
    except AriagentError as error:
        said(f"The test call could not be made. `ariagent call {number}` tries it again.")
        fail(error)
    if proof.code:
        said(f"The settings are written, but the test call failed. `ariagent call {number}` tries it again.")
    elif proof.with_model:
        said(f"The AI answers. Start the service if it does not run (systemctl start ariagent), and dial {number}.")
    else:
        said("The telephone path works. Add the key, start the service (systemctl start ariagent), and dial " + number)
    return proof


def _answers(chosen: dict[str, Any], installed: Choices) -> Answers:
    chosen.setdefault("human_queue", installed.human_queue)
    _ask_for(chosen, "template", f"Agent to start from ({', '.join(TEMPLATES)})", RECEPTIONIST)
    template = chosen.setdefault("template", RECEPTIONIST)
    if template not in TEMPLATES:
        raise ConfigurationError(f"no template {template}", remedy=f"Known: {', '.join(TEMPLATES)}")
    if template == RECEPTIONIST:
        _ask_for(chosen, "business", "Name of the business, and what it does", "our company")
        _ask_for(chosen, "language", f"Language ({', '.join(OPENINGS)})", "en")
    elif unused := [f"--{name}" for name in ("business", "language") if name in chosen]:
        raise ConfigurationError(
            f"the template {template} does not use {' and '.join(unused)}: its agent speaks for an invented business",
            remedy="Leave this out and edit the file that the command writes, or choose the template " + RECEPTIONIST,
        )
    if chosen.get("language", "en") not in OPENINGS:
        raise ConfigurationError(f"no opening in {chosen['language']}", remedy=f"Known: {', '.join(OPENINGS)}")
    return Answers(**chosen)


def _ask_for(chosen: dict[str, Any], name: str, question: str, default: str) -> None:
    """Ask for a value that is not given. Without a terminal nothing is asked."""
    if name not in chosen and options.can_ask():
        chosen[name] = typer.prompt(question, default=default)


def _key(folder: Path, file: Path | None, variable: str | None, *, asks: bool) -> str:
    """How the settings name the key; a key that is typed in, or in the environment, is kept in a file."""
    if file is not None:
        return f"file:{file.absolute()}"
    if variable is not None:
        if not re.fullmatch(r"\w+", variable):
            raise ConfigurationError(f"{variable!r} is not the name of an environment variable")
        return f"${{{variable}}}"
    kept = folder / KEY_FILE
    if kept.exists():
        return f"file:{kept}"
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and asks:
        key = str(
            typer.prompt("Key of your OpenAI account (Enter: later)", default="", hide_input=True, show_default=False)
        )
    if not key.strip():
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    replace(kept, f"{key.strip()}\n".encode(), service_owner(folder))
    return f"file:{kept}"


def _place(manifest: Manifest, choices: Choices, folder: Path) -> Place:
    return Place(
        ari_url=manifest.facts["ari_url"],
        ari_user=choices.ari_user,
        ari_password=f"file:{folder / ARI_PASSWORD}",
        ami_host=manifest.facts["ami_host"],
        ami_port=manifest.facts["ami_port"],
        ami_user=choices.ami_user,
        ami_password=f"file:{folder / AMI_PASSWORD}",
        app=choices.app,
        seats=choices.seats,
        service_address=choices.service_address,
        asterisk_address=choices.asterisk_address,
    )


def schema() -> None:
    """Print the JSON Schema of the settings file, for editors.

    Save it, and put `# yaml-language-server: $schema=FILE` at the top of the settings.
    """
    from ariagent.configfile.reference import schema_text

    typer.echo(schema_text(), nl=False)
