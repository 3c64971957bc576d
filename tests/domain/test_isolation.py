"""Cards that kill or stop the process that draws them are found out and left out; other errors blame no card."""

import errno
import multiprocessing
import os
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain import isolation
from app.domain.leases import LeaseLost
from app.rendering import design
from app.rendering.chunk import DrawnCard, FailedCard
from app.rendering.facts import CardFacts, JobFacts
from app.settings import Settings

JOB = JobFacts(
    job_id="job_1",
    campaign_id="camp_1",
    campaign_name="Vaccination",
    campaign_type="vaccination",
    prefix="DKR-VAC",
    programme="District",
    language="fr",
    dpi=300,
    sheet=None,
    generated_at=datetime(2026, 11, 22, tzinfo=UTC),
    verify_address="https://cards.example.org/verify",
)
ADDRESS = "HTTPS://CARDS.EXAMPLE.ORG/V/" + "A" * 127


class OnlyInAChild(CardFacts):
    """A card that does something when its name is read, but only in a child."""

    def __getattribute__(self, name: str) -> Any:
        if name == "last_name" and multiprocessing.parent_process() is not None:
            type(self).act()
        return super().__getattribute__(name)


class DeadlyCard(OnlyInAChild):
    """A card that ends the process that reads it."""

    @staticmethod
    def act() -> None:
        os._exit(9)


class HangingCard(OnlyInAChild):
    """A card that is never done."""

    @staticmethod
    def act() -> None:
        while True:
            time.sleep(60)


@dataclass(frozen=True)
class FailingJob(JobFacts):
    """A job that fails where its pages are bound, after its last card, but only in a child."""

    fails_with: Exception | None = None

    def __getattribute__(self, name: str) -> Any:
        if name == "campaign_name" and multiprocessing.parent_process() is not None:
            raise self.fails_with
        return super().__getattribute__(name)


class Deaths(dict[int, int]):
    """How often each place was counted."""

    def count(self, place: int) -> int:
        self[place] = self.get(place, 0) + 1
        return self[place]


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(isolation, "settings", lambda: Settings(home=tmp_path, secret=b""))


@pytest.fixture
def deaths() -> Deaths:
    return Deaths()


def card(kind: type[CardFacts], code: str) -> CardFacts:
    return kind(code, "Aminata", "Diallo", "B-1", ADDRESS, date(2026, 11, 22))


def three_cards(middle: type[CardFacts]) -> list[CardFacts]:
    return [card(CardFacts, "VAC-1"), card(middle, "VAC-2"), card(CardFacts, "VAC-3")]


def draw(cards: list[CardFacts], folder: Path, deaths: Deaths, *, job: JobFacts = JOB, checkpoint=lambda: None):
    return isolation.draw_in_child(job, design.built_in("vaccination"), cards, folder, checkpoint, deaths.count)


def test_the_culprit_is_left_out_after_two_deaths_and_its_neighbours_are_drawn(tmp_path, deaths):
    results = draw(three_cards(DeadlyCard), tmp_path, deaths)

    assert deaths == {1: 2}
    assert [type(result) for result in results] == [DrawnCard, FailedCard, DrawnCard]
    assert [result.code for result in results] == ["VAC-1", "VAC-2", "VAC-3"]
    assert (tmp_path / "zip").stat().st_size > 0


def test_a_card_that_hangs_is_counted_like_one_that_kills_and_does_not_keep_the_lease(tmp_path, deaths, monkeypatch):
    monkeypatch.setattr(isolation, "LEAST_PATIENCE", 2.0)
    monkeypatch.setattr(isolation, "PATIENCE_OF_A_LEASE", 0.0)
    monkeypatch.setattr(isolation, "LOOK_AFTER_START", 1.0)  # not before the child has started
    deaths[1] = 1  # from an earlier attempt
    steps = []

    results = draw(three_cards(HangingCard), tmp_path, deaths, checkpoint=lambda: steps.append("step"))

    assert deaths == {1: 2}
    assert [type(result) for result in results] == [DrawnCard, FailedCard, DrawnCard]
    assert len(steps) == (1 + 2) + (1 + 2)  # a start and the cards begun, of each child


def test_a_child_whose_worker_lost_its_hold_is_ended(tmp_path, deaths):
    def lost() -> None:
        if multiprocessing.active_children():
            raise LeaseLost

    with pytest.raises(LeaseLost):
        draw(three_cards(HangingCard), tmp_path, deaths, checkpoint=lost)

    assert not multiprocessing.active_children()
    assert deaths == {}


def test_a_full_disk_blames_no_card(tmp_path, deaths):
    (tmp_path / "zip").symlink_to("/dev/full")

    with pytest.raises(OSError, match="No space left") as refused:
        draw(three_cards(CardFacts), tmp_path, deaths)

    assert refused.value.errno == errno.ENOSPC
    assert deaths == {}


def test_an_error_after_the_last_card_blames_no_card_and_is_named_without_its_text(tmp_path, deaths):
    job = FailingJob(**vars(JOB), fails_with=ValueError("Aminata Diallo"))

    with pytest.raises(RuntimeError, match="ValueError") as refused:
        draw(three_cards(CardFacts), tmp_path, deaths, job=job)

    assert "Diallo" not in str(refused.value)
    assert deaths == {}


def test_a_start_that_lasts_longer_than_a_lease_keeps_it(tmp_path, deaths, monkeypatch):
    monkeypatch.setattr(isolation, "settings", lambda: Settings(home=tmp_path, secret=b"", lease_seconds=0.3))
    steps = []

    draw(three_cards(CardFacts), tmp_path, deaths, checkpoint=lambda: steps.append("step"))

    assert len(steps) > (1 + 3) + 2 * 3  # a start, three cards, and several thirds of a lease before the first of them


def test_a_child_that_cannot_start_blames_no_card(tmp_path, deaths, monkeypatch):
    monkeypatch.setattr(isolation, "START_SECONDS", 0.0)

    with pytest.raises(OSError, match="could not start"):
        draw(three_cards(CardFacts), tmp_path, deaths)

    assert deaths == {}


class DeadlyJob(JobFacts):
    """A job that ends the process which it is handed over to."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)


def test_a_child_that_ends_before_its_first_card_is_an_attempt_and_no_lack_of_the_machine(tmp_path, deaths):
    with pytest.raises(RuntimeError, match="before its first card"):
        draw(three_cards(CardFacts), tmp_path, deaths, job=DeadlyJob(**vars(JOB)))

    assert deaths == {}
