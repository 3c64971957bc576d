"""Sealing: an archive encrypted with age for those who may open it, or under a passphrase; and opened again.

Streams only, of any length; what is in them is not known here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyrage

from app.backup import passphrases
from app.backup.streams import Pulled, Pushed, Readable, Watched, blocks
from app.domain.errors import Refusal
from app.sentences import say

INTRO = passphrases.INTRO
SHORTEST_PASSPHRASE = 12
BY_PASSPHRASE = b"-> scrypt "


class CannotOpen(Refusal):
    """The file is not a backup that these keys open."""

    code = "cannot_open"


@dataclass(frozen=True)
class Recipients:
    """Public keys (`age1…`): whoever has the private half of one of them opens the backup."""

    keys: tuple[pyrage.x25519.Recipient, ...]


@dataclass(frozen=True)
class Passphrase:
    """Words that seal and open."""

    words: str


@dataclass(frozen=True)
class Identities:
    """Private keys (`AGE-SECRET-KEY-1…`)."""

    keys: tuple[pyrage.x25519.Identity, ...]


@dataclass(frozen=True)
class Nothing:
    """No seal: whoever has the file reads it."""


Seal = Recipients | Passphrase | Nothing
Opener = Identities | Passphrase | Nothing


def seal(stream: Readable, out: BinaryIO, by: Seal) -> None:
    """Write the stream to `out`, sealed."""
    match by:
        case Recipients(keys):
            _encrypt(Watched(stream), Watched(out), list(keys))
        case Passphrase(words):
            out.writelines(passphrases.sealed(stream, words))
        case Nothing():
            out.writelines(blocks(stream))


@contextmanager
def opened(file: BinaryIO, by: Opener) -> Iterator[Readable]:
    """Give what was sealed. Raises CannotOpen with a sentence when it cannot be, also in the middle of reading."""
    intro = file.read(len(INTRO) + len(BY_PASSPHRASE))
    file.seek(0)
    _refuse_the_wrong_key(intro, by)
    try:
        match by:
            case Identities(keys):
                stream = Pushed(lambda out: _decrypt(Watched(file), out, list(keys)))
                try:
                    yield stream
                finally:
                    stream.close()
            case Passphrase(words):
                yield Pulled(passphrases.opened(file, words))
            case Nothing():
                yield file
    except passphrases.WrongPassphrase:
        raise CannotOpen(say("The passphrase does not open this backup.")) from None
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise CannotOpen(say("This backup was made for other keys than yours: none of them opens it.")) from None
        raise _changed() from None
    except (passphrases.NotSealed, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # a disk's own words; pyrage's carry no number
            raise
        raise _changed() from None


def recipients(texts: list[str]) -> Recipients:
    """Return the public keys in these lines; empty ones and those that begin with # are left out."""
    keys = []
    for text in _listed(texts):
        try:
            keys.append(pyrage.x25519.Recipient.from_str(text))
        except pyrage.RecipientError:
            raise CannotOpen(
                say("“%(text)s” is no public key of age; one begins with age1 and has 62 characters.", text=text[:80])
            ) from None
    if not keys:
        raise CannotOpen(say("There is no public key (age1…) to seal the backup for."))
    return Recipients(tuple(keys))


def identities(path: Path) -> Identities:
    """Return the private keys in a file, as `age-keygen` writes it; what is in it is never told."""
    keys = []
    for text in _listed(path.read_text("utf-8", errors="replace").splitlines()):
        try:
            keys.append(pyrage.x25519.Identity.from_str(text))
        except pyrage.IdentityError:
            break
    else:
        if keys:
            return Identities(tuple(keys))
    raise CannotOpen(
        say("%(path)s holds no private key of age (AGE-SECRET-KEY-1…), or something else beside.", path=path)
    )


def new_passphrase(words: str) -> Passphrase:
    """Return a passphrase to seal with. Raises CannotOpen when it is so short that it could be tried out."""
    if len(words) < SHORTEST_PASSPHRASE:
        raise CannotOpen(
            say("The passphrase is too short: use %(n)s characters or more, such as six words.", n=SHORTEST_PASSPHRASE)
        )
    return Passphrase(words)


def _encrypt(stream: Watched, out: Watched, keys: list[pyrage.x25519.Recipient]) -> None:
    try:
        pyrage.encrypt_io(stream, out, keys)
    except pyrage.EncryptError:
        raise stream.error or out.error or CannotOpen(say("The backup could not be sealed.")) from None


def _decrypt(file: Watched, out: BinaryIO, keys: list[pyrage.x25519.Identity]) -> None:
    try:
        pyrage.decrypt_io(file, out, keys)
    except (pyrage.DecryptError, OSError) as error:
        raise file.error or error from None


def _listed(lines: list[str]) -> list[str]:
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


def _refuse_the_wrong_key(intro: bytes, by: Opener) -> None:
    """Say at once what opens the file when it is not what was brought."""
    if not intro.startswith(INTRO):
        if not isinstance(by, Nothing):
            raise CannotOpen(say("This backup is not sealed: leave --identity and --passphrase-stdin away."))
    elif intro.endswith(BY_PASSPHRASE):
        if not isinstance(by, Passphrase):
            raise CannotOpen(say("This backup is sealed with a passphrase: bring it with --passphrase-stdin."))
    elif not isinstance(by, Identities):
        raise CannotOpen(say("This backup is sealed for a key: bring its private half with --identity FILE."))


def _changed() -> CannotOpen:
    return CannotOpen(say("This backup was changed or cut off since it was made: its seal is broken."))
