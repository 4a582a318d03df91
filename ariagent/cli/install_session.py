"""The work of ``ariagent install`` and ``uninstall``. Only they import it: its imports take half a second."""

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import typer
from pydantic import SecretStr

from ariagent import configfile
from ariagent.check import installed
from ariagent.check.checks import Need, quick, run_checks
from ariagent.check.report import Result, Status
from ariagent.check.site import opened
from ariagent.cli import options
from ariagent.config import AmiSettings, AsteriskSettings, Settings
from ariagent.errors import AriagentError, AsteriskError, ConfigurationError
from ariagent.install import reload
from ariagent.install.choices import DEFAULT_NUMBER, DEFAULT_SEATS, Choices
from ariagent.install.ours import FOLDER, STATE
from ariagent.install.plan import UNITS, Plan, Units, diff_of, lines_left, make_plan
from ariagent.install.site import NoAsteriskError, Site, find
from ariagent.install.store import Manifest, Store, alone
from ariagent.install.survey import phone_contexts, queue_names, uses
from ariagent.turns import modelfile

SYSTEMD_RUNS = Path("/run/systemd/system")
"""This folder exists if systemd runs (sd_booted(3))."""


@dataclass
class Session:
    """One run of a command: the site, and the document that ``--json`` prints."""

    root: Path | None
    asterisk_conf: Path | None
    asterisk: str | None
    configuration: Path | None
    state_directory: Path | None
    quiet: bool = False
    document: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._base = (self.root or Path("/")).absolute()
        self.settings = self.configuration or self._base / configfile.DEFAULT_PATH.relative_to("/")
        self.store = Store(self.state_directory or self._base / STATE)

    # -- install -----------------------------------------------------------------------------------

    def install(self, given: dict[str, Any], *, units: bool | None = None, turns: bool = False, apply: bool) -> int:
        manifest = self.store.read()
        conf = self.asterisk_conf or (
            Path(manifest.asterisk_conf) if manifest is not None and self.root is None else None
        )
        site = find(root=self.root, conf=conf, program=self.asterisk)
        self._introduce(site)
        if manifest is not None and self.root is None and site.conf != Path(manifest.asterisk_conf):
            raise AriagentError(
                f"ariagent is installed beside the Asterisk of {manifest.asterisk_conf}",
                remedy="Uninstall it there first, or give --config and --state-directory for a second one",
            )
        with alone(site.etc) if apply else nullcontext():
            code = self._install(site, self.store.read(), given, units=units, apply=apply)
        if turns and code == 0:
            self._fetch_model(apply=apply)
        return code

    def _fetch_model(self, *, apply: bool) -> None:
        """Fetch the model of the end-of-turn judge. It is no file of Asterisk's, so the list of changes lacks it."""
        place = modelfile.installed_in(self._base)
        self.document["model"] = str(place)
        if modelfile.is_complete(place):
            self._say(f"the end-of-turn model is in {place} already")
        elif apply:
            modelfile.fetch(place, self._say)
        else:
            self._say(f"The end-of-turn model would be fetched into {place}.")

    def _install(
        self, site: Site, manifest: Manifest | None, given: dict[str, Any], *, units: bool | None, apply: bool
    ) -> int:
        choices = self._choices(site, manifest, given)
        unusable = manifest.unusable if manifest is not None else ()
        plan = make_plan(site, choices, self.settings.absolute(), unusable, self._units(units, manifest))
        going = self.store.going(plan)
        changed = [*(change.path for change in plan.changes), *(each.path for each in going)]
        diff = plan.diff() + "".join(diff_of(each.path, each.before, each.after) for each in going)
        self.document |= {
            "choices": choices.document(),
            "changes": [str(path) for path in changed],
            "obstacles": plan.found.obstacles,
            "diff": diff,
            "applied": False,
        }
        for obstacle in plan.found.obstacles:
            self._say(f"cannot install: {obstacle}", error=True)
        self._say("" if plan.found.obstacles else diff, end="")
        self._say_notes(plan.found.notes)
        if plan.found.obstacles:
            return 1
        if not changed:
            self._say("Everything is in place.")
        elif not apply:
            self._say(f"{len(changed)} files would be changed. Nothing was written. To write them: {self._again()}")
            return 0
        return self._apply(plan, changed, apply=apply)

    def _units(self, wanted: bool | None, manifest: Manifest | None) -> Units | None:
        base = self._base
        if wanted is None and manifest is not None:
            wanted = any(Path(path).name in UNITS for path in manifest.files)
        elif wanted is None:
            packaged = (base / "usr/lib/systemd/system" / UNITS[0]).exists()
            wanted = self.root is None and SYSTEMD_RUNS.is_dir() and not packaged
        return Units(base / "etc/systemd/system", Path(sys.prefix) / "bin" / "ariagent") if wanted else None

    def _introduce(self, site: Site) -> None:
        running = "running" if site.console is not None else "not running, or this user may not use its console"
        kind = ", FreePBX" if site.is_freepbx else ""
        version = site.version or "Asterisk (program not found)"
        self.document |= {
            "asterisk": site.version,
            "configuration": str(site.etc),
            "freepbx": site.is_freepbx,
            "running": site.console is not None,
        }
        self._say(f"{version}, {running}; configuration in {site.etc}{kind}")

    def _choices(self, site: Site, manifest: Manifest | None, given: dict[str, Any]) -> Choices:
        """The given options, else those of the last installation, else the answers to questions, else defaults."""
        if manifest is not None:
            return replace(Choices.of(manifest.choices), **given)
        asks = options.can_ask() and not self.quiet
        queues = [
            name
            for name in queue_names(site.document("queues.conf"))
            if name.lower() != given.get("ai_queue", "frontline").lower()
        ]
        if "human_queue" not in given:
            given["human_queue"] = _ask_for("Queue of human agents", queues, asks) or ""
        if not given["human_queue"] and queues and not given.get("last_resort"):
            raise ConfigurationError(
                f"no human queue is chosen. Asterisk has the queues {', '.join(queues)}",
                remedy="Name the queue of human agents: --human-queue NAME",
            )
        if "contexts" not in given:
            contexts = ["from-internal-custom"] if site.is_freepbx else phone_contexts(site)
            chosen = _ask_for("Dialplan context of the site's phones", contexts, asks)
            given["contexts"] = (chosen,) if chosen in contexts else tuple(chosen.replace(",", " ").split())
            if not chosen:
                named = f" (phones are in {', '.join(contexts)})" if contexts else ""
                self._say_notes(
                    [f"no phone can dial the AI's number yet. Name the phones' context: --context NAME{named}"]
                )
        if asks and "numbers" not in given:
            given["numbers"] = tuple(typer.prompt("Number of the AI", default=DEFAULT_NUMBER).replace(",", " ").split())
        if asks and "seats" not in given:
            given["seats"] = typer.prompt("How many calls at the same time", default=DEFAULT_SEATS, type=int)
        if site.is_freepbx:
            given.setdefault("code", "*88")  # *80 is its intercom prefix
        return Choices(**given)

    def _again(self) -> str:
        words = [word for word in sys.argv[1:] if word != "--apply"]
        program = sys.argv[0] if Path(sys.argv[0]).name == "ariagent" else "ariagent"
        return shlex.join([program, *words, "--apply"])

    def _apply(self, plan: Plan, changed: list[Path], *, apply: bool) -> int:
        """Write the plan with ``apply``, and verify it. ``changed``: the files that it changes, none without
        ``apply``."""
        site, console = plan.site, plan.site.console
        since = installed.log_sizes(console, site.folders.log) if console is not None else {}
        names = {path.name for path in changed}
        if apply:
            self._write(plan)
        self.document["applied"] = bool(changed)
        if changed:
            self._say(f"changed {len(changed)} files; backups are in {self.store.folder}")
        if names & set(UNITS):
            self._reload_units()
        if console is None:
            self._say("Asterisk was not reloaded. Start or reload it, then run `ariagent check`")
            return 0
        if changed:
            self._reload(plan, names)
        results = list(self._verify(plan, since if changed else None))
        if apply and not changed and any(each.status is Status.FAILED for each in results):
            self._say("Asterisk has not loaded all of it. Reloading Asterisk's files.")
            (plan.site.etc / FOLDER / "queues.conf").touch()  # Asterisk does not reload an unchanged file
            self._reload(plan, set(reload.RELOADS))
            results = list(self._verify(plan, since))
        self._say("".join(f"{each.line}\n" for each in results), end="")
        self.document["checks"] = [{"status": each.status, "name": each.name, "found": each.found} for each in results]
        bad = [each for each in results if each.status is Status.FAILED]
        if bad:
            self._say(
                "Asterisk has not loaded all of it; see above. `ariagent uninstall` undoes all changes.", error=True
            )
            return 1
        if changed:
            self._next_steps(plan)
        return 0

    def _write(self, plan: Plan) -> Manifest:
        found = plan.found
        facts = {"ari_url": found.ari_url, "ami_host": found.ami_address[0], "ami_port": found.ami_address[1]}
        manifest, notes = self.store.write(plan, plan.choices, facts)
        self._say_notes(notes)
        return manifest

    def _reload(self, plan: Plan, changed: set[str]) -> None:
        console = plan.site.console
        assert console is not None
        progress = lambda command: self._say(f"Asterisk console: {command}")  # noqa: E731
        custom = {plan.site.place(name): name for name in reload.RELOADS}
        names = {custom.get(name, name) for name in changed}
        if {"dialplan.conf", "supervisor.conf"} & changed:
            names.add("extensions.conf")
        reload.reload(console, names - {"ari.conf", "extensions.conf", "queues.conf"}, progress)
        refused = reload.load(console, plan.found.modules, progress)
        if refused:
            # If modules.conf named them, Asterisk might not start any more.
            self._say(f"warning: {', '.join(refused)} did not load, so modules.conf does not load them", error=True)
            plan.found.modules = tuple(name for name in plan.found.modules if name not in refused)
            manifest = self._write(plan.again())
            manifest.unusable = sorted({*manifest.unusable, *refused})
            self.store.save(manifest)
        reload.close_seats(console, plan.choices.app)
        reload.reload(console, names & {"ari.conf", "extensions.conf", "queues.conf"}, progress)

    def _verify(self, plan: Plan, since: Mapping[Path, int] | None) -> Iterator[Result]:
        console = plan.site.console
        assert console is not None
        if plan.found.modules:
            yield installed.check_modules(console, plan.found.modules)
        yield from _run_checks(plan)
        yield from installed.check_numbers(console, plan.choices)
        if since is not None:
            yield installed.check_log(since)

    def _next_steps(self, plan: Plan) -> None:
        numbers = " or ".join(plan.choices.all_numbers)
        if plan.choices.service_address:
            self._say(
                f"Next: `ariagent init` writes {self.settings}. Copy that folder to {plan.choices.service_address}."
            )
            self._say(f"There run `ariagent check`, start the service, and dial {numbers} here.")
        elif self.settings.exists():
            self._say(f"Next: `ariagent check`, then start the service and dial {numbers}.")
        else:
            self._say(f"Next: `ariagent init` writes {self.settings}. Then start the service and dial {numbers}.")

    def _reload_units(self) -> None:
        if self.root is None and SYSTEMD_RUNS.is_dir():
            self._say("systemctl daemon-reload")
            subprocess.run(["systemctl", "daemon-reload"], check=False)

    # -- uninstall ---------------------------------------------------------------------------------

    def uninstall(self, *, dry_run: bool, force: bool) -> int:
        manifest = self.store.read()
        if manifest is None:
            self._look_for_lines()
            self._say(f"nothing is installed: {self.store.folder} has no list of changes")
            self.document["removed"] = []
            return 0
        conf = self.asterisk_conf or (None if self.root is not None else Path(manifest.asterisk_conf))
        site = find(root=self.root, conf=conf, program=self.asterisk)
        with alone(site.etc):
            return self._uninstall(site, self.store.read() or manifest, dry_run=dry_run, force=force)

    def _look_for_lines(self) -> None:
        """Raises AriagentError where ariagent is installed and only the list of it is gone."""
        try:
            site = find(root=self.root, conf=self.asterisk_conf, program=self.asterisk)
        except NoAsteriskError:
            return
        if left := lines_left(site):
            raise AriagentError(
                f"{self.store.folder} has no list of changes, but lines of ariagent's are in "
                f"{', '.join(map(str, left))}",
                remedy="Run `ariagent install --apply` with the choices of the last time: it writes the list again. "
                "Then `ariagent uninstall`",
            )

    def _uninstall(self, site: Site, manifest: Manifest, *, dry_run: bool, force: bool) -> int:
        # Not as Choices: whatever was chosen, and by which version, it can be taken out.
        app, console = str(manifest.choices.get("app", "ariagent")), site.console
        if console is not None and not force and _serves(console.ask, app):
            raise AriagentError(
                f"the service is running (application {app}), and its calls need the installed files",
                remedy="Stop the service first (systemctl stop ariagent), or give --force",
            )
        if (borrowed := uses(site)) and not force:
            listed = "\n  ".join(borrowed)
            raise AriagentError(
                f"the site's own configuration still uses ariagent:\n  {listed}",
                remedy="Remove these lines first. With --force they stay, and callers get no answer there",
            )
        place = self._base / modelfile.FOLDER
        endings = self.store.endings(manifest)
        for ending in endings:
            self._say(f"{'remove ' if ending.after is None else 'restore'} {ending.path}")
        self.document["removed"] = list(manifest.files)
        if modelfile.is_complete(place):
            self._say(f"remove  {place / modelfile.MODEL.name}")
        if dry_run:
            self._say_notes([ending.note for ending in endings if ending.note])
            self._say("Nothing was written.")
            return 0
        notes = self.store.remove(manifest)
        modelfile.remove(place)
        if {Path(path).name for path in manifest.files} & set(UNITS):
            self._reload_units()
        self._say_notes(notes)
        if console is not None:
            progress = lambda command: self._say(f"Asterisk console: {command}")  # noqa: E731
            reload.reload(console, reload.RELOADS, progress)
            reload.forget_seats(console, app)
        self._say(f"ariagent is removed from {site.etc}. {self.settings} and the records of calls stay.")
        return 0

    def _say_notes(self, notes: Sequence[str]) -> None:
        self.document["notes"] = [*self.document.get("notes", []), *notes]
        for note in notes:
            self._say(f"note: {note}")

    def _say(self, line: str, *, error: bool = False, end: str = "\n") -> None:
        if not self.quiet:
            typer.echo(line, err=error, nl=end == "\n")


def _ask_for(what: str, known: list[str], asks: bool) -> str:
    """Ask for a name and offer ``known``. Without a terminal: the only known name, or ""."""
    if not asks:
        return known[0] if len(known) == 1 else ""
    listed = f" ({', '.join(known)})" if known else ""
    return str(typer.prompt(f"{what}{listed}", default=known[0] if known else "")).strip()


def _serves(ask: Callable[[str], str], app: str) -> bool:
    try:
        return app in ask("ari show apps").split()
    except AsteriskError:
        return False


def _run_checks(plan: Plan) -> list[Result]:
    """Run the quick checks as the service's users."""
    choices, found = plan.choices, plan.found
    ari_password, ami_password = (SecretStr(password) for password in plan.passwords)
    host, port = found.ami_address
    settings = Settings(
        asterisk=AsteriskSettings(url=found.ari_url, user=choices.ari_user, password=ari_password, app=choices.app),
        ami=AmiSettings(host=host, port=port, user=choices.ami_user, password=ami_password),
        max_calls=choices.seats,
    )
    results: list[Result] = []

    async def run() -> None:
        async with opened(settings, "ariagent install", serving=False) as site:
            await run_checks(quick(Need.ASTERISK, Need.MANAGER), site, lambda _, result: results.append(result))

    asyncio.run(run())
    return results
