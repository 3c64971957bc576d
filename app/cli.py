"""The `fieldcard` command: everything that is done without a browser; refusals are one sentence and exit 1."""

import secrets
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import click
from flask import Flask

from app.settings import Settings, SettingsError, from_environment

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

    return create_app(settings)


def refuse_unmigrated(settings: Settings) -> None:
    """Exit with a sentence when the database cannot be reached, or does not have this version's tables."""
    from sqlalchemy.exc import OperationalError

    from app.domain import installation

    with installation.bare_app(settings).app_context():
        try:
            migrated = installation.is_migrated()
        except OperationalError as error:
            sys.exit(f"The database cannot be reached: {error.orig}")
    if not migrated:
        sys.exit("The database is not at this version's tables. Run: fieldcard migrate")


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
    from sqlalchemy.exc import OperationalError

    from app.domain import installation

    with installation.bare_app(settings_or_exit()).app_context():
        try:
            installation.migrate()
        except OperationalError as error:
            sys.exit(f"The database cannot be reached: {error.orig}")


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
    click.echo(f"{found.name} may make {left} cards now.")


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
@inside_app
def doctor(reap: bool) -> None:
    """Check everything that must always be true; say nothing when all is well."""
    from app import tasks
    from app.domain import invariants, sweeping

    if reap:
        tasks.tick()
        sweeping.sweep()
    found = list(invariants.breaches())
    for breach in found:
        click.echo(breach)
    if found:
        sys.exit(1)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("what", type=click.Choice(["render"]))
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def bench(what: str, options: tuple[str, ...]) -> None:
    """Measure on this machine: `bench render` compares the making of a card with the plain way of making it."""
    from importlib import import_module

    sys.exit(import_module(f"bench.{what}").main(list(options)))


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
