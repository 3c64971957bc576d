"""A backup holds one moment's rows and all their files, and comes back on either engine, equal row by row."""

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from app import files
from app.backup import making, restoring
from app.backup.sealing import Nothing
from app.database import db, transaction, utc_now
from app.domain import backups, drawing, erasure, invariants, jobs, keys, packaging, tokens, work
from app.domain.errors import Conflict
from app.domain.orders import StartOrder
from app.models import (
    Artifact,
    Beneficiary,
    Campaign,
    Card,
    InstallationFact,
    Job,
    Organisation,
    User,
    UserSession,
)
from app.sentences import say
from tests.backed_up import all_files, all_rows, as_restored, busy, elsewhere, emptied
from tests.cast import make_campaign, work_to_the_end

PLAIN = Nothing()


def download(job_id) -> bytes:
    return packaging.open_artifact({one.kind: one for one in packaging.artifacts_of(job_id)}["pdf"]).read()


@pytest.mark.both
def test_it_comes_back_equal_on_either_engine_and_work_in_hand_goes_on(cast, tmp_path, engine, request):
    job_id = busy(cast, tmp_path).id
    with transaction() as session:
        user = session.scalars(select(User)).first()
        session.add(
            UserSession(
                organisation_id=user.organisation_id,
                user_id=user.id,
                token_sha256="0" * 64,
                expires_at=utc_now() + timedelta(days=1),
                seen_at=utc_now(),
            )
        )
    rows, stored, pdf = as_restored(all_rows()), all_files(), download(job_id)
    made = making.make(tmp_path / "backup", PLAIN)
    assert (made.files, made.missing) == (len(stored), ())
    assert backups.made_last() == made.taken_at

    targets = (
        {"here": ""}
        if engine == "postgresql"
        else {"here": "", "there": request.getfixturevalue("migrated_postgresql")}
    )
    for name, url in targets.items():
        with elsewhere(tmp_path / name, url) as app:
            if url:
                emptied()
            restored = restoring.restore(tmp_path / "backup", PLAIN)
            assert [str(breach) for breach in restored.breaches] == []
            assert all_rows() == rows
            assert all_files() == stored
            assert download(job_id) == pdf
            assert db.session.scalar(select(func.count()).select_from(UserSession)) == 0
            work_to_the_end(app)
            assert set(db.session.scalars(select(Job.state))) == {"completed"}
            assert [str(breach) for breach in invariants.breaches()] == []


def test_an_old_card_verifies_and_a_new_one_never_has_the_token_of_one_made_after_the_backup(cast, tmp_path):
    campaign = make_campaign(cast.owner, people=1)
    campaign_id = campaign.id
    jobs.start(campaign, StartOrder(), by=cast.owner)
    work_to_the_end(cast.app)
    card = db.session.scalars(select(Card)).one()
    old = drawing.token_of(card, campaign)
    making.make(tmp_path / "backup", PLAIN)

    with elsewhere(tmp_path / "there"):
        restoring.restore(tmp_path / "backup", PLAIN)
        verdict = tokens.verify(old, keys.public_key, card.issued_on)
        assert verdict.outcome == tokens.Outcome.GENUINE
        assert db.session.get(Campaign, campaign_id).cards_made > 1 + 100_000


def test_it_comes_into_an_empty_installation_only(cast, tmp_path):
    making.make(tmp_path / "backup", PLAIN)
    before = all_rows()

    with pytest.raises(Conflict, match="organisations in this installation"):
        restoring.restore(tmp_path / "backup", PLAIN)
    assert all_rows() == before


def test_what_an_empty_installation_has_by_itself_gives_way(cast, tmp_path):
    making.make(tmp_path / "backup", PLAIN)

    with elsewhere(tmp_path / "there"):
        with transaction() as session:
            session.add(InstallationFact(name=backups.LAST_BACKUP, value="2001-01-01T00:00:00+00:00"))
        restoring.restore(tmp_path / "backup", PLAIN)
        assert backups.made_last() is None
        assert db.session.scalar(select(func.count()).select_from(Organisation)) == 2


@pytest.mark.both
def test_while_jobs_start_and_cards_are_drawn_it_is_of_one_moment(cast, tmp_path, monkeypatch):
    busy(cast, tmp_path)
    campaigns = [make_campaign(cast.owner, people=1).id for _ in range(3)]
    stop, taken = threading.Event(), backups.snapshot

    def start_jobs_and_draw() -> None:
        with cast.app.app_context():
            for campaign_id in campaigns:
                jobs.start(db.session.get(Campaign, campaign_id), StartOrder(), by=cast.owner)
                while work.do_one("worker", stopping=stop.is_set):
                    pass
            db.session.remove()

    worker = threading.Thread(target=start_jobs_and_draw)

    def snapshot(*arguments, **options):
        if not worker.ident:
            worker.start()
        return taken(*arguments, **options)

    monkeypatch.setattr(backups, "snapshot", snapshot)
    made = making.make(tmp_path / "backup", PLAIN)
    stop.set()
    worker.join()

    assert made.missing == ()
    with elsewhere(tmp_path / "there") as app:
        assert restoring.restore(tmp_path / "backup", PLAIN).breaches == ()
        work_to_the_end(app)
        assert [str(breach) for breach in invariants.breaches()] == []


@pytest.fixture
def when_a_file_is_opened(app, monkeypatch) -> Iterator[Callable]:
    """Let something happen just before the backup opens its first stored file."""

    def arrange(act: Callable[[], None]) -> None:
        opens = files.FolderStore.open
        waiting = [act]

        def open_later(store, key: str):
            if waiting:
                waiting.pop()()
            return opens(store, key)

        monkeypatch.setattr(files.FolderStore, "open", open_later)

    yield arrange


def test_who_is_erased_while_it_runs_is_not_in_it(cast, tmp_path, when_a_file_is_opened):
    busy(cast, tmp_path)
    printed = select(Beneficiary).join(Card, Card.person_id == Beneficiary.id).where(Card.state == "valid")
    person_id = db.session.scalars(printed).first().id
    with transaction() as session:  # nothing is in hand that could hold the person
        for in_hand in session.scalars(select(Job).where(Job.state == "generating")):
            jobs.fail(in_hand, say("Over."))
    when_a_file_is_opened(lambda: erasure.erase(db.session.get(Beneficiary, person_id), "asked", by=cast.owner))
    made = making.make(tmp_path / "backup", PLAIN)

    assert made.missing == ()
    with elsewhere(tmp_path / "there"):
        restored = restoring.restore(tmp_path / "backup", PLAIN)
        assert [str(breach) for breach in restored.breaches] == []
        assert db.session.get(Beneficiary, person_id).erased_at is not None
        assert db.session.scalars(select(Artifact.removed_at)).first() is not None
        assert f"tombstones/{person_id}" in all_files()


def test_who_was_erased_since_is_erased_again_by_the_tombstones_of_the_store(cast, tmp_path):
    busy(cast, tmp_path)
    person_id = db.session.scalars(select(Card.person_id).where(Card.state == "valid")).first()
    making.make(tmp_path / "backup", PLAIN)

    with elsewhere(tmp_path / "there"):
        (tmp_path / "stone").write_text("{}")
        files.store().put(f"tombstones/{person_id}", tmp_path / "stone")
        restored = restoring.restore(tmp_path / "backup", PLAIN)
        assert (restored.erased_again, restored.breaches) == (1, ())
        assert db.session.get(Beneficiary, person_id).first_name == ""


def test_a_file_that_was_lost_before_is_told_and_the_rest_is_saved(cast, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "PAUSE", 0)
    busy(cast, tmp_path)
    lost = next(key for key in files.store().keys("jobs/") if "manifest" in key)
    files.store().delete(lost)
    made = making.make(tmp_path / "backup", PLAIN)
    assert made.missing == (lost,)

    with elsewhere(tmp_path / "there"):
        restored = restoring.restore(tmp_path / "backup", PLAIN)
        assert restored.missing == (lost,)
        assert "manifest" in str(restored.breaches[0])


def test_killed_after_the_rows_it_is_finished_by_the_next_restore(cast, tmp_path, monkeypatch):
    busy(cast, tmp_path)
    making.make(tmp_path / "backup", PLAIN)

    with elsewhere(tmp_path / "there"):
        with monkeypatch.context() as broken:
            broken.setattr(erasure, "replay", lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                restoring.restore(tmp_path / "backup", PLAIN)
        assert backups.is_unfinished()
        assert restoring.restore(tmp_path / "backup", PLAIN).breaches == ()
        with pytest.raises(Conflict):
            restoring.restore(tmp_path / "backup", PLAIN)


def test_half_of_the_rows_are_none(cast, tmp_path, monkeypatch):
    busy(cast, tmp_path)
    rows = as_restored(all_rows())
    making.make(tmp_path / "backup", PLAIN)
    copied = backups._copy

    def breaks_at_the_jobs(source, target, table, progress):
        if table.name == "job":
            raise OSError(28, "No space left on device")
        return copied(source, target, table, progress)

    with elsewhere(tmp_path / "there"):
        with monkeypatch.context() as broken:
            broken.setattr(backups, "_copy", breaks_at_the_jobs)
            with pytest.raises(OSError, match="No space"):
                restoring.restore(tmp_path / "backup", PLAIN)
        assert db.session.scalar(select(func.count()).select_from(Organisation)) == 0
        assert list((tmp_path / "there" / "work").iterdir()) == []
        assert restoring.restore(tmp_path / "backup", PLAIN).breaches == ()
        assert all_rows() == rows


def test_the_rows_of_an_older_version_are_brought_to_this_one(cast, tmp_path):
    from flask_migrate import downgrade

    taken = backups.snapshot(tmp_path / "rows.db")
    with backups._tables_in(taken.file):
        backups.installation.with_migrations(backups.installation.current_app)
        downgrade(directory=str(backups.installation.MIGRATIONS), revision="0004")

    with elsewhere(tmp_path / "there"):
        backups.bring_up_to_date(taken.file)
        backups.load(taken.file)
        assert db.session.scalar(select(func.count()).select_from(Organisation)) == 2


def test_the_fingerprint_of_the_secret_is_not_the_secret(app, settings):
    assert backups.fingerprint() == backups.fingerprint()
    assert settings.secret.decode() not in backups.fingerprint()
    assert len(backups.fingerprint()) == 32


def test_the_secret_is_nowhere_in_it(cast, tmp_path, settings):
    busy(cast, tmp_path)
    making.make(tmp_path / "backup", PLAIN)
    data = Path(tmp_path / "backup").read_bytes()
    assert settings.secret not in data
    assert settings.secret.hex().encode() not in data
