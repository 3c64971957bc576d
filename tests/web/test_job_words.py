"""The words of a job: how far it is, how long it takes, and a bar that never goes back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.domain import jobs, watching
from app.domain.jobs import NEARLY, Progress
from app.domain.orders import StartOrder
from app.models import Job, JobState
from app.web import job_words
from tests.cast import make_campaign


def start(cast) -> Job:
    """A job of two cards that waits for a worker."""
    return jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner)


@given(some.lists(some.tuples(some.integers(0, 9), some.integers(0, 3)), max_size=30), some.booleans())
def test_progress_never_goes_back_and_is_never_complete_before_the_files(steps, packaged):
    """Whatever chunks settle in whatever mixture, the bar only grows, and 100 % comes with the files alone."""
    total = sum(drawn + failed for drawn, failed in steps) or 1
    job = Job(state=JobState.generating, ends_as="completed", total_cards=total, cards_generated=0)
    job.cards_drawn = job.cards_failed = 0
    seen = [jobs.progress(job).percent]
    for drawn, failed in steps:
        job.cards_drawn += drawn
        job.cards_failed += failed
        seen.append(jobs.progress(job).percent)
    job.state = JobState.packaging
    seen.append(jobs.progress(job).percent)
    assert seen[-1] <= NEARLY
    if packaged:
        job.state = JobState.completed
        seen.append(jobs.progress(job).percent)
        assert seen[-1] == 100
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    ("eta", "words"),
    [(None, "just begun"), (3, "a moment left"), (21, "about 20 seconds left"), (150, "about 2 minutes left")],
)
def test_how_long_it_takes_is_said_as_people_say_it(app, cast, eta, words):
    job = start(cast)
    seen = watching.view(job.id, job.organisation_id)
    progress = Progress("generating", "completed", 10_000, 6_512, 0, 0, 65, 174.0, eta)
    moved = replace(seen, progress=progress)
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert job_words.headline(moved) == f"6,512 of 10,000 cards, {words}"
        assert job_words.title(moved) == f"65 % – {seen.campaign_name}"


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (174.0, "65 %, 174 cards a second"),
        (6.51, "65 %, 6.5 cards a second"),
        (0.5, "65 %, 30 cards a minute"),
        (0.001, "65 %"),
    ],
)
def test_the_pace_is_said_in_numbers_one_can_imagine(app, cast, rate, words):
    job = start(cast)
    seen = watching.view(job.id, job.organisation_id)
    moved = replace(seen, progress=replace(seen.progress, state="generating", percent=65, rate=rate))
    with app.test_request_context(headers={"Accept-Language": "en"}):
        assert job_words.note(moved) == words
