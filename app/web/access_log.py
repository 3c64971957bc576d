"""The access log: one line a request, with the route and never the address.

Addresses hold invitations, card tokens and codes; the route `/invite/<token>` says all that an operator needs.
"""

import logging
import time

from flask import Flask, Response, g, request

log = logging.getLogger("fieldcard.access")
UNREMARKABLE = {"static", "web.healthz"}  # asked for all the time, and saying nothing about anybody


def init_app(app: Flask) -> None:
    """Log every answer of the app but the unremarkable ones."""
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()


def _end(answer: Response) -> Response:
    if request.endpoint not in UNREMARKABLE:
        route = request.url_rule.rule if request.url_rule else "(no such page)"
        spent = (time.perf_counter() - g.get("began", time.perf_counter())) * 1000
        log.info("%s %s %s %.0f ms", request.method, route, answer.status_code, spent)
    return answer
