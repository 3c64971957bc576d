"""Usage: what is left, and the ledger that proves it."""

from app.database import db, spell, transaction
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

    assert len(first.soup.select("#ledger tbody tr")) == 50 and first.has("a[rel=next]")
    assert len(second.soup.select("#ledger tbody tr")) == 1 and not second.has("html")


def test_an_organisation_without_a_limit_is_told_so(cast, client):
    with transaction():
        db.session.get(Organisation, cast.owner.organisation_id).unlimited = True

    assert "as many cards as it likes" in client.sign_in(cast.owner).get("/app/usage").text


def test_the_ledger_can_be_taken_away_and_the_log_says_who_took_it(cast, client):
    job = jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    answer = client.sign_in(cast.owner).get("/app/usage.csv")

    lines = answer.body.decode("utf-8-sig").splitlines()
    assert lines[0] == "When,What,Cards,Balance afterwards,Reason,Job,Made by,Key"
    assert ",Cards granted,10000,10000,A good start,,Fieldcard,grant:" in lines[1]
    assert lines[2].endswith(
        f",Cards ordered,-3,9997,Cards ordered,{spell('job', job.id)},owner@example.org,debit:{job.id}"
    )
    entry = db.session.query(AuditEntry).filter_by(action="ledger.exported").one()
    assert (entry.actor_id, entry.facts) == (cast.owner.user_id, {"rows": 2})


def test_a_stranger_sees_their_own_ledger(cast, client):
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    assert "the sum of all 1 movements is 10,000" in client.sign_in(cast.stranger).get("/app/usage").text


def test_the_little_sum_adds_up_to_what_is_left(cast, client):
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)
    quotas.correct(cast.owner.organisation_id, -7, "Counted twice", by=cast.owner)

    page = client.sign_in(cast.viewer).get("/app/usage")

    assert [line.get_text() for line in page.soup.select(".sum dd")] == [
        "+10,000", "−3", "0", "0", "−7", "9,990", "9,990",
    ]  # fmt: skip


def test_movements_of_one_kind_can_be_looked_at_alone(cast, client):
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)
    client.sign_in(cast.viewer)

    page = client.get("/app/usage?kind=debit")
    assert [cell.get_text() for cell in page.soup.select("#ledger td.end")] == ["−3", "9,997"]
    assert page.soup.select_one(".tabs [aria-current]").get_text() == "Cards ordered"
    assert "There is no such movement yet" in client.get("/app/usage?kind=expiry").text
    assert len(client.get("/app/usage?kind=nonsense").soup.select("#ledger tbody tr")) == 2


def test_the_plot_has_a_bar_a_day_and_its_numbers_in_a_table(cast, client):
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    page = client.sign_in(cast.viewer).get("/app/usage")

    assert len(page.soup.select(".plot rect")) == 1, "the first movement was today"
    assert page.soup.select_one(".plot text").get_text() == "9,997 today"
    assert [cell.get_text() for cell in page.soup.select(".plot td")] == ["3", "+10,000", "9,997"]
    assert "At this month’s pace your cards last until 1 " in page.soup.select_one(".plot h2").get_text()


def test_who_uses_up_the_month_is_told_when_it_begins_anew(cast, client):
    quotas.correct(cast.owner.organisation_id, -9_997, "A small programme", by=cast.owner)
    jobs.start(make_campaign(cast.owner, people=3), StartOrder(), by=cast.owner)

    notice = client.sign_in(cast.viewer).get("/app/usage").soup.select_one(".notice-bad").get_text()

    assert "This month’s cards are used up" in notice and "10,000 new cards come on 1 " in notice
