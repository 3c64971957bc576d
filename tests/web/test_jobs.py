"""Pages of jobs: looking before cards are made, watching them, stopping them."""

import gzip

import pytest
from sqlalchemy import func, select, update

from app.database import db, transaction, utc_now
from app.domain import campaigns, claims, jobs, keeping, quotas, work, workers
from app.domain.orders import StartOrder
from app.models import Beneficiary, Card, Chunk, Job, JobState
from tests.cast import make_actor, make_campaign, make_organisation, work_to_the_end


def start(cast, people: int = 2) -> Job:
    """Return a job that waits for a worker."""
    return jobs.start(make_campaign(cast.owner, people=people), StartOrder(), by=cast.editor)


def work_a_little(app) -> None:
    """Draw one chunk, as a worker would."""
    db.session.rollback()
    with app.app_context():
        assert work.do_one("worker", stopping=lambda: False)


@pytest.mark.both
def test_it_works(client, cast):
    campaign = make_campaign(cast.owner, people=2)
    client.sign_in(cast.editor)

    check = client.get(f"/app/campaigns/{campaign.id}/generate")
    assert "Make 2 cards" in check.text
    assert "You can make 10,000 more cards this month; this needs 2." in check.text
    waiting = check.submit("form.stack")
    assert "Waiting for a worker since" in waiting.text

    work_to_the_end(cast.app)
    ready = client.get(waiting.path)
    assert "2 cards are ready" in ready.text
    assert len(ready.soup.select(".file")) == 4
    assert ready.title.startswith("Done – ")
    manifest = client.get(ready.soup.select(".file a")[-1]["href"])
    assert manifest.answer.json["job"]["cards_generated"] == 2


def test_a_double_click_makes_one_job(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    form = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    first = form.submit("form.stack", follow=False)
    second = form.submit("form.stack", follow=False)

    assert first.location == second.location
    assert db.session.scalar(select(func.count()).select_from(Job)) == 1


def test_the_form_of_one_campaign_never_answers_with_the_job_of_another(client, cast):
    first, other = make_campaign(cast.owner, people=1), make_campaign(cast.owner, people=1)
    ours, theirs = (f"/app/campaigns/{campaign.id}/generate" for campaign in (first, other))
    form = client.sign_in(cast.editor).get(ours).soup.select_one("form.stack")
    sent = {"dpi": "300", "sheet": "", "nonce": form.select_one("[name=nonce]")["value"]}
    assert client.post(ours, sent).location != client.post(theirs, sent).location
    assert set(db.session.scalars(select(Job.campaign_id))) == {first.id, other.id}


def test_with_htmx_the_form_leads_to_the_same_page(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    form = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    answer = form.submit("form.stack", htmx=True)
    assert answer.status == 204
    assert answer.headers["HX-Redirect"].startswith("/app/jobs/")


def test_the_bell_is_rung_when_a_job_is_ordered(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate").submit("form.stack")
    assert cast.app.extensions["fieldcard-queue"].pending_count() == 1


def test_the_bell_is_rung_when_the_job_is_there_and_not_before(client, cast, monkeypatch):
    """A worker that is faster than the commit would find nothing, and go back to sleep."""
    campaign = make_campaign(cast.owner, people=1)
    seen = []

    def look_from_elsewhere() -> None:
        with db.engine.connect() as connection:
            seen.append(connection.scalar(select(func.count()).select_from(Job)))

    monkeypatch.setattr("app.tasks.ring", look_from_elsewhere)
    client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate").submit("form.stack")
    assert seen == [1]


def test_a_quota_that_does_not_reach_is_said_before_and_refused_after(client, cast):
    poor = make_organisation("A small programme", quota=1)
    admin = make_actor(poor, "admin")
    campaign = make_campaign(admin, people=3)
    client.sign_in(admin)

    check = client.get(f"/app/campaigns/{campaign.id}/generate")
    assert "You can make 1 more cards this month; this needs 3." in check.text
    assert not check.has("form.stack button")

    refused = check.submit("form.stack", dpi="450", include_mpi_id=None)
    assert refused.status == 402
    assert refused.errors == ["You can make 1 more cards this month; this needs 3."]
    assert refused.title.startswith("Error:")
    assert refused.soup.select_one("input[name=dpi][checked]")["value"] == "450"
    assert not refused.has("input[name=include_mpi_id][checked]")
    assert db.session.scalar(select(Job)) is None


def test_an_archived_campaign_says_why_it_makes_no_cards(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    form = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    campaigns.archive(campaign, by=cast.owner)
    refused = form.submit("form.stack")
    assert refused.status == 409
    assert refused.errors == ["This campaign is archived. Restore it before you make cards."]


def test_when_everybody_has_a_card_there_is_nothing_to_send(client, cast):
    job = start(cast, people=1)
    page = client.sign_in(cast.editor).get(f"/app/campaigns/{job.campaign_id}/generate")
    assert "Nobody is waiting for a card" in page.text
    assert not page.has("form.stack")


def test_an_empty_campaign_asks_for_people_first(client, cast):
    campaign = make_campaign(cast.owner)
    page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    assert "First bring in people" in page.text


@pytest.mark.parametrize(("field", "value"), [("dpi", "72"), ("dpi", "²"), ("dpi", "9" * 40), ("sheet", "a3")])
def test_a_choice_that_does_not_exist_is_refused_at_its_field(client, cast, field, value):
    campaign = make_campaign(cast.owner, people=1)
    refused = (
        client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate").submit("form.stack", **{field: value})
    )
    assert refused.status == 422
    assert refused.has(f".summary a[href='#{field}']")
    assert db.session.scalar(select(Job)) is None


def test_three_cards_are_shown_beforehand_the_longest_name_among_them(client, cast):
    campaign = make_campaign(cast.owner, people=6)
    person = db.session.scalar(select(Beneficiary).order_by(Beneficiary.id.desc()).offset(2))
    with transaction():
        db.session.execute(
            update(Beneficiary).where(Beneficiary.id == person.id).values(first_name="Marie-Antoinette Aïssatou")
        )
    page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    names = [caption.get_text() for caption in page.soup.select("figcaption")]
    assert len(names) == 3
    assert names[0].startswith("Marie-Antoinette Aïssatou") and "longest" in names[0]

    picture = client.get(page.soup.select_one("figure img")["src"])
    assert (picture.status, picture.headers["Content-Type"]) == (200, "image/png")
    assert picture.headers["Cache-Control"] == "no-store"
    assert db.session.scalar(select(Card)) is None


def test_a_sample_that_cannot_be_drawn_says_why(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    with transaction():
        db.session.execute(update(Beneficiary).values(last_name="𓀀"))
    page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    answer = client.get(page.soup.select_one("figure img")["src"])
    assert answer.status == 422
    assert "𓀀" in answer.text


def test_the_address_in_the_qr_code_is_shown_with_a_warning_when_it_is_for_tests(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    page = client.sign_in(cast.editor).get(f"/app/campaigns/{campaign.id}/generate")
    assert "http://localhost:8000/V/…" in page.text
    assert "These will be test cards" in page.text


def test_pause_and_continue(client, cast):
    job = start(cast)
    page = client.sign_in(cast.editor).get(f"/app/jobs/{job.id}")
    paused = page.submit("form[action$=pause]")
    assert "0 of 2 cards, paused" in paused.text

    going_on = paused.submit("form[action$=resume]")
    assert "The cards go on being made." in going_on.text
    assert db.session.get(Job, job.id, populate_existing=True).state == JobState.generating


def test_what_came_too_late_is_said_kindly(client, cast):
    job = start(cast)
    page = client.sign_in(cast.editor).get(f"/app/jobs/{job.id}")
    jobs.cancel(job, by=cast.owner)
    late = page.submit("form[action$=pause]")
    assert late.status == 200
    assert "It is now: Cancelled." in late.text


def test_cancelling_says_first_what_it_would_do(client, cast):
    job = start(cast, people=7)
    work_a_little(cast.app)
    client.sign_in(cast.editor)

    ask = client.get(f"/app/jobs/{job.id}").click("Cancel")
    assert "5 cards made so far are kept" in ask.text
    assert "2 cards are not made, and your quota gets them back." in ask.text
    assert quotas.balance(cast.organisation.id) == 10_000 - 7

    putting_together = ask.submit("main form")
    assert "5 of 7 cards, putting the files together" in putting_together.text
    assert not putting_together.has("#actions form")
    work_to_the_end(cast.app)
    done = client.get(f"/app/jobs/{job.id}")
    assert "Cancelled: 5 cards were made and are valid" in done.text
    assert "5 cards of your quota" in done.text
    assert quotas.balance(cast.organisation.id) == 10_000 - 5
    assert client.get(f"/app/jobs/{job.id}/cancel").follow().status == 200


def test_cards_that_could_not_be_made_stand_there_with_their_reason(client, cast):
    campaign = make_campaign(cast.owner, people=2)
    person = db.session.scalar(select(Beneficiary.id))
    with transaction():
        db.session.execute(update(Beneficiary).where(Beneficiary.id == person).values(last_name="𓀀"))
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)

    page = client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}")
    assert "1 card was not made" in page.text
    (row,) = page.soup.select("tbody tr")
    assert row.th.get_text() == db.session.get(Beneficiary, person).beneficiary_id
    assert row.select_one(".code").get_text().startswith(campaign.prefix)
    assert "𓀀" in row.get_text()


def test_a_job_that_failed_cost_nothing(client, cast):
    campaign = make_campaign(cast.owner, people=1)
    with transaction():
        db.session.execute(update(Beneficiary).values(last_name="𓀀"))
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    page = client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}")
    assert "No cards could be made" in page.text
    assert "0 cards of your quota" in page.text
    assert page.title.startswith("Failed – ")


def test_a_viewer_watches_and_may_do_nothing(client, cast):
    job = start(cast)
    client.sign_in(cast.viewer)
    page = client.get(f"/app/jobs/{job.id}")
    assert page.status == 200
    assert not page.has("#actions form, #actions a")
    for act in ("pause", "resume", "cancel"):
        assert client.post(f"/app/jobs/{job.id}/{act}").status == 403
    assert client.get(f"/app/jobs/{job.id}/cancel").status == 403
    assert client.get(f"/app/campaigns/{job.campaign_id}/generate").status == 403
    assert client.post(f"/app/campaigns/{job.campaign_id}/generate").status == 403


def test_a_stranger_finds_nothing(client, cast):
    job = start(cast)
    person = db.session.scalar(select(Beneficiary.id))
    client.sign_in(cast.stranger)
    for rest in ("", "/progress", "/events", "/cancel", "/files/pdf"):
        assert client.get(f"/app/jobs/{job.id}{rest}", htmx=True).status == 404
    for act in ("pause", "resume", "cancel"):
        assert client.post(f"/app/jobs/{job.id}/{act}").status == 404
    assert client.get(f"/app/campaigns/{job.campaign_id}/sample/{person}/front.png").status == 404
    assert str(job.id) not in client.get("/app/jobs").body.decode()


def test_a_visitor_is_sent_to_sign_in(client, cast):
    job = start(cast)
    assert "/signin" in client.get(f"/app/jobs/{job.id}").location


def test_the_poll_gets_the_same_part_as_the_page_and_a_wish_to_come_again(client, cast):
    job = start(cast)
    client.sign_in(cast.viewer)
    part = client.get(f"/app/jobs/{job.id}/progress?state=waiting", htmx=True)
    whole = client.get(f"/app/jobs/{job.id}")
    assert part.soup.select_one("section.panel") == whole.soup.select_one("#progress section.panel")
    assert part.has("[hx-trigger='load delay:3s']")
    assert not part.has("#actions")
    assert client.get(f"/app/jobs/{job.id}/progress").location == f"/app/jobs/{job.id}"

    jobs.cancel(job, by=cast.owner)
    last = client.get(f"/app/jobs/{job.id}/progress?state=waiting", htmx=True)
    assert not last.has("[hx-trigger]")
    assert last.has("#actions[hx-swap-oob]")


def test_without_scripts_there_is_a_link_to_refresh(client, cast):
    job = start(cast)
    page = client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}")
    assert page.has(f"noscript a[href='/app/jobs/{job.id}']")


def test_the_list_shows_every_job_of_the_organisation(client, cast):
    job = start(cast)
    page = client.sign_in(cast.viewer).get("/app/jobs")
    assert page.has(f"a[href='/app/jobs/{job.id}']")
    assert "Waiting" in page.text


def test_the_list_begins_empty_and_friendly(client, cast):
    assert "No cards have been made yet" in client.sign_in(cast.viewer).get("/app/jobs").text


def test_the_page_speaks_the_language_of_its_reader(client, cast):
    job = start(cast)
    client.language = "fr"
    page = client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}")
    assert page.soup.html["lang"] == "fr"


def test_the_page_of_a_job_is_light_with_two_hundred_problems(client, cast):
    campaign = make_campaign(cast.owner, people=210)
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    with transaction():
        db.session.execute(update(Chunk).values(attempts=claims.MOST_ATTEMPTS))
    work_to_the_end(cast.app)

    page = client.sign_in(cast.viewer).get(f"/app/jobs/{job.id}")
    assert "210 cards were not made" in page.text
    assert "The first 200:" in page.text
    assert len(page.soup.select("tbody tr")) == 200
    assert len(gzip.compress(page.body)) < 30_000


def test_waiting_says_what_is_ahead_and_that_no_worker_runs(client, cast):
    start(cast, people=1)
    job = start(cast, people=1)
    page = client.sign_in(cast.editor).get(f"/app/jobs/{job.id}")
    assert "1 order is ahead. Orders take turns" in page.text
    assert "No worker is running" in page.text
    assert "Nothing is lost; ask whoever runs the server" in page.text

    workers.beat("one", utc_now())
    assert "No worker is running" not in client.get(page.path).text


def test_a_job_that_rests_says_so(client, cast):
    job = start(cast, people=1)
    workers.beat("one", utc_now())
    with cast.app.app_context():
        claims.let_rest(claims.claim_chunk("one"))
    page = client.sign_in(cast.editor).get(f"/app/jobs/{job.id}")
    assert "The files could not be written just now" in page.text


def test_a_card_that_failed_is_told_with_its_reason_and_tried_again(client, cast):
    campaign = make_campaign(cast.owner, people=2)
    person = db.session.scalar(select(Beneficiary.id))
    with transaction():
        db.session.execute(update(Beneficiary).where(Beneficiary.id == person).values(last_name="𓀀"))
    job = jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    page = client.sign_in(cast.editor).get(f"/app/jobs/{job.id}")
    assert "What could not be made cost nothing" in page.text
    table = client.get(f"/app/jobs/{job.id}/problems.csv")
    assert "𓀀" in table.text and len(table.body.splitlines()) == 2

    with transaction():
        db.session.execute(
            update(Beneficiary).where(Beneficiary.id == person).values(last_name="Sow", updated_at=utc_now())
        )
    retried = page.submit("#try-again")
    assert "These cards are tried again, in an order of their own." in retried.text
    work_to_the_end(cast.app)
    assert "1 card is ready" in client.get(retried.path).text
    assert not client.get(page.path).has("#try-again")


def test_a_viewer_orders_nothing_again(client, cast):
    job = start(cast, people=1)
    work_to_the_end(cast.app)
    keeping.remove_files(job.id)
    client.sign_in(cast.viewer)
    assert not client.get(f"/app/jobs/{job.id}").has("#files-again")
    assert client.post(f"/app/jobs/{job.id}/files-again").status == 403
