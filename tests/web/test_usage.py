"""Usage: what is left, and the ledger that proves it."""

from app.database import db, transaction
from app.domain import jobs, quotas
from app.domain.access import Actor
from app.domain.orders import StartOrder
from app.models import AuditEntry, Organisation
from tests.cast import make_campaign


def test_it_works(cast, client):
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    page = client.sign_in(cast.viewer).get("/app/usage")

    assert [tile.get_text() for tile in page.soup.select(".tile b")] == ["10,000", "3", "9,997"]
    assert "the sum of all 2 movements is 9,997" in page.text


def test_a_movement_leads_to_the_job_that_caused_it(cast, client):
    job = jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    page = client.sign_in(cast.owner).get("/app/usage")

    assert page.has(f"table a[href='/app/jobs/{job.id}']")


def test_a_ledger_that_does_not_balance_is_said_so(cast, client):
    with transaction():
        db.session.get(Organisation, cast.owner.organisation_id).balance = 9_000

    page = client.sign_in(cast.owner).get("/app/usage")

    assert "The ledger does not balance" in page.text and "The ledger balances" not in page.text


def test_a_long_ledger_comes_in_pages_and_as_a_fragment(cast, client):
    portal = Actor.portal(cast.owner.organisation_id)
    for _ in range(50):
        quotas.grant(portal.organisation_id, 1, "One more", by=portal)
    client.sign_in(cast.owner)

    first, second = client.get("/app/usage"), client.get("/app/usage?page=2", htmx=True)

    assert len(first.soup.select("tbody tr")) == 50 and first.has("a[rel=next]")
    assert len(second.soup.select("tbody tr")) == 1 and not second.has("html")


def test_an_organisation_without_a_limit_is_told_so(cast, client):
    with transaction():
        db.session.get(Organisation, cast.owner.organisation_id).unlimited = True

    assert "as many cards as it likes" in client.sign_in(cast.owner).get("/app/usage").text


def test_the_ledger_can_be_taken_away_and_the_log_says_who_took_it(cast, client):
    answer = client.sign_in(cast.owner).get("/app/usage.csv")

    lines = answer.body.decode("utf-8-sig").splitlines()
    assert lines[0] == "When,What,Cards,Balance afterwards,Reason"
    assert lines[1].endswith("Cards granted,10000,10000,A good start")
    entry = db.session.query(AuditEntry).filter_by(action="ledger.exported").one()
    assert (entry.actor_id, entry.facts) == (cast.owner.user_id, {"rows": 1})


def test_a_stranger_sees_their_own_ledger(cast, client):
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    assert "the sum of all 1 movements is 10,000" in client.sign_in(cast.stranger).get("/app/usage").text
