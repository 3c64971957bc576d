"""The entry point of every process: `app` for the web server, `huey` for the queue's consumers."""

from app.factory import create_app

app = create_app()
huey = app.extensions["fieldcard-queue"]
