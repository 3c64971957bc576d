"""Sweeping takes what belongs to nothing, and nothing else."""

import os
import time
from datetime import timedelta
from pathlib import Path

from app import files
from app.domain import invariants, jobs, sweeping
from app.domain.orders import StartOrder
from tests.cast import make_campaign, work_to_the_end

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

    sweeping.sweep(timedelta(days=1))
    assert not forgotten.exists() and not draft.exists()
    assert busy.exists()
