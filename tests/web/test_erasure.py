"""Erasing somebody in a browser: what the page says before, and that afterwards the name is nowhere at all."""

import io
import logging
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import MetaData, select

from app.database import db
from app.domain import jobs, packaging, work
from app.domain.orders import StartOrder
from app.domain.packaging import artifact_of
from app.models import AuditEntry, Beneficiary, Card, CardState, Print, PrintState
from app.settings import Settings
from tests.cast import make_campaign, work_to_the_end
from tests.domain.lists import HEADER, a_list, add, bring, workbook

FIRST, LAST, NUMBER, PHONE = "Zyxcanary", "Canaryzyx", "KANARI-77", "+221770000077"
TRACES = (FIRST, LAST, NUMBER, PHONE, "1990-12-31", "Kanarivillage")
LINE = (FIRST, LAST, NUMBER, "31/12/1990", "770000077", "F", "Kanarivillage")
STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)


@pytest.fixture
def campaign(cast):
    return make_campaign(cast.owner, people=1)


@pytest.fixture
def zyx(cast, campaign) -> Beneficiary:
    """Somebody with a name that stands nowhere else, brought into the campaign by a list."""
    add(cast, bring(campaign, a_list(";".join(LINE)), cast.editor))
    return db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == NUMBER))


def test_it_works(cast, client, campaign, zyx):
    jobs.start(campaign, StartOrder(), by=cast.editor)
    work_to_the_end(cast.app)
    client.sign_in(cast.owner)
    page = client.get(f"/app/people/{zyx.id}?campaign={campaign.id}").click("Erase this person")
    assert "Erase Zyxcanary Canaryzyx for good?" in page.text and "cannot be undone" in page.text
    assert "1 card is revoked" in page.text and "files of 1 order are removed" in page.text
    assert "1 card of somebody else" in page.text and "1 spreadsheet" in page.text

    page = page.submit("main form", reason="asked", sure="yes")
    assert "The person is erased" in page.text and page.soup.h1.get_text().strip() == "Erased person"
    assert FIRST not in page.body.decode() and "Revoked" in page.text
    assert not page.has("#person") and not page.has("form[action$='/card']") and page.path.endswith(str(campaign.id))
    people = client.get(f"/app/campaigns/{campaign.id}/people")
    assert "Erased person" in people.text and "erased-" not in people.text
    code = db.session.scalar(select(Card.code).where(Card.state == CardState.revoked))
    card = client.get(f"/app/cards/{code}")
    assert "Erased person" in card.text and "its holder was erased" in card.text and not card.has("figure")
    assert client.get(f"/app/people/{zyx.id}/erase").location == f"/app/people/{zyx.id}"


def test_without_a_reason_or_the_tick_nothing_happens(cast, client, campaign, zyx):
    ask = client.sign_in(cast.owner).get(f"/app/people/{zyx.id}/erase")
    unsure, unfounded = ask.submit("main form", reason="asked"), ask.submit("main form", sure="yes")

    assert (unsure.status, unfounded.status) == (422, 422)
    assert "Tick the box" in unsure.errors[0] and "why the person is erased" in unfounded.errors[0]
    assert unsure.soup.select_one("input[value=asked]").has_attr("checked")
    db.session.refresh(zyx)
    assert zyx.erased_at is None


def test_a_second_click_finds_the_person_erased(cast, client, zyx):
    ask = client.sign_in(cast.owner).get(f"/app/people/{zyx.id}/erase")
    first, again = (ask.submit("main form", reason="asked", sure="yes") for _ in range(2))

    assert first.status == again.status == 200 and "erased" in again.text
    assert len(list(db.session.scalars(select(AuditEntry).where(AuditEntry.action == "person.erased")))) == 1


def test_while_a_card_is_made_the_page_says_so(cast, client, campaign, zyx):
    jobs.start(campaign, StartOrder(), by=cast.editor)
    page = client.sign_in(cast.owner).get(f"/app/people/{zyx.id}/erase").follow()

    assert "being made just now" in page.text and FIRST in page.text


def test_an_editor_is_not_offered_it_and_a_stranger_finds_nobody(cast, client, zyx):
    path = f"/app/people/{zyx.id}/erase"
    assert not client.sign_in(cast.editor).get(f"/app/people/{zyx.id}").has(f"a[href^='{path}']")
    assert client.get(path).status == client.post(path, {"reason": "asked", "sure": "yes"}).status == 403
    assert client.sign_in(cast.stranger).get(path).status == 404


@pytest.mark.both
def test_the_name_is_nowhere_afterwards(cast, client, campaign, settings, engine, caplog, monkeypatch):
    """The canary: through every door and every file, then erased, then looked for in every byte there is."""
    caplog.set_level(logging.DEBUG, logger="app")
    _live_through_everything(cast, client, campaign, monkeypatch)
    assert set(_found(settings)) == set(TRACES), "the search must be able to find what it looks for"

    zyx = db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == NUMBER))
    page = client.sign_in(cast.owner).get(f"/app/people/{zyx.id}/erase").submit("main form", reason="asked", sure="yes")
    assert "is erased" in page.text

    assert list(_found(settings)) == []
    assert [trace for trace in TRACES if trace.casefold() in caplog.text.casefold()] == []


def _live_through_everything(cast, client, campaign, monkeypatch) -> None:
    """Bring her in twice, correct her, print, print again, fail, download, verify by page and by photo."""
    add(cast, bring(campaign, a_list(";".join(LINE), ";".join(LINE[:4])), cast.editor, f"{FIRST} {LAST}.csv"))
    head = tuple(HEADER.split(";"))
    add(cast, bring(campaign, workbook(head, (), LINE, hidden=2), cast.editor, "liste.xlsx"))
    zyx = db.session.scalar(select(Beneficiary).where(Beneficiary.beneficiary_id == NUMBER))
    client.sign_in(cast.owner)
    page = client.get(f"/app/people/{zyx.id}").submit("#person", zone="Kanarivillage")
    page.submit("form[action$='/card']", follow=False)
    work_to_the_end(cast.app)
    client.get(f"/app/people/{zyx.id}").submit("#person", first_name=FIRST * 11)
    client.get(f"/app/people/{zyx.id}").submit("form[action$='/card']", follow=False)
    work_to_the_end(cast.app)
    assert FIRST in str(db.session.scalar(select(Print.problem).where(Print.state == PrintState.void)))
    client.get(f"/app/people/{zyx.id}").submit("#person", first_name=FIRST)
    client.get(f"/app/people/{zyx.id}").submit("form[action$='/card']", follow=False)
    with monkeypatch.context() as patch:
        patch.setattr(packaging, "_issue", lambda *_: (_ for _ in ()).throw(RuntimeError("a bad moment")))
        with cast.app.app_context():
            work.do_one("unlucky", stopping=lambda: False)
            work.do_one("unlucky", stopping=lambda: False)
    work_to_the_end(cast.app)
    job_id, code = db.session.execute(
        select(Print.job_id, Card.code)
        .join(Card, (Card.campaign_id == Print.campaign_id) & (Card.card_index == Print.card_index))
        .where(Print.state == PrintState.issued)
    ).first()
    for kind in ("pdf", "zip", "portal", "manifest"):
        assert client.get(f"/app/jobs/{job_id}/files/{kind}").status == 200
    with packaging.open_artifact(artifact_of(db.session.get(jobs.Job, job_id), "zip")) as stream:
        archive = zipfile.ZipFile(stream)
        photo = archive.read(next(name for name in archive.namelist() if "front" in name))
    assert client.get(f"/verify?code={code}").status == 200
    sent = {"photo": (io.BytesIO(photo), f"{FIRST}.png")}
    assert client.send("POST", "/verify", data=sent).status == 303
    client.get(f"/app/people/{zyx.id}/everything.json")
    client.get(f"/app/campaigns/{campaign.id}/people?q={FIRST}")


def _found(settings: Settings) -> Iterator[str]:
    """Yield what is found of the person in a file of the data folder, and on PostgreSQL in a column of a table."""
    everything = [*_contents(settings.home), *_columns()]
    for trace in TRACES:
        spellings = [trace.encode(code) for code in ("utf-8", "utf-16-le", "utf-16-be")]
        spellings += [bytes(one).lower() for one in spellings]
        if any(spelling in content for content in everything for spelling in spellings):
            yield trace


def _contents(home: Path) -> Iterator[bytes]:
    for path in home.rglob("*"):
        if path.is_file():
            yield str(path).encode()
            yield from _unpacked(path.read_bytes())


def _unpacked(content: bytes) -> Iterator[bytes]:
    """Yield the bytes as they are, and what is packed in them as ZIP or in the streams of a PDF."""
    yield content
    with suppress(zipfile.BadZipFile, ValueError), zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():  # a piece of a longer archive cannot be read alone; its pictures hold no text
            yield from _unpacked(archive.read(name))
    for packed in STREAM.findall(content) if content.startswith(b"%PDF") else ():
        try:
            yield zlib.decompress(packed)
        except zlib.error:
            continue


def _columns() -> Iterator[bytes]:
    """Yield every row of every table as text, whatever models know of it."""
    tables = MetaData()
    tables.reflect(db.engine)
    for table in tables.sorted_tables:
        for row in db.session.execute(select(table)):
            yield repr(tuple(row)).encode()
