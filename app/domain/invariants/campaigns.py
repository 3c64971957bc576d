"""The campaigns' invariant: a campaign counts the cards that were issued in it."""

from sqlalchemy import func, select

from app.database import db, spell
from app.domain.invariants.breach import Breach, Breaches
from app.models import ISSUED, Campaign, Card
from app.sentences import say


def campaigns_count_their_cards() -> Breaches:
    """`total_cards` is how many cards of the campaign were issued, whatever became of them since."""
    issued = (
        select(Card.campaign_id, func.count().label("n"))
        .where(Card.state.in_(ISSUED))
        .group_by(Card.campaign_id)
        .subquery()
    )
    found = func.coalesce(issued.c.n, 0)
    rows = db.session.execute(
        select(Campaign.id, Campaign.organisation_id, Campaign.total_cards, found)
        .outerjoin(issued, issued.c.campaign_id == Campaign.id)
        .where(Campaign.total_cards != found)
    )
    for campaign_id, organisation_id, counted, there in rows:
        yield Breach(
            say(
                "Campaign %(campaign)s counts %(counted)s cards, but %(found)s were issued in it. Something else than "
                "Fieldcard has changed one of them: compare with a backup.",
                campaign=spell("camp", campaign_id),
                counted=counted,
                found=there,
            ),
            organisation_id,
        )
