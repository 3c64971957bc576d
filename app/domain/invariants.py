"""Invariants: what is true of every healthy installation, whatever was killed. Each breach is one sentence."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO

import pypdfium2
from sqlalchemy import func, select

from app.database import db, spell
from app.domain import keys, leases, packaging, sweeping, tokens
from app.domain.drawing import token_of
from app.domain.errors import Refusal
from app.models import (
    FINISHED,
    LIVE,
    Artifact,
    ArtifactKind,
    Campaign,
    Card,
    CardState,
    Chunk,
    ChunkState,
    Job,
    JobState,
    LedgerEntry,
    LedgerKind,
    Organisation,
    Print,
    PrintState,
    SigningKey,
)

Breaches = Iterator[str]
BATCH = 2_000
COUNTED_STATES = (PrintState.pending, PrintState.drawn, PrintState.issued)
WITH_FILES = (JobState.completed, JobState.cancelled)


def breaches() -> Breaches:
    """Yield a sentence for everything that should not be so; nothing when the installation is healthy."""
    for check in CHECKS:
        yield from check()
        db.session.rollback()


def ledgers_balance() -> Breaches:
    """An organisation's balance is the sum of its ledger and never below zero."""
    sums = select(LedgerEntry.organisation_id, func.sum(LedgerEntry.amount).label("total")).group_by(
        LedgerEntry.organisation_id
    )
    totals = {row.organisation_id: row.total for row in db.session.execute(sums)}
    for organisation in db.session.scalars(select(Organisation)):
        total = totals.get(organisation.id, 0)
        if organisation.balance != total or organisation.balance < 0:
            yield f"{organisation.name} has a balance of {organisation.balance}, but its ledger adds up to {total}."


def jobs_are_paid_for() -> Breaches:
    """What a job was debited and not refunded is what its charged cards come to."""
    paid = (
        select(LedgerEntry.job_id, (-func.sum(LedgerEntry.amount)).label("paid"))
        .where(LedgerEntry.kind.in_([LedgerKind.debit, LedgerKind.refund]), LedgerEntry.job_id.is_not(None))
        .group_by(LedgerEntry.job_id)
        .subquery()
    )
    owed = (
        select(Print.job_id, func.sum(Print.charged).label("owed"))
        .where(Print.state.in_(COUNTED_STATES))
        .group_by(Print.job_id)
        .subquery()
    )
    rows = db.session.execute(
        select(Job.id, func.coalesce(paid.c.paid, 0), func.coalesce(owed.c.owed, 0))
        .outerjoin(paid, paid.c.job_id == Job.id)
        .outerjoin(owed, owed.c.job_id == Job.id)
        .where(func.coalesce(paid.c.paid, 0) != func.coalesce(owed.c.owed, 0))
    )
    for job_id, has_paid, owes in rows:
        yield f"Job {spell('job', job_id)} has paid for {has_paid} cards, but {owes} of its cards are charged."


def cards_are_genuine() -> Breaches:
    """Every issued card's token verifies with the published key."""
    campaigns = {campaign.id: campaign for campaign in db.session.scalars(select(Campaign))}
    issued = select(Card).where(Card.state == CardState.valid).execution_options(yield_per=BATCH)
    for card in db.session.scalars(issued):
        try:
            verdict = tokens.verify(token_of(card, campaigns[card.campaign_id]), keys.public_key, card.issued_on)
        except Refusal as refusal:
            yield f"Card {card.code}: {refusal}"
            continue
        if verdict.outcome != tokens.Outcome.GENUINE:
            yield f"Card {card.code} does not verify: {verdict.outcome}."


def people_have_one_live_card() -> Breaches:
    """Nobody has two live cards in one campaign."""
    rows = db.session.execute(
        select(Card.campaign_id, Card.person_id, func.count().label("cards"))
        .where(Card.state.in_(LIVE))
        .group_by(Card.campaign_id, Card.person_id)
        .having(func.count() > 1)
    )
    for row in rows:
        yield f"Somebody has {row.cards} live cards in campaign {spell('camp', row.campaign_id)}."


def ended_jobs_are_settled() -> Breaches:
    """A job that ended has no card left pending or drawn, and issued exactly those it counts."""
    rows = db.session.execute(
        select(Job.id, func.count())
        .join(Print, Print.job_id == Job.id)
        .where(Job.state.in_(FINISHED), Print.state.in_([PrintState.pending, PrintState.drawn]))
        .group_by(Job.id)
    )
    for job_id, left in rows:
        yield f"Job {spell('job', job_id)} has ended, but {left} of its cards are neither issued nor void."
    issued = select(func.count()).where(Print.job_id == Job.id, Print.state == PrintState.issued).scalar_subquery()
    counts = select(Job.id, Job.cards_generated, issued).where(Job.state.in_(FINISHED), Job.cards_generated != issued)
    for job_id, counted, found in db.session.execute(counts):
        yield f"Job {spell('job', job_id)} counts {counted} cards, but {found} are issued."
    orphans = (Card.state == CardState.pending, Job.state.in_(FINISHED))
    for code in db.session.scalars(select(Card.code).join(Job, Job.id == Card.job_id).where(*orphans).limit(20)):
        yield f"Card {code} still waits for a job that has ended."


def nothing_is_stuck() -> Breaches:
    """Live jobs count their open chunks rightly, and nothing is held past its lease for another whole lease."""
    open_chunks = (
        select(func.count())
        .where(Chunk.job_id == Job.id, Chunk.state.in_([ChunkState.waiting, ChunkState.claimed]))
        .scalar_subquery()
    )
    for job_id, left, found in db.session.execute(
        select(Job.id, Job.chunks_left, open_chunks).where(Job.chunks_left != open_chunks)
    ):
        yield f"Job {spell('job', job_id)} counts {left} chunks to go, but {found} are open."
    waiting = (Job.state == JobState.generating, Job.chunks_left == 0)
    for job_id in db.session.scalars(select(Job.id).where(*waiting)):
        yield f"Job {spell('job', job_id)} has drawn all its chunks and was not sent on."
    for table, held in ((Chunk, Chunk.state == ChunkState.claimed), (Job, Job.lease_fence.is_not(None))):
        late = db.session.scalar(select(func.count()).select_from(table).where(held, leases.overdue(table)))
        if late:
            yield f"{late} pieces of work are held by a worker that has not been heard of for two leases."


def files_are_whole() -> Breaches:
    """Every job with files has all four, as long and with the SHA-256 recorded, and as many cards as it counts."""
    for job in db.session.scalars(select(Job).where(Job.state.in_(WITH_FILES), Job.cards_generated > 0)):
        artifacts = {artifact.kind: artifact for artifact in packaging.artifacts_of(job.id)}
        for kind in ArtifactKind:
            if kind not in artifacts:
                yield f"Job {spell('job', job.id)} has no {kind} file."
        damaged = [kind for kind, artifact in artifacts.items() if not _is_whole(artifact)]
        for kind in damaged:
            yield f"The {kind} file of job {spell('job', job.id)} is missing or not what was recorded."
        if len(artifacts) == len(ArtifactKind) and not damaged:
            yield from _counts_agree(job, artifacts)


def files_have_rows() -> Breaches:
    """Nothing lies in the file store that no row knows, but for pieces younger than a day."""
    for key in sweeping.strays():
        yield f"The stored file {key} belongs to nothing."


def secret_opens_keys() -> Breaches:
    """The installation's secret opens every signing key."""
    for key in db.session.scalars(select(SigningKey)):
        try:
            keys.signer(key.key_id)
        except Refusal as refusal:
            yield str(refusal)


CHECKS: tuple[Callable[[], Breaches], ...] = (
    ledgers_balance,
    jobs_are_paid_for,
    people_have_one_live_card,
    ended_jobs_are_settled,
    nothing_is_stuck,
    secret_opens_keys,
    cards_are_genuine,
    files_are_whole,
    files_have_rows,
)


def _is_whole(artifact: Artifact) -> bool:
    try:
        with packaging.open_artifact(artifact) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == artifact.sha256
    except FileNotFoundError:
        return False


def _counts_agree(job: Job, artifacts: dict[str, Artifact]) -> Breaches:
    """Compare the manifest, the ZIP's members and the PDF's pages with the cards that the job counts."""
    name = spell("job", job.id)
    manifest = json.loads(packaging.open_artifact(artifacts["manifest"]).read())
    members = [file for card in manifest["cards"] for file in card["files"]]
    valid = sum(card["state"] == "valid" for card in manifest["cards"])
    if valid != job.cards_generated:
        yield f"The manifest of job {name} names {valid} cards, the job counts {job.cards_generated}."
    with packaging.open_artifact(artifacts["zip"]) as stream, zipfile.ZipFile(stream) as archive:
        if sorted(archive.namelist()) != sorted(member["name"] for member in members):
            yield f"The ZIP of job {name} does not hold the files that its manifest names."
    if job.sheet is None:
        pdf = pypdfium2.PdfDocument(BytesIO(packaging.open_artifact(artifacts["pdf"]).read()))
        if len(pdf) != len(members):
            yield f"The PDF of job {name} has {len(pdf)} pages for {len(members)} card sides."
        pdf.close()
