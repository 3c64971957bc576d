"""The invariants: a healthy installation has no breach, and each thing that is broken is told in one sentence.

One world for each engine serves all: what breaks the database is never committed, and files are put back.
"""

import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import LargeBinary, Uuid, bindparam, select, text

from app import files
from app.database import db, new_id, spell
from app.domain import invariants, jobs, tombstones
from app.domain.orders import StartOrder
from app.factory import create_app
from app.models import Artifact, Beneficiary, Card, Job
from app.settings import Settings
from tests.cast import Cast, enrol, make_campaign, work_to_the_end
from tests.conftest import ENGINES, SECRET, _empty

NAMELESS = "first_name = '', last_name = '', search_text = '', date_of_birth = NULL, mpi_id = NULL"
BLANK = f"beneficiary_id = 'erased-1', {NAMELESS}"


@dataclass
class World:
    """A job that is done, one that waits, and somebody who has no card yet."""

    app: Flask
    ids: dict[str, uuid.UUID]
    names: dict[str, str]

    def break_it(self, *statements: str) -> None:
        """Change rows behind the portal's back, inside the open transaction; {…} stand for names."""
        for statement in statements:
            sql = statement.format(main=self._schema, **self.names)
            typed = [bindparam(name, value, Uuid) for name, value in self.ids.items() if f":{name}" in sql]
            typed += [bindparam("bytes", b"x" * 60, LargeBinary)] if ":bytes" in sql else []
            db.session.execute(text(sql).bindparams(*typed))

    @property
    def _schema(self) -> str:
        return "public" if db.engine.dialect.name == "postgresql" else "main"


@pytest.fixture(scope="module", params=ENGINES)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Make the world once for each engine."""
    home, url = tmp_path_factory.mktemp("world"), ""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), home / "fieldcard.db")
    else:
        _empty(url := request.getfixturevalue("migrated_postgresql"))
    app = create_app(Settings(home=home, secret=SECRET, database_url=url))
    with app.app_context():
        yield _made(app)
        db.session.remove()
        db.engine.dispose()


@pytest.fixture(autouse=True)
def undone(world: World) -> Iterator[None]:
    """Leave the database as it was."""
    db.session.rollback()
    yield
    db.session.rollback()


def _made(app: Flask) -> World:
    cast = Cast(app)
    campaign = make_campaign(cast.owner, people=2)
    done = jobs.start(campaign, StartOrder(), by=cast.owner).id
    work_to_the_end(app)
    waits = jobs.start(make_campaign(cast.owner, people=2), StartOrder(), by=cast.owner).id
    (waiting_for,) = enrol(campaign, 1)
    cards = list(db.session.scalars(select(Card).where(Card.job_id == done).order_by(Card.card_index)))
    ids = {
        "organisation": cast.organisation.id,
        "campaign": campaign.id,
        "done": done,
        "waits": waits,
        "person": cards[0].person_id,
        "other": cards[1].person_id,
        "nobody": waiting_for,
        "fence": new_id(),
    }
    names = {
        "organisation_name": spell("org", cast.organisation.id),
        "campaign_name": spell("camp", campaign.id),
        "done_name": spell("job", done),
        "waits_name": spell("job", waits),
        "code": cards[0].code,
        "other_code": cards[1].code,
        "wrong_code": cards[0].code[:-1] + ("2" if cards[0].code[-1] != "2" else "3"),
        "key": str(cards[0].key_id),
        "person_name": str(cards[0].person_id),
        "nobody_name": str(waiting_for),
    }
    assert db.session.get(Job, done).state == "completed"
    return World(app, ids, names)


# Temporary tables stand before the real ones of the same name: there are no constraints and no triggers in the way.
ASIDE = "CREATE TEMPORARY TABLE {table} AS SELECT * FROM {{main}}.{table}"
ASIDE_CARD, ASIDE_LEDGER = ASIDE.format(table="card"), ASIDE.format(table="ledger_entry")
HELD = "lease_owner = 'gone:1', lease_fence = :fence, lease_boot = 'another boot', lease_expires = 0"

BROKEN = {
    "a balance that is not the ledger's": (
        [
            "UPDATE organisation SET balance = balance + 5 WHERE id = :organisation",
            ASIDE_LEDGER,
            "UPDATE ledger_entry SET balance_after = balance_after + 5, amount = amount + 5 WHERE kind = 'grant'",
            "UPDATE ledger_entry SET balance_after = balance_after + 5 WHERE kind <> 'grant'",
            "UPDATE organisation SET balance = balance + 5 WHERE id <> :organisation",
            "UPDATE organisation SET balance = balance - 1 WHERE id = :organisation",
        ],
        [
            "Organisation {organisation_name} has a balance of 10000, but its ledger adds up to 10001. Something",
            "The ledger of organisation {organisation_name} does not run on at a balance of 10000: an entry is",
        ],
    ),
    "an entry of the ledger that was changed": (
        [
            ASIDE_LEDGER,
            "UPDATE ledger_entry SET balance_after = 9 WHERE organisation_id = :organisation AND kind = 'grant'",
        ],
        ["The ledger of organisation {organisation_name} does not run on at a balance of -9991: an entry is missing"],
    ),
    "a job that has not paid for its cards": (
        ["UPDATE print SET charged = 0 WHERE job_id = :done AND ordinal = 0"],
        ["Job {done_name} has paid for 2 cards, but 1 of its cards are charged."],
    ),
    "a print that was left behind": (
        ["UPDATE print SET state = 'drawn' WHERE job_id = :done AND ordinal = 0"],
        [
            "Job {done_name} has ended, but 1 of its cards are neither issued nor void.",
            "Job {done_name} counts 2 cards, but 1 are issued.",
        ],
    ),
    "a job that counts wrongly": (
        ["UPDATE job SET cards_generated = 3 WHERE id = :done"],
        ["Job {done_name} counts 3 cards, but 2 are issued."],
    ),
    "a card that was left behind": (
        [
            "UPDATE card SET state = 'pending' WHERE code = '{code}'",
            "UPDATE campaign SET total_cards = 1 WHERE id = :campaign",
        ],
        ["Card {code} waits for a job that has ended."],
    ),
    "a campaign that counts wrongly": (
        ["UPDATE campaign SET total_cards = 7 WHERE id = :campaign"],
        ["Campaign {campaign_name} counts 7 cards, but 2 were issued in it."],
    ),
    "a job that has lost count of its parts": (
        ["UPDATE job SET chunks_left = chunks_left + 1 WHERE id = :waits"],
        ["Job {waits_name} counts 2 parts to do, but 1 are open."],
    ),
    "a job that was not sent on": (
        [
            "UPDATE job SET state = 'generating', chunks_left = 0 WHERE id = :waits",
            "UPDATE chunk SET state = 'settled' WHERE job_id = :waits",
        ],
        ["Job {waits_name} is drawn and was not sent on. Run: fieldcard doctor --reap"],
    ),
    "a part whose holder is gone": (
        [f"UPDATE chunk SET state = 'claimed', {HELD} WHERE job_id = :waits"],
        ["Parts of job {waits_name} are held by a worker that has not been heard of for two leases: 1. Run"],
    ),
    "a part without a holder": (
        ["UPDATE chunk SET state = 'claimed' WHERE job_id = :waits"],
        ["Parts of job {waits_name} are held by a worker that has not been heard of for two leases: 1. Run"],
    ),
    "a packaging whose holder is gone": (
        [f"UPDATE job SET {HELD} WHERE id = :waits"],
        ["The files of job {waits_name} are held by a worker that has not been heard of for two leases."],
    ),
    "a code that two cards have": (
        [ASIDE_CARD, "UPDATE card SET code = '{code}' WHERE code = '{other_code}'"],
        ["2 cards have the code {code}. Revoke all but one"],
    ),
    "somebody with two live cards": (
        [ASIDE_CARD, "UPDATE card SET person_id = :person WHERE person_id = :other"],
        ["Person {person_name} has 2 live cards in campaign {campaign_name}. Revoke all but one."],
    ),
    "a code with a wrong check": (
        ["UPDATE card SET code = '{wrong_code}' WHERE code = '{code}'"],
        ["Card {wrong_code} has a code that its campaign cannot have."],
    ),
    "a code of another campaign": (
        ["UPDATE campaign SET prefix = 'ELSE' WHERE id = :campaign"],
        [
            "Card {code} has a code that its campaign cannot have.",
            "Card {other_code} has a code that its campaign cannot have.",
        ],
    ),
    "a day that fits into no token": (
        ["UPDATE card SET issued_on = '2019-12-31' WHERE code = '{code}'"],
        ["Card {code} has numbers or days that fit into no token."],
    ),
    "a card of nobody's key": (
        [ASIDE_CARD, "UPDATE card SET key_id = key_id + 1 WHERE code = '{code}'"],
        ["Card {code} is signed with a key of nobody or of others."],
    ),
    "a key that is not published any more": (
        ["UPDATE signing_key SET status = 'compromised'"],
        ["2 valid cards are signed with key {key}, which is not published any more. Replace them."],
    ),
    "a published key that is another": (
        ["UPDATE signing_key SET issuer = 'org_of_others'"],
        ["Card {code} does not verify with its key.", "Card {other_code} does not verify with its key."],
    ),
    "a key that the secret does not open": (
        ["UPDATE signing_key SET private_key = :bytes"],
        ["The secret of this installation does not open signing key {key}. Restore the secret."],
    ),
    "an erased person with a name": (
        ["UPDATE beneficiary SET erased_at = '2026-11-01 00:00:00' WHERE id = :nobody"],
        ["Person {nobody_name} was erased, but is still described. Erase the person again."],
    ),
    "an erased person on a print": (
        [
            f"UPDATE beneficiary SET {BLANK}, erased_at = '2100-01-01 00:00:00' WHERE id = :person",
            "UPDATE artifact SET removed_at = '2026-11-01 00:00:00'",
        ],
        ["Person {person_name} was erased, but still stands in what was printed on a card."],
    ),
    "an erased person in a file": (
        [
            f"UPDATE beneficiary SET {BLANK}, erased_at = '2100-01-01 00:00:00' WHERE id = :person",
            """UPDATE print SET facts = '{{"first_name": "", "date_of_birth": null}}'""",
        ],
        ["The files of job {done_name} hold a person who was erased since."],
    ),
    "somebody who was erased and is back": (
        [
            "INSERT INTO tombstone (person_id, organisation_id, erased_at) "
            "VALUES (:nobody, :organisation, '2026-11-01 00:00:00')"
        ],
        ["Person {nobody_name} was erased and is back. Erase the person again."],
    ),
}


def test_it_works(world):
    assert list(invariants.breaches()) == []


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_told_in_a_sentence(world, what):
    statements, expected = BROKEN[what]
    world.break_it(*statements)

    told = [str(breach) for check in invariants.IN_THE_DATABASE for breach in check()]

    assert len(told) == len(expected), told
    for sentence, beginning in zip(told, expected, strict=True):
        assert sentence.startswith(beginning.format(**world.names))


def test_every_breach_knows_whose_affair_it_is_and_survives_being_kept(world):
    world.break_it("UPDATE campaign SET total_cards = 7 WHERE id = :campaign")

    (breach,) = (breach for check in invariants.IN_THE_DATABASE for breach in check())

    assert breach.organisation_id == world.ids["organisation"]
    assert invariants.Breach.from_json(breach.to_json()) == breach


def test_no_sentence_names_a_person(world):
    names = {name for row in db.session.execute(select(Beneficiary.first_name, Beneficiary.last_name)) for name in row}
    for statements, _expected in BROKEN.values():
        world.break_it(*statements)
        told = " ".join(str(breach) for check in invariants.IN_THE_DATABASE for breach in check())
        assert told and not any(re.search(rf"\b{name}\b", told) for name in names)
        db.session.rollback()


def test_many_breaches_of_a_kind_are_counted(world, monkeypatch):
    monkeypatch.setattr(invariants, "MOST_ALIKE", 1)
    monkeypatch.setattr(
        invariants, "IN_THE_DATABASE", (lambda: iter([invariants.Breach(invariants.say_n("A", "B", 1))] * 4),)
    )

    assert [str(breach) for breach in invariants.breaches(deep=False)] == ["A", "The same is true of 3 more."]


def piece_of(world: World, kind: str) -> Path:
    """Return where the last piece of a file of the job that is done lies."""
    artifact = db.session.get(Artifact, (world.ids["done"], kind))
    return files.store().folder / artifact.pieces[-1]["key"]


@contextmanager
def instead(path: Path, content: bytes | None) -> Iterator[None]:
    """Put something else, or nothing, in the file's place for a while."""
    kept = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize("kind", ["pdf", "zip", "portal", "manifest"])
def test_a_file_that_is_missing_or_short_is_told(world, kind):
    path = piece_of(world, kind)
    expected = f"The {kind} file of job {world.names['done_name']} is missing or not as long as recorded."
    for content in (None, path.read_bytes()[:-1]):
        with instead(path, content):
            (told,) = invariants.breaches(deep=False)
        assert str(told).startswith(expected)


def test_a_changed_byte_is_told_by_the_deeper_look_only(world):
    path = piece_of(world, "portal")
    changed = bytearray(path.read_bytes())
    changed[100] ^= 1
    with instead(path, bytes(changed)):
        assert list(invariants.breaches(deep=False)) == []
        (told,) = invariants.breaches()
    assert str(told).startswith(
        f"The portal file of job {world.names['done_name']} is not byte for byte what was made."
    )


def test_reading_every_byte_tells_how_far_it_is(world):
    seen: list[invariants.Progress] = []
    assert list(invariants.breaches(step=seen.append)) == []
    assert seen[-1].done == seen[-1].total == sum(db.session.scalars(select(Artifact.length)))


def test_a_manifest_without_one_of_the_cards_is_told(world):
    path = piece_of(world, "manifest")
    other = path.read_bytes().replace(world.names["code"].encode(), b"X" * len(world.names["code"]))
    with instead(path, other):
        (told,) = invariants.breaches(deep=False)
    assert str(told).startswith(
        f"Card {world.names['code']} is not in the manifest of its job {world.names['done_name']}."
    )


def test_files_that_hold_more_or_less_than_the_job_counts_are_told(world):
    world.break_it("UPDATE job SET cards_generated = 1 WHERE id = :done")

    told = [str(breach) for breach in invariants.AMONG_THE_FILES[0]()]

    assert [sentence.split(" of job")[0] for sentence in told] == ["The manifest file", "The pdf file"]


def test_a_file_that_cannot_be_read_is_told(world):
    path = piece_of(world, "manifest")
    with instead(path, b" " * path.stat().st_size):
        (told,) = invariants.breaches(deep=False)
    assert str(told).startswith(f"The files of job {world.names['done_name']} cannot be read.")


def test_files_whose_time_was_over_are_fine_without_their_pieces(world):
    world.break_it("UPDATE artifact SET removed_at = '2026-11-01 00:00:00', pieces = '[]'")

    assert [breach for check in invariants.AMONG_THE_FILES[:1] for breach in check()] == []


def test_a_stored_file_that_belongs_to_nothing_is_told(world):
    path = files.store().folder / "parts" / "lost.zip"
    path.write_bytes(b"x")

    os.utime(path, (0, 0))
    (told,) = invariants.breaches(deep=False)
    path.unlink()
    assert str(told) == "The stored file parts/lost.zip belongs to nothing. Run: fieldcard doctor --reap"


def test_a_tombstone_beside_the_database_counts_once_it_is_not_young(world):

    tombstones.put(world.ids["nobody"])
    path = files.store().folder / tombstones.FOLDER / str(world.ids["nobody"])
    assert list(invariants.breaches(deep=False)) == []
    os.utime(path, (0, 0))
    (told,) = invariants.breaches(deep=False)
    path.unlink()
    assert str(told).startswith(f"Person {world.names['nobody_name']} was erased and is back.")
