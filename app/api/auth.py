"""Signing in for programs: an e-mail address and a password for an access token."""

from app.api.door import bp, public, takes
from app.api.schemas import Credentials, Programme, Refused, SignedIn
from app.database import spell
from app.domain import accounts, bearer
from app.factory import limiter
from app.models import Role, User

PLAN = "self_hosted"
ROLES = {Role.admin: "programme_admin"}


@bp.post("/auth/login")
@limiter.limit("10 per minute")
@public
@takes(json=Credentials, answers={200: SignedIn, 401: Refused, 429: Refused}, open_to_all=True)
def log_in(json: Credentials):
    """Sign in; the answer holds the access token that every other request shows."""
    user = accounts.with_password(json.email, json.password)
    return SignedIn(
        access_token=bearer.issue(user),
        token_type="bearer",  # noqa: S106 - the kind of token, not a secret
        expires_in=int(bearer.LASTS.total_seconds()),
        requires_2fa=False,
        programme=_programme(user),
    )


def _programme(user: User) -> Programme:
    return Programme(
        id=spell("prog", user.organisation_id),
        email=user.email,
        name=user.organisation.name,
        role=ROLES.get(Role(user.role), "programme_user"),
        plan=PLAN,
        status="active",
    )
