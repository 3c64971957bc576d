"""Starting a campaign: names and prefixes that are hard to take."""

import pytest

from app.domain import campaigns
from tests.cast import make_campaign
from tests.web.test_campaigns import answer_first

FIRST_STEP = "main form"


def test_a_prefix_is_proposed_also_to_the_hundredth_campaign_of_a_name(cast, app):
    def proposed() -> str:
        return campaigns.suggest_prefix(cast.organisation.id, "Nutrition")

    seen = []
    for _ in range(102):
        seen.append(proposed())
        make_campaign(cast.owner, prefix=seen[-1])

    assert seen[:2] == ["NUTRIT", "NUTRIT01"] and seen[99:] == ["NUTRIT99", "NUTRI100", "NUTRI101"]


@pytest.mark.parametrize("strange", ["\u202e", "\u2066", "\x07", "\x85", "\t", "\u2028"])
def test_a_name_that_turns_the_writing_round_or_cannot_be_printed_is_refused(cast, client, strange):
    page = answer_first(client.sign_in(cast.editor), name=f"Measles{strange}2026")

    assert page.status == 422
    assert page.errors == ["The name contains a character that cannot be printed. Type it again."]
