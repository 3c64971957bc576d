"""`fieldcard backup` and `fieldcard restore`: from what was typed to what is told; refusals are one sentence."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.backup import making, restoring, sealing
from app.backup.sealing import Nothing, Opener, Passphrase, Seal
from app.database import settings

ONE_WAY = "Choose one of --recipient (or --recipients-file), --passphrase-stdin and --plain."
UNSEALED = (
    "A backup holds names and birth dates, so it is sealed: with --recipient age1… for whoever has the private key "
    "(or FIELDCARD_BACKUP_RECIPIENT), or with --passphrase-stdin. With --plain it is not, and whoever gets the file "
    "reads everything."
)


def backup(
    file: Path, recipients: tuple[str, ...], recipients_file: Path | None, passphrase_stdin: bool, plain: bool
) -> None:
    """Write the backup and tell what is in it; exit 1 when something that belongs to it was lost before."""
    with _told():
        by = _seal(recipients, recipients_file, passphrase_stdin, plain)
        made = making.make(file, by, _show)
    click.echo(f"{made.file} holds {made.rows:,} rows and {made.files:,} files of {made.taken_at:%Y-%m-%d %H:%M} UTC.")
    if plain:
        click.echo("It is not sealed: keep it where nobody else reads.", err=True)
    for key in made.missing:
        click.echo(f"The stored file {key} is lost: it is named by a row and was not there to be saved.", err=True)
    if made.missing:
        sys.exit(1)


def restore(file: Path, identity: Path | None, passphrase_stdin: bool) -> None:
    """Restore the backup, tell what came in and what is wrong with it now; exit 1 when something is."""
    with _told():
        done = restoring.restore(file, _opener(identity, passphrase_stdin), _show)
    if done.taken_at:
        click.echo(f"{done.rows:,} rows and {done.files:,} files are here, as they were at {done.taken_at[:16]} UTC.")
    else:
        click.echo("The rows came in earlier; what was left to do is done.")
    if done.erased_again:
        click.echo(f"{done.erased_again:,} people who were erased since are erased again.")
    for key in done.missing:
        click.echo(f"The stored file {key} was lost when the backup was made.", err=True)
    for breach in done.breaches:
        click.echo(str(breach))
    if done.breaches or done.missing:
        sys.exit(1)
    click.echo("Everything that must always be true is true. People sign in again.")


def _seal(recipients: tuple[str, ...], recipients_file: Path | None, passphrase_stdin: bool, plain: bool) -> Seal:
    given = bool(recipients or recipients_file)
    if given + passphrase_stdin + plain > 1:
        raise click.ClickException(ONE_WAY)
    if plain:
        return Nothing()
    if passphrase_stdin:
        return sealing.new_passphrase(_passphrase())
    listed = recipients_file.read_text("utf-8").splitlines() if recipients_file else []
    texts = [*recipients, *listed] if given else settings().backup_recipient.split()
    if not texts and not given:
        raise click.ClickException(UNSEALED)
    return sealing.recipients(texts)


def _opener(identity: Path | None, passphrase_stdin: bool) -> Opener:
    if identity and passphrase_stdin:
        raise click.ClickException("Choose one of --identity and --passphrase-stdin.")
    if identity:
        return sealing.identities(identity)
    return Passphrase(_passphrase()) if passphrase_stdin else Nothing()


def _passphrase() -> str:
    words = sys.stdin.readline().rstrip("\r\n")
    if not words:
        raise click.ClickException("The passphrase is missing: write it as one line to standard input.")
    return words


@contextmanager
def _told() -> Iterator[None]:
    """Tell what the disk says as one sentence, and clean up behind a SIGTERM as behind Ctrl-C."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except OSError as error:
        about = f": {error.filename}" if error.filename else ""
        raise click.ClickException(f"{error.strerror or error}{about}") from None
    finally:
        signal.signal(signal.SIGTERM, before)
        if sys.stderr.isatty():
            click.echo(err=True)


def _show(done: int, of: int) -> None:
    """Show how far it is, to a person who watches."""
    if sys.stderr.isatty() and of:
        click.echo(f"\r{100 * done // of:3d} %  {done / 1e6:,.0f} MB", nl=False, err=True)
