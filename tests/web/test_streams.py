"""Streams: the first event at once, news as they come, one reader for all, and an end in good time."""

import contextvars
import re
import threading
import time

import pytest
from flask import Flask
from flask_babel import get_locale

from app.database import db
from app.domain import accounts, jobs, team, watching
from app.domain.orders import StartOrder
from app.models import Job, User
from app.web import job_words, streams
from app.web.streams import Event, Full, Pace, Streams
from tests.cast import make_actor, make_campaign, work_to_the_end
from tests.web.client import Client

FAST = Pace(tick=0.01, heartbeat=0.05, longest=30.0)
PATIENCE = 20.0  # seconds until a test gives up


@pytest.fixture
def desk(app: Flask) -> Streams:
    """The streams of this app, at a pace for tests."""
    app.extensions[streams.EXTENSION] = Streams(app, most=8, pace=FAST)
    return app.extensions[streams.EXTENSION]


@pytest.fixture
def job(cast) -> Job:
    """A job of three cards that waits for a worker."""
    return jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.editor)


class Watcher:
    """Somebody whose browser holds a stream open: it is read in a thread of its own, as by a server."""

    def __init__(self, client: Client, job: Job) -> None:
        self.events: list[tuple[str, str]] = []
        self.comments = 0
        self.ended = threading.Event()
        self.news = threading.Condition()
        self.leaving = threading.Event()
        self.path = f"/app/jobs/{job.id}/events"
        self.client = client
        context = contextvars.Context()  # one for all of it, as a request has on a server
        self.answer = context.run(self._open)
        if self.answer.status_code == 200:
            threading.Thread(target=context.run, args=(self._read,), daemon=True).start()

    def names(self) -> list[str]:
        """The names of the events so far, one after another."""
        return [name for name, _text in self.events]

    def wait_for(self, name: str, words: str = "") -> str:
        """Return the text of the first event of that name with these words in it."""
        with self.news:
            found = self.news.wait_for(lambda: self._found(name, words), PATIENCE)
        assert found is not None, f"No {name!r} with {words!r}; came: {self.names()}"
        return found

    def wait_for_the_end(self) -> None:
        assert self.ended.wait(PATIENCE), f"The stream did not end; came: {self.names()}"

    def leave(self) -> None:
        """Close the tab."""
        self.leaving.set()
        self.wait_for_the_end()

    def _open(self):
        headers = {"Accept-Language": self.client.language}
        return self.client.browser.open(self.path, headers=headers, buffered=False)

    def _read(self) -> None:
        for chunk in self.answer.response:
            for block in chunk.decode().strip().split("\n\n"):
                with self.news:
                    self.comments += block.startswith(":")
                    if name := re.search(r"^event: (.*)$", block, re.MULTILINE):
                        text = "\n".join(re.findall(r"^data: ?(.*)$", block, re.MULTILINE))
                        self.events.append((name[1], text))
                    self.news.notify_all()
            if self.leaving.is_set():
                break
        self.answer.close()
        self.ended.set()

    def _found(self, name: str, words: str) -> str | None:
        return next((text for event, text in self.events if event == name and words in text), None)


def test_it_works(client, cast, desk, job):
    watcher = Watcher(client.sign_in(cast.viewer), job)
    assert watcher.answer.mimetype == "text/event-stream"
    assert watcher.answer.headers["Cache-Control"] == "no-store"
    assert watcher.answer.headers["X-Accel-Buffering"] == "no"
    assert "Waiting for a worker" in watcher.wait_for("progress")

    work_to_the_end(cast.app)

    assert f"/app/jobs/{job.id}/files/pdf" in watcher.wait_for("progress", "3 cards are ready")
    watcher.wait_for_the_end()
    assert watcher.names()[-1] == "close"
    assert watcher.events[-2] == ("spoken", "3 cards are ready.")


def test_a_finished_job_says_so_and_closes_at_once(client, cast, desk, job):
    jobs.cancel(job, by=cast.editor)
    watcher = Watcher(client.sign_in(cast.viewer), job)
    watcher.wait_for_the_end()
    assert watcher.names() == ["progress", "actions", "spoken", "close"]
    assert desk.seated.total() == 0


def test_what_has_not_changed_is_not_sent_again(client, cast, desk, job):
    watcher = Watcher(client.sign_in(cast.editor), job)
    watcher.wait_for("actions", "pause")
    with watcher.news:
        assert watcher.news.wait_for(lambda: watcher.comments >= 2, PATIENCE)
    assert watcher.names() == ["progress", "actions", "spoken"]

    jobs.pause(job, by=cast.owner)
    watcher.wait_for("actions", "resume")
    assert watcher.names().count("actions") == 2
    watcher.leave()


def test_signing_out_ends_the_stream(client, cast, desk, job):
    client.sign_in(cast.viewer)
    watcher = Watcher(client, job)
    watcher.wait_for("progress")
    with client.browser.session_transaction() as session:
        accounts.sign_out(session["token"])
    watcher.wait_for_the_end()
    assert "close" not in watcher.names()
    assert client.get(watcher.path, htmx=True).status == 401


def test_removing_a_person_ends_their_streams_and_no_others(app, cast, desk, job):
    gone, stays = Client(app).sign_in(cast.viewer), Client(app).sign_in(cast.owner)
    first, second = Watcher(gone, job), Watcher(stays, job)
    first.wait_for("progress")
    second.wait_for("progress")
    team.remove(db.session.get(User, cast.viewer.user_id), by=cast.owner)
    first.wait_for_the_end()
    assert not second.ended.is_set()
    second.leave()


def test_one_reader_for_everybody(app, cast, desk, job, monkeypatch):
    readers = set()
    view = watching.view

    def counted(*ids):
        readers.add(threading.current_thread().name)
        return view(*ids)

    monkeypatch.setattr(watching, "view", counted)
    watchers = [Watcher(Client(app).sign_in(person), job) for person in (cast.viewer, cast.editor, cast.owner)]
    for watcher in watchers:
        watcher.wait_for("progress")
    assert len(desk.watches) == 1
    jobs.pause(job, by=cast.owner)
    for watcher in watchers:
        watcher.wait_for("progress", "paused")
        watcher.leave()
    assert len([name for name in readers if name.startswith("watch")]) == 1


def test_when_nobody_watches_nobody_reads(client, cast, desk, job):
    watcher = Watcher(client.sign_in(cast.viewer), job)
    watcher.wait_for("progress")
    watcher.leave()
    for thread in threading.enumerate():
        if thread.name.startswith("watch"):
            thread.join(PATIENCE)
    assert desk.watches == {}
    assert desk.seated == {}


def test_a_person_has_five_streams_and_the_sixth_page_polls(client, cast, desk, job):
    client.sign_in(cast.viewer)
    watchers = [Watcher(client, job) for _ in range(5)]
    sixth = client.get(watchers[0].path)
    assert (sixth.status, sixth.headers["Retry-After"]) == (503, "5")

    watchers[0].leave()
    seventh = Watcher(client, job)
    assert seventh.answer.status_code == 200
    for watcher in [*watchers[1:], seventh]:
        watcher.leave()


def test_there_are_never_more_streams_than_seats(app, cast, desk, job):
    desk.most = 2
    clients = [Client(app).sign_in(make_actor(cast.organisation, "viewer")) for _ in range(3)]
    watchers = [Watcher(client, job) for client in clients]
    assert [watcher.answer.status_code for watcher in watchers] == [200, 200, 503]
    for watcher in watchers[:2]:
        watcher.leave()


def test_fifty_six_threads_are_kept_for_pages(app):
    assert streams.streams().most == 256 - 56


def test_a_seat_given_back_twice_is_one_seat(app):
    desk = Streams(app, most=2)
    first, _second = desk.take_seat("owner"), desk.take_seat("colleague")
    with pytest.raises(Full):
        desk.take_seat("stranger")
    first()
    first()
    desk.take_seat("stranger")
    with pytest.raises(Full):
        desk.take_seat("owner")


def test_a_request_whose_stream_is_never_read_gives_its_seat_back(client, cast, desk, job):
    page = client.sign_in(cast.viewer).send("HEAD", f"/app/jobs/{job.id}/events")
    assert page.status == 200
    page.answer.close()
    assert desk.seated.total() == 0


def test_a_stream_keeps_no_connection_while_it_waits(client, cast, desk, job):
    watcher = Watcher(client.sign_in(cast.viewer), job)
    watcher.wait_for("progress")
    db.session.rollback()  # what the test itself has read with
    deadline = time.monotonic() + PATIENCE
    while db.engine.pool.checkedout() and time.monotonic() < deadline:
        time.sleep(0.05)  # the shared reader has one for a moment, each time it reads
    assert db.engine.pool.checkedout() == 0
    watcher.leave()


def test_after_its_time_the_stream_ends_and_the_browser_comes_back(client, cast, desk, job):
    desk.pace = Pace(tick=0.01, heartbeat=0.05, longest=0.1)
    watcher = Watcher(client.sign_in(cast.viewer), job)
    watcher.wait_for_the_end()
    assert "close" not in watcher.names()


def test_each_reader_is_told_in_their_own_language(app, cast, desk, job, monkeypatch):
    monkeypatch.setattr(job_words, "headline", lambda seen: f"{seen.state} in {get_locale()}")
    watchers = {code: Watcher(Client(app, code).sign_in(cast.editor), job) for code in ("en", "fr", "wo")}
    for code, watcher in watchers.items():
        watcher.wait_for("progress", f"waiting in {code}")
        assert f'action="/app/jobs/{job.id}/pause"' in watcher.wait_for("actions")
    jobs.pause(job, by=cast.owner)
    for code, watcher in watchers.items():
        watcher.wait_for("progress", f"paused in {code}")
        watcher.leave()


def test_a_database_that_is_away_for_a_moment_is_asked_again(client, cast, desk, job, monkeypatch):
    view, calls = watching.view, []

    def sometimes(*ids):
        calls.append(ids)
        if len(calls) in (2, 3):
            raise OSError("away")
        return view(*ids)

    monkeypatch.setattr(watching, "view", sometimes)
    watcher = Watcher(client.sign_in(cast.viewer), job)
    watcher.wait_for("progress")
    jobs.pause(job, by=cast.owner)
    watcher.wait_for("progress", "paused")
    watcher.leave()


def test_an_older_reading_never_follows_a_newer_one(app):
    """A slow reading that began before the page was drawn must not turn the bar back."""
    watch = streams.Watch(lambda: "thing")
    watch.newest = streams.Reading(began=1.0, thing="older", signed_out=frozenset())
    assert watch.after(began=2.0, patience=0) is None
    watch.newest = streams.Reading(began=3.0, thing="newer", signed_out=frozenset())
    assert watch.after(began=2.0, patience=0).thing == "newer"


def test_a_line_break_does_not_break_an_event():
    assert str(Event("progress", "one\n\ntwo")) == "event: progress\ndata: one\ndata: \ndata: two\n\n"


def test_what_is_spoken_comes_seldom_but_the_end_always():
    sent: dict[str, tuple[str, float]] = {}
    assert list(streams._news([Event("spoken", "1 of 9", every=10)], sent, over=False))
    assert not list(streams._news([Event("spoken", "2 of 9", every=10)], sent, over=False))
    assert list(streams._news([Event("spoken", "done", every=10)], sent, over=True))
