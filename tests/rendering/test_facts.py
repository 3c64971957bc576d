"""Facts as designs see them."""

from datetime import date

from app.rendering import facts


def test_it_works(make_card, make_job):
    texts = facts.of_card(make_card(date_of_birth=date(1998, 2, 3)))
    assert texts["full_name"] == "Aïssatou Ñaŋ Ndiëp"
    assert texts["date_of_birth"] == "03/02/1998"
    assert texts["issued_on"] == "09/03/2026"
    assert texts["expires_on"] == ""
    assert facts.of_job(make_job())["campaign_name"] == "Vaccination Dakar"


def test_every_name_that_a_design_may_use_has_a_text_or_an_image(make_card, make_job):
    assert set(facts.of_card(make_card())) == facts.CARD_NAMES - facts.IMAGE_NAMES
    assert set(facts.of_job(make_job())) == facts.JOB_NAMES - facts.IMAGE_NAMES


def test_the_token_is_the_end_of_the_address(make_card):
    assert make_card(address="HTTPS://A.ORG/V/TOKEN").token == "TOKEN"


def test_a_sensitive_campaign_is_nameless(make_job):
    texts = facts.of_job(make_job(sensitive=True))
    assert (texts["campaign_name"], texts["programme"]) == ("", "")


def test_cards_for_tests_say_so(make_job):
    assert facts.of_job(make_job(test=True))["test"] == "TEST"
    assert facts.of_job(make_job())["test"] == ""


def test_what_a_spreadsheet_leaves_in_a_name_is_taken_out(make_card):
    texts = facts.of_card(make_card(last_name="\ufeff Se\u0308n \u200b\xa0 Fall\u200e\n"))
    assert texts["last_name"] == "Sën Fall"
