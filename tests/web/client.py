"""A browser for the tests of pages: it signs in, reads pages and fills in their forms as a person would.

    client.sign_in(cast.owner)
    page = client.get("/app/team").submit("#invite", email="new@example.org", role="editor")
    assert "You see this link only now" in page.text

Every request runs in a context of its own, as on a server; afterwards the test's session sees what it changed.
"""

from contextvars import Context
from functools import cached_property
from typing import Any

from bs4 import BeautifulSoup, Tag
from flask import Flask
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from app.database import db
from app.domain import accounts
from app.domain.access import Actor
from app.models import User
from app.web import people_in

CSRF_SALT = "wtf-csrf-token"  # Flask-WTF's own
RAW_TOKEN = "a token that only the tests know"


class Client:
    """One browser with its cookies, speaking English unless told otherwise."""

    def __init__(self, app: Flask, language: str = "en") -> None:
        self.app = app
        self.language = language
        self.browser = app.test_client()

    def sign_in(self, actor: Actor) -> "Client":
        """Sign the person in without the form and its password; return the client."""
        token = accounts.begin_session(db.session.get(User, actor.user_id))
        with self.browser.session_transaction() as session:
            session[people_in.SESSION_TOKEN] = token
        return self

    def get(self, path: str, *, htmx: bool = False, headers: dict[str, str] | None = None) -> "Page":
        """Return the page at the address; a redirect is not followed, see `Page.follow`."""
        return self.send("GET", path, htmx=htmx, headers=headers)

    def post(
        self,
        path: str,
        data: dict[str, Any] | None = None,
        *,
        token: bool = True,
        htmx: bool = False,
        headers: dict[str, str] | None = None,
    ) -> "Page":
        """Post without a form, with a good CSRF token unless told otherwise; rather use `Page.submit`."""
        data = dict(data or {}) | ({"csrf_token": self.csrf_token()} if token else {})
        return self.send("POST", path, data=data, htmx=htmx, headers=headers)

    def send(self, method: str, path: str, *, htmx: bool = False, headers=None, **values: Any) -> "Page":
        """Send any request and return what came back."""
        headers = {"Accept-Language": self.language} | (headers or {}) | ({"HX-Request": "true"} if htmx else {})
        values |= {"method": method, "headers": headers}
        answer = Context().run(self.browser.open, path, **values)
        db.session.rollback()
        return Page(self, path, answer)

    def csrf_token(self) -> str:
        """Return a token that this browser's session accepts."""
        with self.browser.session_transaction() as session:
            raw = session.setdefault("csrf_token", RAW_TOKEN)
        return URLSafeTimedSerializer(self.app.config["WTF_CSRF_SECRET_KEY"], salt=CSRF_SALT).dumps(raw)

    @property
    def cookie(self) -> str:
        """The session cookie, as somebody could copy it."""
        return self.browser.get_cookie(self.app.config["SESSION_COOKIE_NAME"]).value

    @cookie.setter
    def cookie(self, value: str) -> None:
        self.browser.set_cookie(self.app.config["SESSION_COOKIE_NAME"], value)


class Page:
    """What came back: its status, words and forms."""

    def __init__(self, client: Client, path: str, answer: TestResponse) -> None:
        self.client = client
        self.path = path
        self.answer = answer
        self.status = answer.status_code
        self.headers = answer.headers
        self.body = answer.data

    @property
    def location(self) -> str | None:
        """Where a redirect leads, None for a page."""
        return self.headers.get("Location")

    @cached_property
    def soup(self) -> BeautifulSoup:
        """The page's HTML."""
        return BeautifulSoup(self.body, "html.parser")

    @property
    def text(self) -> str:
        """The words of the page in one line."""
        return " ".join(self.soup.get_text(" ").split())

    @property
    def title(self) -> str:
        """What the browser's tab says."""
        return self.soup.title.get_text() if self.soup.title else ""

    @property
    def errors(self) -> list[str]:
        """The items of "There is a problem"."""
        return [item.get_text().strip() for item in self.soup.select(".summary li")]

    def has(self, selector: str) -> bool:
        """Return whether anything in the page matches the CSS selector."""
        return self.soup.select_one(selector) is not None

    def follow(self) -> "Page":
        """Return the page that the redirect leads to."""
        assert self.location, f"{self.path} answered {self.status} and leads nowhere"
        return self.client.get(self.location)

    def click(self, words: str) -> "Page":
        """Return the page behind the first link that says `words`."""
        link = next((link for link in self.soup.select("a[href]") if words in link.get_text()), None)
        assert link is not None, f"No link says {words!r}: {self.text}"
        return self.client.get(link["href"])

    def submit(self, selector: str = "main form", *, follow: bool = True, htmx: bool = False, **fields: Any) -> "Page":
        """Fill in the form that `selector` finds, send it, and return the page that comes at last.

        Fields that are not named go as they stand in the page. A file is `(BytesIO(content), "name.png")`, a list
        ticks several boxes, None leaves a field out. A field or choice that the form does not offer fails the test.
        """
        form = self.soup.select_one(selector)
        assert form is not None and form.name == "form", f"No form at {selector!r}: {self.text}"
        offered = {field["name"] for field in form.select("[name]")}
        assert set(fields) <= offered, f"The form offers {sorted(offered)}, not {sorted(set(fields) - offered)}"
        data = {name: value for name, value in (_as_it_stands(form) | fields).items() if value is not None}
        method, action = form.get("method", "get").upper(), form.get("action") or self.path
        where = {"query_string": data} if method == "GET" else {"data": data}
        page = self.client.send(method, action, htmx=htmx, **where)
        return page.follow() if follow and page.location else page


def _as_it_stands(form: Tag) -> dict[str, Any]:
    """Return the values a browser would send if the person touched nothing; files are not among them."""
    values: dict[str, Any] = {}
    for field in form.select("input[name], select[name], textarea[name]"):
        name, kind = field["name"], field.get("type", "text")
        if field.name == "textarea":
            values[name] = field.get_text().removeprefix("\n")
        elif field.name == "select":
            chosen = field.select_one("option[selected]") or field.select_one("option")
            values[name] = chosen.get("value", chosen.get_text()) if chosen else None
        elif kind == "checkbox":
            ticked = values.get(name, [])
            values[name] = [*ticked, field.get("value", "on")] if field.has_attr("checked") else ticked
        elif kind == "radio":
            if field.has_attr("checked"):
                values[name] = field.get("value", "on")
        elif kind not in ("file", "submit", "button"):
            values[name] = field.get("value", "")
    return values
