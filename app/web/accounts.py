"""Pages of accounts: signing in and out, answering a link, and one's own account."""

from flask import Response, flash, redirect, request, session
from flask_babel import get_locale
from flask_babel import gettext as _
from flask_login import current_user

from app.domain import accounts, team
from app.domain.errors import Conflict, Invalid, NotFound, NotSignedIn, Refusal
from app.factory import LANGUAGES, limiter
from app.models import InvitationKind, User
from app.web.door import actor, bp, go, page, public, signed_in
from app.web.languages import in_words
from app.web.people_in import carried, carry, forget

TRIES = "10 per minute"  # from one address
Answer = str | Response | tuple[str, int]


@bp.route("/signin", methods=["GET", "POST"])
@public
@limiter.limit(TRIES, methods=["POST"])
def signin() -> Answer:
    """Sign in, and go on to the page that was wanted."""
    wanted = local_path(request.values.get("next", ""))
    if request.method == "GET":
        return go("web.home") if current_user.is_authenticated else page("accounts/signin.html", next=wanted)
    email = request.form.get("email", "")
    try:
        person = accounts.with_password(email, request.form.get("password", ""))
        _begin(person)
    except NotSignedIn as refusal:
        errors = {"email": in_words(refusal.sentence)}
        return page("accounts/signin.html", email=email, next=wanted, errors=errors), 401
    return redirect(wanted, code=303) if wanted else go("web.home")  # type: ignore[return-value]


@bp.post("/signout")
@public
def signout() -> Answer:
    """End the session, so that every copy of the cookie is dead."""
    accounts.sign_out(carried())
    forget()
    flash(_("You are signed out."), "good")
    return go("web.signin")


@bp.route("/invite/<token>", methods=["GET", "POST"])
@public
@limiter.limit(TRIES, methods=["POST"])
def invitation(token: str) -> Answer:
    """Join a team, or choose a new password, by a link that was shown to an administrator."""
    name, errors = request.form.get("name", ""), {}
    try:
        link = team.read_link(token)
        if request.method == "POST":
            person = team.answer_invitation(token, name, request.form.get("password", ""))
            return _welcome(person, link)
    except NotFound as refusal:
        return page("accounts/link_dead.html", reason=in_words(refusal.sentence)), 404
    except (Invalid, Conflict) as refusal:
        errors = words_of(refusal)
    return page("accounts/invitation.html", link=link, name=name, errors=errors), 422 if errors else 200


@bp.get("/app/account")
@signed_in()
def account() -> Answer:
    """Show one's own account."""
    return _account_page()


@bp.post("/app/account")
@signed_in()
def save_account() -> Answer:
    """Keep one's name and language."""
    name, language = request.form.get("name", ""), request.form.get("language", "")
    try:
        accounts.save_profile(name, language, by=actor())
    except Invalid as refusal:
        return _account_page(words_of(refusal), name=name, language=language), 422
    session["language"] = language
    flash(_("Your account is saved."), "good")
    return go("web.account")


@bp.post("/app/account/password")
@signed_in()
@limiter.limit(TRIES)
def change_password() -> Answer:
    """Choose another password; other browsers are signed out."""
    current, new = request.form.get("current", ""), request.form.get("password", "")
    try:
        accounts.change_password(current, new, by=actor(), kept_token=carried())
    except Invalid as refusal:
        return _account_page(words_of(refusal)), 422
    flash(_("Your password is changed. Everywhere else you are signed out."), "good")
    return go("web.account")


@bp.post("/app/account/sign-out-everywhere")
@signed_in()
def sign_out_everywhere() -> Answer:
    """End all of one's sessions, this one too."""
    accounts.sign_out_everywhere(by=actor())
    forget()
    flash(_("You are signed out everywhere."), "good")
    return go("web.signin")


def local_path(text: str) -> str | None:
    """Return the address when it is a path of this portal, else None.

    Browsers read a backslash as a slash and skip tabs and line ends, so `/\\evil.example` leads away as `//` does.
    """
    strange = "\\" in text or any(ord(letter) <= ord(" ") for letter in text)
    return text if text.startswith("/") and not text.startswith("//") and not strange else None


def words_of(refusal: Refusal) -> dict[str, str]:
    """Return the refusal's sentence for each field in the reader's language, as templates show them."""
    fields = refusal.fields if isinstance(refusal, Invalid) else {"": refusal.sentence}
    return {name: in_words(sentence) for name, sentence in fields.items()}


def _begin(person: User) -> None:
    """Begin a session with a new token; the one this browser had ends, so nobody can plant a session beforehand."""
    before, language = carried(), person.language
    token = accounts.begin_session(person)
    if before:
        accounts.sign_out(before)
    carry(token, language)


def _welcome(person: User, link: team.OpenLink) -> Response:
    if link.kind == InvitationKind.reset:  # whoever found an old link must still know the e-mail
        forget()
        flash(_("Your new password is set. Sign in with it."), "good")
        return go("web.signin")
    _begin(person)
    flash(_("Welcome! You are in the team of %(organisation)s.", organisation=link.organisation_name), "good")
    return go("web.home")


def _account_page(errors: dict[str, str] | None = None, **typed: str) -> str:
    person = current_user
    return page(
        "accounts/account.html",
        person=person,
        name=typed.get("name", person.name),
        language=typed.get("language", person.language or str(get_locale())),
        language_options=list(LANGUAGES.items()),
        sessions=accounts.sessions_of(actor()),
        this_session=accounts.digest(carried()),
        errors=errors or {},
    )
