"""Cards that kill the process that draws them: found out, left out after two deaths, their neighbours drawn."""

import multiprocessing
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from app.domain import isolation
from app.rendering import design
from app.rendering.chunk import DrawnCard, FailedCard
from app.rendering.facts import CardFacts, JobFacts

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


@dataclass(frozen=True)
class DeadlyCard(CardFacts):
    """A card whose name ends the process that reads it, but only in a child."""

    def __getattribute__(self, name: str) -> Any:
        if name == "last_name" and multiprocessing.parent_process() is not None:
            os._exit(9)
        return super().__getattribute__(name)


def card(kind: type[CardFacts], code: str) -> CardFacts:
    return kind(code, "Aminata", "Diallo", "B-1", ADDRESS, date(2026, 11, 22))


def test_the_culprit_is_left_out_after_two_deaths_and_its_neighbours_are_drawn(tmp_path):
    cards = [card(CardFacts, "VAC-1"), card(DeadlyCard, "VAC-2"), card(CardFacts, "VAC-3")]
    deaths: dict[int, int] = {}

    def count(place: int) -> int:
        deaths[place] = deaths.get(place, 0) + 1
        return deaths[place]

    results = isolation.draw_in_child(JOB, design.built_in("vaccination"), cards, tmp_path, lambda: None, count)

    assert deaths == {1: 2}
    assert [type(result) for result in results] == [DrawnCard, FailedCard, DrawnCard]
    assert [result.code for result in results] == ["VAC-1", "VAC-2", "VAC-3"]
    assert (tmp_path / "zip").stat().st_size > 0
