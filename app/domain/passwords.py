"""Passwords: how they are kept, how they are compared, and which ones are too weak."""

import string
import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.domain.errors import Invalid
from app.sentences import Sentence, say

SHORTEST = 10
LONGEST = 128
SPECIAL = frozenset("!@#$%^&*()-_=+[]{}|;:,.<>?/~`")

# argon2id with 19 MiB, 2 passes, 1 lane: the OWASP Password Storage Cheat Sheet's first choice
HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
NOBODYS = HASHER.hash("the password of nobody")


def weak_password(password: str) -> Sentence | None:
    """Return why people should not choose this password; None when it is strong enough."""
    if len(password) < SHORTEST:
        return say("Use at least %(least)s characters.", least=SHORTEST)
    if len(password) > LONGEST:
        return say("Use at most %(most)s characters.", most=LONGEST)
    if not any(letter.isupper() for letter in password):
        return say("Add a capital letter.")
    if not any(letter.islower() for letter in password):
        return say("Add a small letter.")
    if not any(letter in string.digits for letter in password):
        return say("Add a digit.")
    if SPECIAL.isdisjoint(password):
        return say("Add a special character, such as ! ? - or #.")
    return None


def hashed(password: str) -> str:
    """Return what is kept of the password: an argon2id hash with its salt. Raises Invalid if too long."""
    if len(password) > LONGEST:
        raise Invalid({"password": say("Use at most %(most)s characters.", most=LONGEST)})
    return HASHER.hash(_plain(password))


def matches(kept: str | None, password: str) -> bool:
    """Return whether `password` is the one that `kept` was made from.

    With nothing kept it takes as long as with a wrong password, so that time does not tell who exists.
    """
    tried = password if len(password) <= LONGEST else ""  # nobody's, and no work for a text of megabytes
    try:
        return HASHER.verify(kept or NOBODYS, _plain(tried)) and kept is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(kept: str) -> bool:
    """Return whether the hash was made with other parameters than today's and wants to be made again."""
    return HASHER.check_needs_rehash(kept)


def _plain(password: str) -> bytes:
    """Return the same bytes for the same letters, however a keyboard composes an accent (NIST SP 800-63B, 3.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
