"""Verification: what anybody may learn about a card, and what nobody may."""

from dataclasses import asdict, replace
from datetime import date, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import event, select, update

from app.database import db, transaction, utc_now
from app.domain import access, drawing, jobs, keys, tokens, verification
from app.domain.codes import new_codes
from app.domain.orders import StartOrder
from app.domain.verification import Answer, Outcome, check_code, check_token, token_in
from app.models import Beneficiary, Campaign, Card, CardState, KeyStatus, SigningKey
from tests.cast import make_campaign

TODAY = utc_now().date()
CANARIES = ("Zebulon", "Quagga", "BEN-CANARY-7", "+221771234567", "SN-DKR-26-CANARY00")


@pytest.fixture
def card(cast) -> Card:
    """A card in force, of a person whose every trait is a canary."""
    campaign = make_campaign(cast.owner, people=1, name="Polio in Pikine")
    person = db.session.scalar(select(Beneficiary))
    with transaction():
        person.first_name, person.last_name, person.beneficiary_id, person.phone_number, person.mpi_id = CANARIES
    jobs.start(campaign, StartOrder(), by=cast.editor)
    with transaction():
        db.session.execute(update(Card).values(state=CardState.valid))  # as if its files were made
    return db.session.scalar(select(Card))


def token_of(card: Card) -> str:
    return drawing.token_of(card, db.session.get(Campaign, card.campaign_id))


def signed(card: Card, **changes: object) -> str:
    """Return a token that the card's own key signed, with something else in it than the card has."""
    campaign = db.session.get(Campaign, card.campaign_id)
    token = tokens.Token(card.key_id, campaign.number, card.card_index, card.issued_on, card.expires_on)
    return tokens.sign(replace(token, **changes), *keys.signer(card.key_id))


def become(card: Card, **values: object) -> None:
    with transaction():
        db.session.execute(update(Card).where(Card.code == card.code).values(**values))


@pytest.mark.both
def test_it_works(card):
    answer = check_token(token_of(card))

    assert (answer.outcome, answer.signed, answer.code) == (Outcome.valid, True, card.code)
    assert (answer.campaign, answer.organisation) == ("Polio in Pikine", "District sanitaire")
    assert (answer.issued_on, answer.expires_on) == (card.issued_on, None)
    typed = check_code(card.code)
    assert typed == replace(answer, signed=False, checked_at=typed.checked_at)


@pytest.mark.parametrize("state", [CardState.suspended, CardState.revoked, CardState.replaced])
def test_a_card_that_was_stopped_is_said_to_be(card, state):
    become(card, state=state)
    assert check_token(token_of(card)).outcome == Outcome(state)
    assert check_code(card.code).outcome == Outcome(state)


@pytest.mark.parametrize("state", [CardState.pending, CardState.void])
def test_a_signed_card_that_was_never_handed_out_is_not_issued_and_its_code_is_no_code(card, state):
    become(card, state=state)
    assert check_token(token_of(card)).outcome == Outcome.not_issued
    assert check_code(card.code).outcome == Outcome.unknown


def test_a_signature_over_a_card_that_the_installation_has_not_got_is_not_issued(card):
    assert check_token(signed(card, index=card.card_index + 1)).outcome == Outcome.not_issued
    assert check_token(signed(card, campaign=4711)).outcome == Outcome.not_issued
    assert check_token(signed(card, issued_on=card.issued_on - timedelta(days=1))).outcome == Outcome.not_issued


def test_the_key_of_one_organisation_does_not_vouch_for_the_cards_of_another(cast, card):
    with transaction():
        abroad = keys.active_key(cast.abroad)
        key_id, issuer = abroad.key_id, abroad.issuer
    campaign = db.session.get(Campaign, card.campaign_id)
    token = tokens.Token(key_id, campaign.number, card.card_index, card.issued_on)
    assert keys.signer(key_id)[0] == issuer
    forged = tokens.sign(token, *keys.signer(key_id))
    assert check_token(forged).outcome == Outcome.not_issued


def test_days_before_the_first_and_after_the_last(card):
    become(card, expires_on=TODAY + timedelta(days=30))
    card = db.session.scalar(select(Card))
    for check, what in ((check_token, token_of(card)), (check_code, card.code)):
        assert check(what, TODAY + timedelta(days=30)).outcome == Outcome.valid
        assert check(what, TODAY + timedelta(days=31)).outcome == Outcome.expired
        assert check(what, TODAY - timedelta(days=3)).outcome == Outcome.not_yet_valid

    become(card, state=CardState.revoked)
    assert check_token(token_of(card), TODAY + timedelta(days=31)).outcome == Outcome.revoked


def test_a_card_of_another_issuer_is_told_from_a_forged_one(card):
    stranger = Ed25519PrivateKey.generate()
    elsewhere = tokens.Token(tokens.key_id_of(stranger.public_key().public_bytes_raw()), 1, 1, TODAY)
    assert check_token(tokens.sign(elsewhere, "org_elsewhere", stranger)).outcome == Outcome.other_issuer

    imitated = tokens.Token(card.key_id, 1, 1, TODAY)
    assert check_token(tokens.sign(imitated, "org_elsewhere", stranger)).outcome == Outcome.not_genuine


def test_the_key_decides_retired_verifies_and_compromised_does_not(card):
    token = token_of(card)
    for status, outcome in ((KeyStatus.retired, Outcome.valid), (KeyStatus.compromised, Outcome.compromised)):
        with transaction():
            db.session.execute(update(SigningKey).values(status=status))
        answer = check_token(token)
        assert answer.outcome == outcome
    assert (answer.code, answer.campaign) == ("", "")


@pytest.mark.parametrize("text", ["", "x", "A" * 127, "é" * 127, "\x00" * 127, "A" * 100_000, "\ud800"])
def test_what_is_no_token_is_malformed(cast, text):
    assert check_token(text).outcome == Outcome.malformed


def test_a_mistyped_code_is_told_from_an_unknown_one(card):
    wrong = card.code[:-1] + ("A" if card.code[-1] != "A" else "B")
    answer = check_code(wrong)
    assert answer.outcome == Outcome.typing_error and "typing error" in str(answer.hint)

    answer = check_code("hello?")
    assert answer.outcome == Outcome.malformed and answer.hint is not None

    [unknown] = new_codes(card.code[:-9], 1)
    assert check_code(unknown).outcome == Outcome.unknown


def test_a_code_may_be_typed_as_people_type(card):
    sloppy = f" {card.code.lower().replace('-', ' ')} "
    assert (check_code(sloppy).outcome, check_code(sloppy).code) == (Outcome.valid, card.code)


@pytest.mark.both
def test_every_well_formed_code_costs_the_same_question(card):
    asked: list[str] = []

    def count(_connection, _cursor, statement, *_rest) -> None:
        asked.append(statement)

    event.listen(db.engine, "before_cursor_execute", count)
    check_code(card.code)
    hit, asked[:] = list(asked), []
    check_code(new_codes(card.code[:-9], 1)[0])
    event.remove(db.engine, "before_cursor_execute", count)

    assert len(hit) == 1 and hit == asked
    assert "beneficiary" not in hit[0] and "person" not in hit[0]


def test_nothing_about_the_person_is_in_any_answer(card):
    token = token_of(card)
    for state in CardState:
        become(card, state=state)
        for answer in (check_token(token), check_code(card.code)):
            said = str(asdict(answer))
            assert not [canary for canary in CANARIES if canary in said]
            assert str(card.person_id) not in said
    assert not {name for name in Answer.__dataclass_fields__ if "person" in name or "name" in name}


def test_a_campaign_that_must_not_be_named_is_not(card):
    with transaction():
        db.session.execute(update(Campaign).values(sensitive=True))
    for answer in (check_token(token_of(card)), check_code(card.code)):
        assert (answer.outcome, answer.campaign, answer.organisation) == (Outcome.valid, "", "")


def test_whoever_is_confined_to_another_organisation_still_gets_the_answer(cast, card):
    token, code = token_of(card), card.code
    access.confine(cast.abroad.id)
    try:
        assert check_token(token).outcome == Outcome.valid
        assert check_code(code).outcome == Outcome.valid
    finally:
        db.session.info.pop("organisation_id")


def test_a_token_is_found_in_whatever_was_pasted(card):
    token = token_of(card)
    for pasted in (
        token,
        f"HTTPS://CARDS.EXAMPLE.ORG/V/{token}",
        f"https://cards.example.org/prefix/V/{token}?language=fr#x",
        f"  https://cards.example.org/V/{token[:60]}\n{token[60:]} ",
        f"https://cards.example.org/verify?p={token[:24]}&s={token[24:]}",
    ):
        assert token_in(pasted) == token
    assert token_in(card.code) is None
    assert token_in("http://[") is None
    assert token_in(f"https://cards.example.org/verify?p={token[:30]}&s={token[30:]}") == ""


def test_the_published_keys_are_public_halves_only(card):
    [published] = verification.published_keys()
    row = db.session.scalar(select(SigningKey))
    assert (published.key.key_id, published.key.public_key, published.status) == (row.key_id, row.public_key, "active")
    assert row.private_key not in asdict(published.key).values()
    assert isinstance(published.not_before.date(), date)
