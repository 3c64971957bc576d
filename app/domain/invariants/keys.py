"""The keys' invariant: the installation's secret opens each of them, and both halves belong together."""

from sqlalchemy import select

from app.database import db
from app.domain import keys
from app.domain.invariants.breach import Breach, Breaches
from app.models import SigningKey
from app.sentences import say


def secret_opens_keys() -> Breaches:
    """The secret opens every signing key, also those that only verify."""
    for key in db.session.scalars(select(SigningKey)):
        if not keys.opens(key):
            yield Breach(
                say(
                    "The secret of this installation does not open signing key %(key)s. Restore the secret.",
                    key=key.key_id,
                ),
                key.organisation_id,
            )
