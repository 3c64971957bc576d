"""A job's life: asked for, paid for, made by workers, paused, cancelled, failed."""

import pytest
from sqlalchemy import func, select

from app.database import db
from app.domain import claims, jobs, packaging, quotas, work
from app.domain.errors import Conflict, NotAllowed, QuotaExceeded
from app.domain.orders import StartOrder
from app.domain.repeats import KeyReused, Repeat
from app.models import Card, CardState, Job, JobState, LedgerEntry, Print
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end

pytestmark = pytest.mark.both


def test_it_works(cast):
    campaign = make_campaign(cast.owner, people=6)

    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    assert (job.state, job.total_cards, job.quota_consumed) == (JobState.waiting, 6, 6)
    assert quotas.balance(cast.organisation.id) == 10_000 - 6

    work_to_the_end(cast.app)

    db.session.refresh(job)
    assert (job.state, job.cards_generated) == (JobState.completed, 6)
    assert {artifact.kind for artifact in packaging.artifacts_of(job.id)} == {"pdf", "zip", "portal", "manifest"}
    assert set(db.session.scalars(select(Card.state))) == {CardState.valid}
    assert jobs.progress(job).percent == 100
