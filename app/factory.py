"""create_app(): the one place where the parts are joined."""

from typing import Any

from flask import Flask, request
from flask_babel import Babel
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_wtf import CSRFProtect
from htmx_flask import Htmx
from werkzeug.middleware.proxy_fix import ProxyFix

from app import files, models, queue
from app.database import db, patience_with
from app.keyring import derived
from app.settings import ROOT, Settings, from_environment

UPLOAD_BYTES = 32 << 20
FORM_BYTES = 1 << 20
FORM_PARTS = 2_000
REDIS_SECONDS = 2  # to answer, after which its absence is worked around
LANGUAGES = {"fr": "Français", "en": "English", "wo": "Wolof"}

csrf = CSRFProtect()
login = LoginManager()
babel = Babel()
limiter = Limiter(get_remote_address, headers_enabled=True, strategy="fixed-window")


class Portal(Flask):
    """Flask, but its log names the route where something failed: an address may hold an invitation or a code."""

    def log_exception(self, exc_info: Any) -> None:
        """Log the exception of this request with its route."""
        self.logger.error("%s %s failed.", request.method, request.url_rule, exc_info=exc_info)


def create_app(settings: Settings | None = None) -> Flask:
    """Return the portal, ready to serve, with its queue and its file store connected."""
    settings = settings or from_environment()
    app = Portal("app", template_folder=str(ROOT / "templates"), static_folder=str(ROOT / "static"))
    app.config.from_mapping(_configuration(settings))
    app.json.sort_keys = False
    db.init_app(app)
    csrf.init_app(app)
    login.init_app(app)
    limiter.init_app(app)
    files.connect(app, settings.files)

    from app import api, tasks, web

    queue.connect(app, settings.queue)
    web.init_app(app, babel, login)
    api.init_app(app, csrf)
    tasks.init_app(app)
    if settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.proxies, x_proto=settings.proxies)  # type: ignore
    Htmx(app)  # last: it replaces the request class
    return app


def _configuration(settings: Settings) -> dict[str, object]:
    redis = settings.queue if settings.queue.startswith("redis") else ""
    return {
        "FIELDCARD": settings,
        "SECRET_KEY": derived(settings.secret, "session").hex(),
        "WTF_CSRF_SECRET_KEY": derived(settings.secret, "csrf").hex(),
        "WTF_CSRF_TIME_LIMIT": None,  # the token lives as long as the session; a form left open overnight still works
        "WTF_CSRF_SSL_STRICT": False,  # asks for a Referer, and our own pages tell browsers to send none
        "SQLALCHEMY_DATABASE_URI": settings.database,
        "SQLALCHEMY_ENGINE_OPTIONS": {
            "connect_args": patience_with(settings.database),
            "pool_size": 20,
            "max_overflow": 40,
            "pool_pre_ping": True,
            "hide_parameters": True,  # they are people's names and numbers, and exceptions end up in the log
        },
        "MAX_CONTENT_LENGTH": UPLOAD_BYTES,
        "MAX_FORM_MEMORY_SIZE": FORM_BYTES,
        "MAX_FORM_PARTS": FORM_PARTS,
        "SESSION_COOKIE_NAME": "__Host-fieldcard" if settings.cookies_need_tls else "fieldcard",
        "SESSION_COOKIE_SECURE": settings.cookies_need_tls,
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "RATELIMIT_STORAGE_URI": redis or "memory://",
        "RATELIMIT_STORAGE_OPTIONS": _patience() if redis else {},
        "RATELIMIT_IN_MEMORY_FALLBACK_ENABLED": True,  # people sign in also while Redis is away
        "BABEL_TRANSLATION_DIRECTORIES": str(ROOT / "app" / "translations"),
        "BABEL_DEFAULT_LOCALE": "en",
        "LANGUAGES": LANGUAGES,
    }


def _patience() -> dict[str, object]:
    """Return how long Redis is waited for; whatever goes wrong with it is a StorageError of limits."""
    return {"socket_connect_timeout": REDIS_SECONDS, "socket_timeout": REDIS_SECONDS, "wrap_exceptions": True}


__all__ = ["create_app", "models"]
