"""Steps of stories: what people, workers and time do, each so that it can be taken twice.

Whoever asks again gets the same answer. Each step finds what it needs in the database, because the process that takes
the next one may be another.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from flask import current_app
from sqlalchemy import func, select, update

from app import files, generate, tasks
from app.backup import making, restoring
from app.backup.sealing import Nothing
from app.database import db, settings, transaction, utc_now
from app.domain import backups, claims, drawing, duties, erasure, importing, imports, jobs, keeping, ordering, work
from app.domain.access import Actor
from app.domain.errors import Conflict
from app.domain.orders import StartOrder
from app.domain.repeats import Repeat
from app.intake import PersonRow
from app.models import (
    Artifact,
    Beneficiary,
    Campaign,
    Card,
    Chunk,
    ChunkState,
    Duty,
    ImportBatch,
    Job,
    Organisation,
    Tombstone,
    User,
)
from app.models.base import Leased
from tests.domain.lists import a_list, row

AWA = PersonRow("Awa", "Ndiaye", "P-1")


# Who and what there is.


def owner() -> Actor:
    user = db.session.scalars(select(User).where(User.email == "owner@example.org")).one()
    return Actor(user.organisation_id, user.role, user.id, user.email)


def campaign() -> Campaign:
    return db.session.scalars(select(Campaign)).one()


def job() -> Job:
    return db.session.scalars(select(Job).execution_options(populate_existing=True)).one()


def batch() -> ImportBatch:
    return db.session.scalars(select(ImportBatch).execution_options(populate_existing=True)).one()


def let_leases_expire() -> None:
    """Let every lease of every kind run out, as time would."""
    with transaction() as session:
        for table in Leased.__subclasses__():
            if hasattr(table, "__table__"):
                held = update(table).where(table.lease_fence.is_not(None))
                session.execute(held.values(lease_expires=0.0).execution_options(synchronize_session=False))


# What people do. A request that is repeated may hear that it was done already.


def once() -> Repeat:
    """Return what makes every request of a story the same one."""
    return Repeat.of("once", {})


def start() -> None:
    jobs.start(campaign(), StartOrder(), by=owner(), repeat=once())


def pause() -> None:
    with suppress(Conflict):
        jobs.pause(job(), by=owner())


def resume() -> None:
    with suppress(Conflict):
        jobs.resume(job(), by=owner())


def cancel() -> None:
    with suppress(Conflict):
        jobs.cancel(job(), by=owner())


def hand_in() -> None:
    path = Path(files.store().folder) / f".tmp-{uuid.uuid4().hex}"
    path.write_bytes(a_list(row(1)))
    imports.upload(campaign(), "liste.csv", path, by=owner())


def choose_columns() -> None:
    chosen = {int(index): field for index, field in batch().columns.items()}
    with suppress(Conflict):
        imports.choose_columns(batch(), chosen, by=owner())


def confirm() -> None:
    with suppress(Conflict):
        imports.confirm(batch(), people=1, by=owner())


def start_for_awa() -> None:
    ordering.start_for(campaign(), [AWA], StartOrder(), by=owner(), repeat=once())


# What workers do.


def do_all() -> None:
    """Work until there is nothing to do, with the ticks of a worker."""
    tasks.tick()
    while work.do_one("worker", stopping=lambda: False):
        pass


def draw_the_first_chunk() -> None:
    """Draw chunk 0 and no other, whoever else is at work."""
    while db.session.scalar(select(Chunk.state).where(Chunk.number == 0)) != ChunkState.settled and not job().finished:
        if (claim := claims.claim_chunk("worker")) is None:
            return
        if claim.number == 0:
            drawing.draw(claim, stopping=lambda: False)
        else:
            claims.hand_back(claim, counts=False)


def stop_in_the_middle() -> None:
    """Take up the next piece of work, and be asked to stop at its first checkpoint."""
    looks = iter([False])
    work.do_one("worker", stopping=lambda: next(looks, True))


def meet_a_full_disk() -> None:
    """Do the next piece of work while files cannot be opened for writing; the lease it rests for passes."""
    with _put_in_place(files.FolderStore, "put", _no_room), _put_in_place(importing, "open_table", _no_room):
        work.do_one("worker", stopping=lambda: False)
    let_leases_expire()


def work_slowly() -> None:
    """Work with so short a lease, and so slow checkpoints, that the lease has to be renewed on the way."""
    with _put_in_place(current_app.config, "FIELDCARD", replace(settings(), lease_seconds=0.9)):
        while work.do_one("worker", stopping=lambda: bool(time.sleep(0.2))):
            pass


def back_up() -> None:
    """Make a backup; one of which nobody was told is made again."""
    target = settings().home / "backup.tar"
    if backups.made_last() is None:
        target.unlink(missing_ok=True)
        making.make(target, Nothing())


def bring_back() -> None:
    """Restore the backup; when it is there already, or somebody else is at it, there is nothing to do."""
    with suppress(Conflict):
        restoring.restore(settings().home / "backup.tar", Nothing())


def generate_from_the_command_line() -> None:
    out = settings().home / "out"
    sheet = settings().home / "list.csv"
    sheet.write_bytes(a_list(row(1), row(2).replace("B-00002", "")))
    options = generate.CampaignOptions("Vaccination", "vaccination", "DKR-VAC", "fr", 300, None)
    with _put_in_place(generate, "create_app", lambda _: current_app._get_current_object()):
        assert generate.run(settings(), sheet, out, options) == 0


def check_generated() -> None:
    names = {path.name for path in (settings().home / "out").iterdir() if not path.name.startswith((".", "tmp"))}
    assert names == {*generate.FILES.values(), "problems.csv"}
    assert db.session.scalars(select(Card.state)).all() == ["valid"]


def do_what_is_due() -> None:
    duties.do_due("worker", stopping=lambda: False)


def begin_a_duty_and_stop() -> None:
    """Do what is due, and be asked to stop as soon as something is in hand."""
    held = select(Duty.name).where(Duty.lease_fence.is_not(None))
    duties.do_due("worker", stopping=lambda: db.session.scalar(held) is not None)


def remove_what_is_not_kept() -> None:
    keeping.remove_outdated(lambda: None)


def check_removed() -> None:
    assert db.session.scalars(select(Artifact.job_id).where(Artifact.removed_at.is_(None))).all() == []
    assert batch().file_key == ""  # of the list that was added only this record is left, of the other one nothing


def erase() -> None:
    erasure.erase(db.session.scalars(select(Beneficiary)).one(), "asked", by=owner())


def check_erased() -> None:
    card = db.session.scalars(select(Card)).one()
    assert (card.state, db.session.scalar(select(Beneficiary.last_name))) == ("revoked", "")
    assert db.session.scalar(select(Tombstone.person_id)) == card.person_id


def check_backup() -> None:
    assert (settings().home / "backup.tar").stat().st_size > 0
    assert backups.made_last() is not None


def check_renewed() -> None:
    """Every organisation has the quota of a month, once, and the next moments lie ahead."""
    for organisation in db.session.scalars(select(Organisation)):
        assert organisation.balance == organisation.monthly_quota
    assert db.session.scalar(select(func.min(Duty.next_due))) > utc_now()


def _no_room(*_: object, **_named: object) -> None:
    raise OSError(28, "No space left on device")


@contextmanager
def _put_in_place(owner: Any, name: str, other: Any) -> Iterator[None]:
    """Let `owner` have `other` under `name` for a while; `owner` is a module, a class or a dict."""
    get, put = (owner.__getitem__, owner.__setitem__) if isinstance(owner, dict) else (_get(owner), _set(owner))
    before = get(name)
    put(name, other)
    try:
        yield
    finally:
        put(name, before)


def _get(owner: Any) -> Callable[[str], Any]:
    return lambda name: getattr(owner, name)


def _set(owner: Any) -> Callable[[str, Any], None]:
    return lambda name, value: setattr(owner, name, value)
