"""`fieldcard bench doctor`: how long the doctor's quick check takes for many cards, invariant by invariant.

It makes an installation of its own, in a temporary folder or an empty database that is named, with one job and its
rows and files as workers leave them. The cards' pictures are a few bytes each and the PDF's pages are empty: reading
every byte again, which the doctor does besides, takes as long as the disk takes.
"""

import argparse
import hashlib
import io
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pikepdf
from sqlalchemy import bindparam, insert, select, update

from app import files
from app.database import db, new_id, transaction, utc_now
from app.domain import campaigns, designs, drawing, installation, invariants, jobs
from app.domain.access import Actor
from app.domain.campaigns import NewCampaign
from app.domain.demo import fictitious_people
from app.domain.orders import StartOrder
from app.factory import create_app
from app.models import (
    Artifact,
    Beneficiary,
    Campaign,
    Card,
    CardState,
    Chunk,
    ChunkState,
    Enrolment,
    Job,
    JobState,
    Organisation,
    Print,
    PrintState,
)
from app.rendering import archive, manifest
from app.rendering.archive import Run
from app.rendering.package import PackedCard, PackedChunk
from app.settings import Settings

ROWS_AT_ONCE = 5_000
PICTURE = b"a picture"
SIDES = ("front", "back")


def main(words: Sequence[str]) -> int:
    """Print how long each check took, and return 0 when the installation was found healthy."""
    options = _options(words)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            home=Path(folder), secret=b"a secret of thirty-two bytes and more", database_url=options.database
        )
        with create_app(settings).app_context():
            installation.migrate()
            _fill(options.cards)
            spent, found = _asked()
            db.session.remove()
            db.engine.dispose()
    _print(options.cards, "PostgreSQL" if options.database else "SQLite", spent)
    print(*found, sep="\n")
    return 1 if found else 0


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="fieldcard bench doctor", description=__doc__)
    parser.add_argument("--cards", type=int, default=100_000)
    parser.add_argument("--database", default="", help="Address of an EMPTY PostgreSQL database; SQLite when left out.")
    return parser.parse_args(words)


def _asked() -> tuple[dict[str, tuple[float, float]], list[invariants.Breach]]:
    """Return the seconds that each check took, on the clock and of this process's CPU, and what was found."""
    spent, found = {}, []
    for check in (*invariants.IN_THE_DATABASE, *invariants.AMONG_THE_FILES):
        began = time.perf_counter(), time.process_time()
        found += check()
        db.session.rollback()
        spent[check.__name__] = time.perf_counter() - began[0], time.process_time() - began[1]
    return spent, found


def _print(cards: int, engine: str, spent: dict[str, tuple[float, float]]) -> None:
    print(f"{cards} issued cards on {engine}\n")
    print(f"{'invariant':<30} {'seconds':>8} {'CPU here':>9} {'µs a card':>10}")
    whole = tuple(map(sum, zip(*spent.values(), strict=True)))
    for name, (seconds, cpu) in (spent | {"all": whole}).items():
        print(f"{name:<30} {seconds:>8.2f} {cpu:>9.2f} {seconds * 1e6 / cards:>10.2f}")


def _fill(cards: int) -> None:
    """Make one organisation, one campaign, and one completed job of so many cards, ordered as people order it."""
    with transaction() as session:
        organisation = Organisation(name="Bench", unlimited=True)
        session.add(organisation)
        session.flush()
        by = Actor.portal(organisation.id)
    wanted = NewCampaign(
        name="Bench", campaign_type="vaccination", prefix="BENCH", language="fr", template_id="vaccination"
    )
    campaign_id = campaigns.create(wanted, by=by).id
    _enrol(by.organisation_id, campaign_id, cards)
    job_id = jobs.start(db.session.get(Campaign, campaign_id), StartOrder(), by=by).id
    _complete(job_id, list(_packed(job_id)))


def _enrol(organisation_id: uuid.UUID, campaign_id: uuid.UUID, cards: int) -> None:
    people = [
        {
            "id": new_id(),
            "organisation_id": organisation_id,
            "beneficiary_id": f"B-{number:07d}",
            "first_name": person.first_name,
            "last_name": person.last_name,
            "custom_fields": {},
            "updated_at": utc_now(),
        }
        for number, person in zip(range(cards), cycle(fictitious_people(1_000)))
    ]
    _save(insert(Beneficiary), people)
    enrolled = {"organisation_id": organisation_id, "campaign_id": campaign_id}
    _save(insert(Enrolment), [enrolled | {"id": new_id(), "person_id": person["id"]} for person in people])


def _packed(job_id: uuid.UUID) -> Iterator[PackedChunk]:
    """Yield the job's chunks as if they were drawn, their pieces written but not synced to disk."""
    folder = files.store().folder  # type: ignore[attr-defined]
    (folder / f"parts/{job_id}").mkdir(parents=True)
    job = db.session.get(Job, job_id)
    codes = db.session.execute(
        select(Card.code, Card.issued_on)
        .join(Print, (Print.campaign_id == Card.campaign_id) & (Print.card_index == Card.card_index))
        .where(Print.job_id == job_id)
        .order_by(Print.ordinal)
    ).all()
    for chunk in db.session.scalars(select(Chunk).where(Chunk.job_id == job_id).order_by(Chunk.number)).all():
        stem = f"parts/{job_id}/{chunk.number}"
        with (folder / f"{stem}.zip").open("wb") as out:
            run = Run(out, job.created_at)
            cards = tuple(
                PackedCard(
                    code, code, "", "valid", "", day, tuple(run.add(f"{code}-{side}.png", PICTURE) for side in SIDES)
                )
                for code, day in codes[chunk.first_ordinal : chunk.first_ordinal + chunk.cards]
            )
            length = out.tell()
        (folder / f"{stem}.pages").write_bytes(PICTURE)
        yield PackedChunk(f"{stem}.zip", length, f"{stem}.pages", cards)


def _complete(job_id: uuid.UUID, chunks: Sequence[PackedChunk]) -> None:
    """Save what workers save: each card's files, the chunks' pieces, the four artifacts, and the job's end."""
    cards = [card for chunk in chunks for card in chunk.cards]
    job, prints = db.session.get(Job, job_id), Print.__table__
    artifacts = list(_artifacts(job, chunks, cards))
    drawn = update(prints).where(prints.c.job_id == job_id, prints.c.ordinal == bindparam("at"))
    drawn = drawn.values(state=PrintState.issued, files=bindparam("members"))
    members = ([member.to_json() for member in card.members] for card in cards)
    _save(drawn, [{"at": ordinal, "members": files} for ordinal, files in enumerate(members)])
    pieces = update(Chunk.__table__).where(Chunk.job_id == job_id, Chunk.number == bindparam("at"))
    pieces = pieces.values(state=ChunkState.settled, pieces=bindparam("stored"))
    stored = [{"zip_key": chunk.zip_key, "pages_key": chunk.pages_key} for chunk in chunks]
    _save(pieces, [{"at": number, "stored": each} for number, each in enumerate(stored)])
    _save(insert(Artifact), artifacts)
    with transaction() as session:
        ends = {"state": JobState.completed, "chunks_left": 0, "cards_drawn": len(cards), "cards_generated": len(cards)}
        session.execute(update(Job).where(Job.id == job_id).values(**ends))
        session.execute(update(Card).where(Card.job_id == job_id).values(state=CardState.valid, issued_at=utc_now()))
        session.execute(update(Campaign).values(total_cards=len(cards)))


def _artifacts(job: Job, chunks: Sequence[PackedChunk], cards: Sequence[PackedCard]) -> Iterator[dict[str, Any]]:
    start, members = 0, []
    for chunk in chunks:
        members += [(member, start) for card in chunk.cards for member in card.members]
        start += chunk.zip_length
    facts = drawing.job_facts(job, db.session.get(Campaign, job.campaign_id))
    listed = manifest.write(facts, designs.of_job(job.design_id), cards, {})
    ends = {"pdf": _pdf(2 * len(cards)), "portal": PICTURE, "manifest": listed}
    ends["zip"] = archive.directory(members, start, job.created_at)
    for kind, content in ends.items():
        key = f"jobs/{job.id}/{kind}"
        path = files.store().folder / key  # type: ignore[attr-defined]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        pieces = [{"key": chunk.zip_key, "length": chunk.zip_length} for chunk in chunks if kind == "zip"]
        pieces.append({"key": key, "length": len(content)})
        yield {
            "organisation_id": job.organisation_id,
            "job_id": job.id,
            "kind": kind,
            "pieces": pieces,
            "length": sum(piece["length"] for piece in pieces),
            "sha256": hashlib.sha256(content).hexdigest(),
            "created_at": utc_now(),
        }


def _pdf(pages: int) -> bytes:
    out = io.BytesIO()
    with pikepdf.new() as pdf:
        for _ in range(pages):
            pdf.add_blank_page()
        pdf.save(out)
    return out.getvalue()


def _save(statement: Any, rows: Sequence[dict[str, Any]]) -> None:
    for first in range(0, len(rows), ROWS_AT_ONCE):
        with transaction() as session:
            session.connection().execute(statement, rows[first : first + ROWS_AT_ONCE])
