"""The processes behind `fieldcard generate`: they may have children, are replaced when they die, and never spin."""

import errno
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from app import generate
from app.domain import claims, drawing
from app.settings import Settings

OPTIONS = generate.CampaignOptions("Vaccination Dakar", "vaccination", "DKR-VAC", "fr", 300, None)


@pytest.fixture
def make(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make one card on this test's installation, with one process; return the exit code."""
    listed = tmp_path / "list.csv"
    listed.write_text("First name,Last name,ID\nAminata,Diallo,B-1\n")
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    yield lambda: generate.run(settings, listed, tmp_path / "out", OPTIONS)
    assert not multiprocessing.active_children()


def test_a_chunk_may_be_drawn_in_a_child_of_its_own(make, monkeypatch, tmp_path):
    monkeypatch.setattr(drawing, "CHILD_FROM_ATTEMPT", 1)

    assert make() == 0
    assert (tmp_path / "out" / "cards.pdf").exists()


def test_a_process_that_dies_is_replaced(make, monkeypatch, tmp_path):
    claim = claims.claim_chunk

    def die_once(*who, **which):
        try:
            (tmp_path / "died").touch(exist_ok=False)
        except FileExistsError:
            return claim(*who, **which)
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(claims, "claim_chunk", die_once)

    assert make() == 0
    assert (tmp_path / "died").exists()


def test_processes_that_die_every_time_are_not_replaced_for_ever(make, monkeypatch, tmp_path, capsys):
    def die(*_, **__):
        with (tmp_path / "deaths").open("a") as deaths:
            deaths.write("x")
        os._exit(1)

    monkeypatch.setattr(claims, "claim_chunk", die)
    monkeypatch.setattr(generate, "LOOK_SECONDS", 0.01)

    assert make() == 1
    assert "Drawing stopped before the end" in capsys.readouterr().err
    assert len((tmp_path / "deaths").read_text()) == 1 + generate.MOST_REPLACED


def test_a_full_disk_is_said_and_not_tried_without_a_pause(make, monkeypatch, tmp_path, capsys):
    def no_room(*_):
        with (tmp_path / "tries").open("a") as tries:
            tries.write("x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(drawing, "_store", no_room)
    monkeypatch.setattr(generate, "STUCK_SECONDS", 3.0)
    monkeypatch.setattr(generate, "LITTLE_ROOM", 1 << 60)

    assert make() == 1
    assert "The disk is full: " in capsys.readouterr().err
    assert (tmp_path / "tries").read_text() == "x"


def test_a_process_that_does_not_end_when_asked_is_killed(make, monkeypatch, tmp_path, capsys):
    def hang(*_, **__):
        (tmp_path / "hangs").touch()
        while True:
            signal.pause()

    def stop_when_it_hangs(*_):
        while not (tmp_path / "hangs").exists():
            time.sleep(0.01)
        raise generate.Stopped("Enough.")

    monkeypatch.setattr(drawing, "draw", hang)
    monkeypatch.setattr(generate, "STOP_SECONDS", 0.5)
    monkeypatch.setattr(generate, "_watch", stop_when_it_hangs)

    assert make() == 1
    assert capsys.readouterr().err == "Enough.\n"


def test_a_process_that_is_asked_to_stop_hands_back_what_it_holds(make, monkeypatch, tmp_path):
    draw = drawing.draw

    def draw_when_asked(claim, *, stopping):
        (tmp_path / "holds").touch()
        while not stopping():
            time.sleep(0.01)
        assert not draw(claim, stopping=stopping)

    def stop_once_it_holds(*_):
        while not (tmp_path / "holds").exists():
            time.sleep(0.01)
        raise generate.Stopped("Enough.")

    with monkeypatch.context() as first:
        first.setattr(drawing, "draw", draw_when_asked)
        first.setattr(generate, "_watch", stop_once_it_holds)
        assert make() == 1
    monkeypatch.setattr(drawing, "MOST_ATTEMPTS", 1)  # it was no attempt

    assert make() == 0
