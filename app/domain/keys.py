"""The keys that sign cards: made when first needed, one a year, the private half encrypted at rest."""

import os
import uuid
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import select

from app.database import added_first, db, settings, spell, utc_now
from app.domain.errors import Refusal
from app.domain.tokens import PublicKey, key_id_of
from app.keyring import derived
from app.models import KeyStatus, Organisation, SigningKey
from app.sentences import say

NONCE_BYTES = 12
VERIFYING = (KeyStatus.active, KeyStatus.retired)


class KeyUnreadable(Refusal):
    """The secret of this installation does not open the key."""

    code = "key_unreadable"

    def __init__(self, key_id: int) -> None:
        super().__init__(
            say("The secret of this installation does not open signing key %(key)s. Restore the secret.", key=key_id)
        )


def active_key(organisation: Organisation) -> SigningKey:
    """Return this year's key of the organisation, made inside the open transaction when there is none."""
    year = utc_now().year
    mine = (
        SigningKey.organisation_id == organisation.id,
        SigningKey.status == KeyStatus.active,
        SigningKey.year == year,
    )
    wanted = select(SigningKey).where(*mine)
    return db.session.scalar(wanted) or _make(organisation, year) or db.session.scalar(wanted)


def signer(key_id: int) -> tuple[str, Ed25519PrivateKey]:
    """Return what signs with the key: its issuer and private half, whatever became of the key since.

    Raises KeyUnreadable when the installation's secret does not open it.
    """
    return _signer(key_id, settings().secret, settings().database)


def public_key(key_id: int) -> PublicKey | None:
    """Return the published half of any organisation's key that still verifies, None when there is none."""
    table = SigningKey.__table__
    row = db.session.execute(
        select(table.c.public_key, table.c.issuer).where(table.c.key_id == key_id, table.c.status.in_(VERIFYING))
    ).first()
    return PublicKey(key_id, row.public_key, row.issuer) if row else None


def published(organisation_id: uuid.UUID) -> tuple[PublicKey, ...]:
    """Return every key of the organisation that verifies, newest first; what offline verifiers carry."""
    mine = (SigningKey.organisation_id == organisation_id, SigningKey.status.in_(VERIFYING))
    rows = db.session.scalars(select(SigningKey).where(*mine).order_by(SigningKey.created_at.desc()))
    return tuple(PublicKey(key.key_id, key.public_key, key.issuer) for key in rows)


def refuse_another_secret() -> None:
    """Raise KeyUnreadable when the newest key was made under another secret: a host with a secret of its own."""
    newest = db.session.scalar(select(SigningKey).order_by(SigningKey.created_at.desc()).limit(1))
    if newest is not None and not opens(newest):
        raise KeyUnreadable(newest.key_id)


def opens(key: SigningKey) -> bool:
    """Return whether the installation's secret opens the key, and finds the private half of the public one."""
    try:
        private = Ed25519PrivateKey.from_private_bytes(_unsealed(key, settings().secret))
    except (InvalidTag, ValueError):
        return False
    return private.public_key().public_bytes_raw() == key.public_key


def _make(organisation: Organisation, year: int) -> SigningKey | None:
    """Draw a pair whose two-byte id is nobody's in this installation; None when another one was made meanwhile."""
    table = SigningKey.__table__
    while True:
        pair = Ed25519PrivateKey.generate()
        public = pair.public_key().public_bytes_raw()
        key_id = key_id_of(public)
        if not db.session.scalar(select(table.c.id).where(table.c.key_id == key_id)):
            break
    key = SigningKey(
        organisation_id=organisation.id,
        key_id=key_id,
        issuer=spell("org", organisation.id),
        public_key=public,
        private_key=_seal(key_id, pair.private_bytes_raw()),
        year=year,
        not_before=utc_now(),
    )
    return key if added_first(key) else None


def _seal(key_id: int, raw: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(derived(settings().secret, "keys")).encrypt(nonce, raw, str(key_id).encode())


@lru_cache(maxsize=64)
def _signer(key_id: int, secret: bytes, _database: str) -> tuple[str, Ed25519PrivateKey]:
    """A key pair never changes, so it is read and opened once for each installation a process works on."""
    key = db.session.scalar(select(SigningKey).where(SigningKey.key_id == key_id))
    try:
        raw = _unsealed(key, secret)
    except InvalidTag:
        raise KeyUnreadable(key_id) from None
    return key.issuer, Ed25519PrivateKey.from_private_bytes(raw)


def _unsealed(key: SigningKey, secret: bytes) -> bytes:
    """Return the private half as it was sealed; InvalidTag when the secret is another."""
    sealed, cipher = key.private_key, AESGCM(derived(secret, "keys"))
    return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], str(key.key_id).encode())
