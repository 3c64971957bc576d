"""How gunicorn serves the portal: the configuration that `gunicorn -c python:app.webserver` reads."""

import logging
from importlib import import_module
from threading import Thread

from gunicorn.arbiter import Arbiter
from gunicorn.workers.base import Worker

from app.children import die_with_parent
from app.settings import from_environment

settings = from_environment()

bind = f"[{settings.bind}]:{settings.port}" if ":" in settings.bind else f"{settings.bind}:{settings.port}"
worker_class = "gthread"
workers = 1  # streams are admitted per process: one process knows them all
threads = settings.web_threads  # a stream holds its thread; what is left must be enough for the pages
graceful_timeout = 5  # seconds; an open stream would otherwise hold up the end
control_socket_disable = True  # its default place is shared by every gunicorn of the same person

# Who speaks for the client is decided in one place, by FIELDCARD_PROXIES; gunicorn itself believes no header.
forwarded_allow_ips = ""

accesslog = None  # the app writes its own (app/web/access_log.py), which names routes and never addresses
loglevel = "warning"


def post_worker_init(_worker: Worker) -> None:
    """Say where the log goes, and load what draws previews while nobody waits for it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s web %(message)s")
    Thread(target=import_module, args=("app.rendering.side",), daemon=True).start()


def post_fork(server: Arbiter, worker: Worker) -> None:
    """Tie the serving process to gunicorn's own parent process, as that one is tied to the supervisor."""
    die_with_parent(worker.ppid)
