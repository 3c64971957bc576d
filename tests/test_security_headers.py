"""Every answer carries the security headers, whatever became of the request, and no page says more than they allow.

What a template may hold is in test_looks.py, who may open what in test_matrix.py.
"""

import re
from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.routing import Rule

from app.settings import ROOT
from tests.cast import Cast
from tests.web.client import Client

TEMPLATES = ROOT / "templates"
PAGES = [path for path in sorted(TEMPLATES.rglob("*.html")) if "cards" not in path.relative_to(TEMPLATES).parts[:1]]
CARRIED = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# Everything that a page could load is forbidden but for what is named, and that is our own.
DEMANDED = {
    "default-src": {"'none'"},
    "script-src": {"'self'"},
    "style-src": {"'self'"},
    "connect-src": {"'self'"},
    "form-action": {"'self'"},
    "base-uri": {"'none'"},
    "frame-ancestors": {"'none'"},
}
# Kept by browsers and by nobody in between, or meant for everybody; none of them holds a person.
MAY_BE_KEPT = {"static", "web.design_preview", "web.public_keys"}
INLINE = {
    "a style of its own": r"<[^>]*\sstyle\s*=",
    "a block of styles": r"<style\b",
    "a script of its own": r"<script(?![^>]*\ssrc=)",
    "a handler": r"<[^>]*\son[a-z]+\s*=",
    "a handler of htmx": r"hx-on\b|hx-vals\s*=\s*[\"']js:",
    "an address that runs": r"javascript:",
    "a frame": r"<(?:i?frame|object|embed|base)\b",
}


def directives(policy: str) -> dict[str, set[str]]:
    """Return the content security policy as directive -> sources."""
    return {name: set(sources) for name, *sources in (part.split() for part in policy.split(";") if part.strip())}


def addresses(app: Flask) -> Iterator[tuple[Rule, str, str]]:
    """Yield (rule, method, address) of every route, its variables filled with what does not exist."""
    for rule in app.url_map.iter_rules():
        address = re.sub(r"<any\((\w+)[^>]*>", r"\1", rule.rule)
        address = re.sub(r"<[^>]+>", "nothing", address)
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield rule, method, address


def missing(answer, keepable: bool) -> list[str]:
    """Return what an answer lacks."""
    policy = directives(answer.headers.get("Content-Security-Policy", ""))
    lacks = [name for name, sources in DEMANDED.items() if policy.get(name) != sources]
    lacks += [name for name, value in CARRIED.items() if answer.headers.get(name) != value]
    if not keepable and "no-store" not in answer.headers.get("Cache-Control", ""):
        lacks.append("Cache-Control: no-store")
    return lacks


@pytest.fixture
def portal(app: Flask) -> Flask:
    """The portal as it answers in earnest: an error becomes a page."""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    return app


def test_it_works(portal: Flask) -> None:
    assert missing(Client(portal).get("/signin").answer, keepable=False) == []


@pytest.mark.parametrize("who", ["visitor", "owner"])
def test_every_route_answers_with_them(portal: Flask, cast: Cast, who: str) -> None:
    problems = []
    for rule, method, address in addresses(portal):
        client = Client(portal).sign_in(cast.owner) if who == "owner" else Client(portal)
        data = {"csrf_token": client.csrf_token()} if method != "GET" else None
        answer = client.send(method, address, data=data, buffered=True).answer
        if lacks := missing(answer, keepable=rule.endpoint in MAY_BE_KEPT):
            problems.append(f"{method} {rule.rule} ({answer.status_code}) lacks {lacks}")

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/no/such/page", 404),
        ("GET", "/app/no-such-page", 404),
        ("GET", "/campaigns/no/such/address", 404),
        ("DELETE", "/verify", 405),
        ("POST", "/app/team/invite", 400),  # without a token against forged requests
        ("GET", "/static/no-such-file.js", 404),
        ("GET", "/static/../pyproject.toml", 404),
    ],
)
def test_a_refusal_carries_them(portal: Flask, method: str, address: str, status: int) -> None:
    answer = Client(portal).send(method, address).answer

    assert answer.status_code == status
    assert missing(answer, keepable="static" in address) == []


@pytest.mark.parametrize("address", ["/help", "/billing/balance"])
def test_an_error_carries_them_and_tells_nothing(portal: Flask, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def breaks(**_values: object) -> None:
        raise ZeroDivisionError("a secret of the machine")

    endpoint = portal.url_map.bind("localhost").match(address)[0]
    monkeypatch.setitem(portal.view_functions, endpoint, breaks)

    answer = Client(portal).get(address).answer

    assert answer.status_code == 500
    assert missing(answer, keepable=False) == []
    assert b"secret of the machine" not in answer.data and b"Traceback" not in answer.data


def test_a_page_says_that_it_depends_on_who_asks_and_how(portal: Flask, cast: Cast) -> None:
    page = Client(portal).sign_in(cast.owner).get("/app/")

    assert {"Cookie", "HX-Request"} <= {word.strip() for word in page.headers["Vary"].split(",")}


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(portal: Flask) -> None:
    cookie = Client(portal).get("/signin").headers["Set-Cookie"]

    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie


def test_no_answer_tells_what_serves_it(portal: Flask) -> None:
    assert "X-Powered-By" not in Client(portal).get("/verify").headers


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TEMPLATES)))
def test_a_template_has_nothing_that_the_policy_forbids(page) -> None:
    markup = re.sub(r"\{#.*?#\}", "", page.read_text("utf-8"), flags=re.DOTALL)

    assert [what for what, pattern in INLINE.items() if re.search(pattern, markup)] == []


@pytest.mark.parametrize("script", sorted((ROOT / "static" / "js").glob("*.js")), ids=lambda path: path.name)
def test_a_script_makes_no_code_out_of_text(script) -> None:
    """`eval` and the like would need a weaker policy; innerHTML would let a text become markup."""
    words = script.read_text("utf-8")

    assert not re.search(
        r"\beval\(|new Function\(|\.innerHTML\b|\.outerHTML\b|document\.write|insertAdjacentHTML", words
    )
