"""The `fieldcard` command: everything that is done without a browser; refusals are one sentence and exit 1."""

import errno
import secrets
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

import click
from flask import Flask

from app.settings import ROOT, Settings, SettingsError, from_environment

if TYPE_CHECKING:
    from app.domain.invariants import Progress

P = ParamSpec("P")


def settings_or_exit() -> Settings:
    """Return the settings; exit with a sentence when one of them cannot be used."""
    try:
        return from_environment()
    except (SettingsError, OSError) as error:
        sys.exit(str(error))


def ready_app() -> Flask:
    """Return the app for a process that works or serves; exit with a sentence when the database is not ready."""
    refuse_unmigrated(settings := settings_or_exit())
    from app.factory import create_app

    try:
        return create_app(settings)
    except SettingsError as error:
        sys.exit(str(error))


def refuse_unmigrated(settings: Settings) -> None:
    """Exit with a sentence when the database cannot be reached, lacks this version's tables or is another secret's."""
    from sqlalchemy.exc import OperationalError

    from app.domain import installation, keys
    from app.domain.errors import Refusal

    with installation.bare_app(settings).app_context():
        try:
            if not installation.is_migrated():
                sys.exit("The database is not at this version's tables. Run: fieldcard migrate")
            keys.refuse_another_secret()
        except OperationalError as error:
            sys.exit(f"The database cannot be reached: {error.orig}")
        except Refusal as refusal:
            sys.exit(str(refusal))


def prepare_to_serve(*, migrating: bool) -> None:
    """Bring the database to this version's tables, or only check that it is; exit with a sentence when none may serve.

    After a restore that was interrupted nobody may: who was erased since the backup is there again until it is done.
    """
    settings = settings_or_exit()
    if migrating:
        _migrate(settings)
    refuse_unmigrated(settings)
    from app.domain import backups, installation

    with installation.bare_app(settings).app_context():
        if backups.is_unfinished():
            sys.exit(
                "A restore was interrupted here, and people who were erased since that backup may be back. Finish it "
                "first, with the same command: fieldcard restore FILE"
            )


def inside_app(command: Callable[P, Any]) -> Callable[P, Any]:
    """Run the command inside the app, and turn a refusal into its sentence."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        from app.domain.errors import Refusal

        with ready_app().app_context():
            try:
                command(*args, **kwargs)
            except Refusal as refusal:
                raise OneSentence(str(refusal)) from None
            except OSError as error:
                if error.errno != errno.EREMOTEIO:  # a file store that is away, which says so itself
                    raise
                raise OneSentence(str(error)) from None

    return run


class OneSentence(click.ClickException):
    """What went wrong, as one sentence on stderr."""

    def show(self, file: Any = None) -> None:
        click.echo(self.format_message(), err=True)


class Commands(click.Group):
    """Our commands: a wrong option is one sentence and exit 1, like every other refusal."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs | {"standalone_mode": False})
        except click.exceptions.Abort:
            sys.exit("Stopped.")
        except click.ClickException as error:
            click.echo(error.format_message(), err=True)
            sys.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Fieldcard: make, hand out and verify beneficiary cards."""


@main.command()
@click.option("--web", is_flag=True, help="Only the web server.")
@click.option("--worker", type=click.IntRange(1, 64), metavar="N", help="Only N workers.")
def serve(web: bool, worker: int | None) -> None:
    """Start the portal: web server and workers, started again when they die. Ctrl-C stops all."""
    from app import supervisor

    both = web == (worker is not None)
    settings = settings_or_exit()
    if both:
        sys.exit(supervisor.run(settings, workers=worker))
    sys.exit(supervisor.run(settings, web=web, workers=0 if web else worker))


@main.command()
def migrate() -> None:
    """Bring the database to this version's tables."""
    _migrate(settings_or_exit())


@main.command()
def demo() -> None:
    """Make the demo organisation with 60 fictitious people and start its cards, once."""
    from app.domain import installation

    refuse_unmigrated(settings := settings_or_exit())
    with installation.bare_app(settings).app_context():
        if installation.has_demo():
            return
    from app import tasks
    from app.domain import demo as demos
    from app.factory import create_app

    with create_app(settings).app_context():
        if made := demos.make():
            tasks.ring()
            click.echo(f"Sign in as {made.email} with the password {made.password}")


@main.group()
def user() -> None:
    """People who sign in."""


@user.command("add")
@click.argument("email")
@click.option("--organisation", required=True, metavar="NAME", help="Made when its name is new.")
@click.option("--role", required=True, type=click.Choice(["viewer", "editor", "admin"]))
@click.option("--quota", type=click.IntRange(0, 100_000_000), default=10_000, help="Cards a month, when it is new.")
@click.option("--password-stdin", is_flag=True, help="Read the password, one line, from standard input.")
@inside_app
def add_user(email: str, organisation: str, role: str, quota: int, password_stdin: bool) -> None:
    """Add a person to an organisation."""
    from app.domain import accounts

    password, told = _password(password_stdin)
    added = accounts.add_user(email, organisation, role, password, quota)
    click.echo(f"{added.email} is {role} of {added.organisation.name}.{told}")


@user.command("password")
@click.argument("email")
@click.option("--password-stdin", is_flag=True, help="Read the password, one line, from standard input.")
@inside_app
def set_password(email: str, password_stdin: bool) -> None:
    """Give a person a new password; they are signed out everywhere."""
    from app.domain import accounts

    password, told = _password(password_stdin)
    accounts.set_password(email, password)
    click.echo(f"{email} has a new password.{told}")


@main.group()
def quota() -> None:
    """How many cards organisations may make."""


@quota.command("grant")
@click.argument("organisation")
@click.argument("cards", type=int)
@click.option("--reason", required=True, help="Stands in the ledger.")
@inside_app
def grant_quota(organisation: str, cards: int, reason: str) -> None:
    """Let an organisation make CARDS more cards."""
    from app.domain import organisations, quotas
    from app.domain.access import Actor

    found = organisations.by_name(organisation)
    left = quotas.grant(found.id, cards, reason, by=Actor.portal(found.id))
    click.echo(f"{found.name} may make {left} cards now. What is left at the end of the month expires.")


@quota.command("correct", context_settings={"ignore_unknown_options": True})
@click.argument("organisation")
@click.argument("cards", type=int, metavar="±CARDS")
@click.option("--reason", required=True, help="Stands in the ledger.")
@inside_app
def correct_quota(organisation: str, cards: int, reason: str) -> None:
    """Put a mistake right: add cards (50) or take them away (-50), as many as are left at most."""
    from app.domain import organisations, quotas
    from app.domain.access import Actor

    found = organisations.by_name(organisation)
    left = quotas.correct(found.id, cards, reason, by=Actor.portal(found.id))
    click.echo(f"{found.name} may make {left} cards now.")


@quota.command("monthly")
@click.argument("organisation")
@click.argument("cards", type=int)
@inside_app
def set_monthly_quota(organisation: str, cards: int) -> None:
    """Grant an organisation CARDS cards a month, from the next month on."""
    from app.domain import organisations, quotas
    from app.domain.access import Actor

    found = organisations.by_name(organisation)
    standing = quotas.set_monthly(found.id, cards, by=Actor.portal(found.id))
    click.echo(f"{found.name} gets {cards} cards a month from {standing.renewed_on} on; {standing.left} are left now.")


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="Name of the campaign.")
@click.option("--type", "campaign_type", required=True, help="vaccination, mild, nutrition …")
@click.option("--prefix", required=True, help="3 to 8 capital letters or digits, like DKR-VAC.")
@click.option("--language", required=True, help="fr, en or wo.")
@click.option("--dpi", type=int, default=300, help="300, 450 or 600.")
@click.option("--sheet", type=click.Choice(["a4"]), help="Impose the PDF on sheets with cut marks.")
@click.option("--organisation", default="", metavar="NAME", help="Who hands the cards out; stands on them.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the files.")
def generate(file: Path, out: Path, **campaign: Any) -> None:
    """Make the cards for a spreadsheet: cards.pdf, cards.zip, manifest.json, verification-portal.zip, problems.csv."""
    from app import generate as whole_job

    sys.exit(whole_job.run(settings_or_exit(), file, out, whole_job.CampaignOptions(**campaign)))


@main.command()
@click.option("--reap", is_flag=True, help="First take up what a dead worker left, and sweep stray files.")
@click.option("--quick", is_flag=True, help="Do not read every stored byte again; seconds instead of minutes.")
@inside_app
def doctor(reap: bool, quick: bool) -> None:
    """Check everything that must always be true; say nothing when all is well, a sentence for each breach otherwise."""
    from app import tasks
    from app.domain import invariants, sweeping

    if reap:
        tasks.tick()
        sweeping.sweep()
    bar = ReadingBar()
    found = 0
    for found, breach in enumerate(invariants.breaches(deep=not quick, step=bar.show), 1):  # noqa: B007 - counts
        bar.clear()
        click.echo(breach)
    bar.clear()
    if found:
        sys.exit(1)


class ReadingBar:
    """How far reading the stored files has come: one line on stderr, where that is a terminal."""

    def __init__(self) -> None:
        self.shown = ""

    def show(self, progress: "Progress") -> None:
        """Show it, when it looks different from before."""
        done, total = (f"{size / 1e9:.2f}" for size in (progress.done, progress.total))
        if progress.total and sys.stderr.isatty() and (text := f"Reading files: {done} of {total} GB") != self.shown:
            self.shown = text
            click.echo(f"\r{text}", err=True, nl=False)

    def clear(self) -> None:
        """Leave the line empty for what comes."""
        if self.shown:
            click.echo("\r" + " " * len(self.shown) + "\r", err=True, nl=False)
            self.shown = ""


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--recipient", "recipients", multiple=True, metavar="age1…", help="Who may open it; can be repeated.")
@click.option("--recipients-file", type=click.Path(path_type=Path), metavar="F", help="The same, one a line.")
@click.option("--passphrase-stdin", is_flag=True, help="Seal it with a passphrase: one line on standard input.")
@click.option("--plain", is_flag=True, help="Do not seal it: whoever has the file reads everybody's data.")
@inside_app
def backup(file: Path, **seal: Any) -> None:
    """Write everything but the secret into FILE, sealed with age, while Fieldcard goes on working."""
    from app.backup import commands

    commands.backup(file, **seal)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--identity", type=click.Path(path_type=Path), metavar="F", help="The file with the private key.")
@click.option("--passphrase-stdin", is_flag=True, help="The passphrase: one line on standard input.")
@inside_app
def restore(file: Path, **opener: Any) -> None:
    """Bring the backup in FILE into this empty installation, on SQLite or PostgreSQL, and check everything."""
    from app import tasks
    from app.backup import commands

    commands.restore(file, **opener)
    tasks.ring()


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("what", type=click.Choice(["render", "chaos", "doctor"]))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(what: str, options: tuple[str, ...]) -> None:
    """Measure on this machine.

    `bench render` compares the making of a card with the plain way of making it; `bench chaos` kills a portal's
    processes at their work and checks that nothing is lost or made twice; `bench doctor` times the doctor's check.
    """
    from importlib import import_module

    sys.path.insert(0, str(ROOT))  # measurements lie in the checkout, beside the app, and are not installed with it
    sys.exit(import_module(f"bench.{what}").main(list(options)))


def _migrate(settings: Settings) -> None:
    from sqlalchemy.exc import OperationalError

    from app.domain import installation

    with installation.bare_app(settings).app_context():
        try:
            installation.migrate()
        except OperationalError as error:
            sys.exit(f"The database cannot be reached: {error.orig}")


def _password(from_stdin: bool) -> tuple[str, str]:
    """Return a password and what to tell about it: read from one line of stdin, or drawn here."""
    from app.domain.passwords import weak_password

    if not from_stdin:
        password = secrets.token_urlsafe(12)
        return password, f" Password: {password}"
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise OneSentence("The password is missing: write it as one line to standard input.")
    if warning := weak_password(password):
        click.echo(f"Warning: {warning}", err=True)
    return password, ""


if __name__ == "__main__":
    main()
