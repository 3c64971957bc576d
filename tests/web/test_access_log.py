"""The access log names routes, never addresses: those hold invitations, tokens and codes."""

import logging


def test_it_works(app, caplog):
    with caplog.at_level(logging.INFO, logger="fieldcard.access"):
        app.test_client().get("/invite/a-secret-link?next=a-secret-query")
        app.test_client().get("/V/A-SECRET-TOKEN")
        app.test_client().get("/a-page-that-is-not-there")
    lines = caplog.text
    assert "GET /invite/<token> 404" in lines
    assert "GET /V/<token>" in lines
    assert "GET (no such page) 404" in lines
    assert "secret" not in lines.lower()


def test_static_files_are_not_logged(app, caplog):
    with caplog.at_level(logging.INFO, logger="fieldcard.access"):
        app.test_client().get("/static/css/base.css")
    assert caplog.text == ""
