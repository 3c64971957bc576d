"""Sweeping takes what belongs to nothing, and nothing else."""

import os
import time
import uuid
from datetime import timedelta
from pathlib import Path

from app import files
from app.domain import invariants, jobs, sweeping
from app.domain.orders import StartOrder
from tests.cast import make_campaign, work_to_the_end
from tests.domain.lists import a_list, bring, row

DAY = 86_400


def put(key: str, home: Path, age: float) -> None:
    draft = home / "draft"
    draft.write_bytes(b"x")
    files.store().put(key, draft)
    grow_old(files.store().folder / key, age)


def grow_old(path: Path, age: float) -> None:
    os.utime(path, (time.time() - age, time.time() - age))


def test_it_works(cast, settings):
    job = jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
    work_to_the_end(cast.app)
    kept = set(files.store().keys())
    for key in kept:
        grow_old(files.store().folder / key, 3 * DAY)
    put(f"parts/{job.id}/0.lost.zip", settings.home, 2 * DAY)
    put(f"parts/{job.id}/0.young.zip", settings.home, 60)

    assert sweeping.sweep() == 1
    assert set(files.store().keys()) == kept | {f"parts/{job.id}/0.young.zip"}
    assert list(invariants.breaches()) == []


def test_the_workshop_of_a_killed_worker_and_its_drafts_go_too(app, settings):
    forgotten, busy = settings.home / "work" / "killed", settings.home / "work" / "busy"
    for folder in (forgotten, busy):
        folder.mkdir(parents=True)
        (folder / "zip").write_bytes(b"x")
    draft = files.store().folder / ".tmp-1"
    draft.write_bytes(b"x")
    grow_old(forgotten, 2 * DAY)
    grow_old(draft, 2 * DAY)

    sweeping.sweep(older_than=timedelta(days=1))
    assert not forgotten.exists() and not draft.exists()
    assert busy.exists()


def test_each_file_is_asked_about_among_its_like(cast, settings, monkeypatch):
    """Strays beside lists, a live job and one that has ended, more than are asked about at once."""
    monkeypatch.setattr(sweeping, "KEYS_AT_ONCE", 2)
    campaign = make_campaign(cast.owner, people=1)
    bring(campaign, a_list(row(1)), cast.owner)
    ended = jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(cast.app)
    live = jobs.start(make_campaign(cast.owner, prefix="DKR-TWO", people=1), StartOrder(), by=cast.owner)
    known = set(files.store().keys())
    strange = {f"imports/{number}.csv" for number in range(5)} | {
        f"jobs/{ended.id}/zip.lost.end",
        f"parts/{ended.id}/0.lost.zip",
        f"parts/{uuid.uuid4()}/0.lost.zip",
        "parts/nobody/0.lost.zip",
        "else",
    }
    for key in strange | {f"parts/{live.id}/0.lost.zip", f"tombstones/{uuid.uuid4()}"}:
        put(key, settings.home, 0)
    for key in list(files.store().keys()):
        grow_old(files.store().folder / key, 2 * DAY)

    assert any(key.startswith("imports/") for key in known)
    assert set(sweeping.strays()) == strange
