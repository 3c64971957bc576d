"""Drafts: the answers of somebody who is still describing a campaign, step by step; nobody else sees them."""

import uuid
from typing import Any

from app.database import db, one_transaction
from app.domain import access, repeats
from app.domain.access import Actor, require
from app.models import CampaignDraft


@one_transaction
def keep(
    draft_id: uuid.UUID | None, answers: dict[str, Any], *, by: Actor, repeat: repeats.Repeat | None = None
) -> uuid.UUID:
    """Keep the answers given so far and return the draft's id; only the person who answers can see them.

    The same `repeat` again returns the draft that it began, as long as that one is there.
    """
    require(by, "edit campaigns")
    begun = repeats.answered(repeat, "draft", by=by)
    if begun and db.session.get(CampaignDraft, begun):
        return begun
    draft = find(draft_id, by=by) if draft_id else None
    if draft is None:
        draft = CampaignDraft(organisation_id=by.organisation_id, user_id=by.user_id)
        db.session.add(draft)
    draft.answers = (draft.answers or {}) | answers
    db.session.flush()
    repeats.remember(repeat, "draft", draft.id, by=by)
    return draft.id


def find(draft_id: uuid.UUID, *, by: Actor) -> CampaignDraft | None:
    """Return the person's own draft, None when there is none."""
    draft = access.find(CampaignDraft, by, draft_id, to="edit campaigns")
    return draft if draft.user_id == by.user_id else None


@one_transaction
def drop(draft_id: uuid.UUID, *, by: Actor) -> None:
    """Forget the answers, because the campaign exists now or nobody wants it."""
    if draft := find(draft_id, by=by):
        db.session.delete(draft)
