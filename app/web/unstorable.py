"""Refusing the character NUL, once for all pages: nobody types it, and PostgreSQL can neither keep nor compare it."""

from collections.abc import Iterator

from flask import Flask, abort, request

from app.domain.errors import NotFound
from app.web.errors import is_api_path

NUL = "\0"
# It reads its form itself, under a limit of its own, and takes nothing from it but a photo.
READS_ITS_OWN_FORM = "web.verify_photo"


def init_app(app: Flask) -> None:
    """Look through every request before a page does; the contents of files are left alone."""
    app.before_request(_refuse_nul)


def _refuse_nul() -> None:
    """Raise NotFound for an address with a NUL in it, and what answers 400 for a value; APIs check their own values."""
    if NUL in request.path:
        raise NotFound()
    if not is_api_path(request.path) and any(NUL in text for text in _texts()):
        abort(400)


def _texts() -> Iterator[str]:
    """Return the names and values of the query and of the form."""
    sources = [request.args] if request.endpoint == READS_ITS_OWN_FORM else [request.args, request.form]
    for source in sources:
        for name, value in source.items(multi=True):
            yield from (name, value)
