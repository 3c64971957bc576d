"""Stories of a job's life, and of what goes on beside it: what is there before, the steps, and how it ends."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select, text, update

from app import files
from app.database import db, settings, transaction, utc_now
from app.domain import claims, imports, installation, jobs
from app.domain.orders import StartOrder
from app.models import (
    Artifact,
    Beneficiary,
    Campaign,
    Chunk,
    Duty,
    ImportBatch,
    ImportState,
    Job,
    JobState,
    Organisation,
    RequestKey,
)
from tests.cast import Cast, make_campaign
from tests.chaos.forks import KILLS
from tests.chaos.steps import (
    back_up,
    batch,
    begin_a_duty_and_stop,
    bring_back,
    cancel,
    check_backup,
    check_erased,
    check_generated,
    check_removed,
    check_renewed,
    choose_columns,
    confirm,
    do_all,
    do_what_is_due,
    draw_the_first_chunk,
    erase,
    generate_from_the_command_line,
    hand_in,
    job,
    meet_a_full_disk,
    once,
    pause,
    remove_what_is_not_kept,
    resume,
    start,
    start_for_awa,
    stop_in_the_middle,
    work_slowly,
)
from tests.domain.lists import a_list, row

Step = Callable[[], None]
CANNOT_BE_DRAWN = "𓀀"


@dataclass(frozen=True)
class Story:
    """What is there before, the steps, and how it ends; `loose` when doing it again may add something.

    Stories that `begin` alike share what is there before.
    """

    name: str
    prepare: Callable[[Cast], object]
    steps: tuple[Step, ...]
    check: Callable[[], object]
    loose: bool = False
    begin: str = ""


def ends(state: str, issued: int = 0) -> Callable[[], None]:
    """Return the check that the only job has ended so, with so many cards."""

    def check() -> None:
        assert (job().state, job().cards_generated) == (state, issued)

    return check


def two_people(cast: Cast, last_name: str | None = None) -> Campaign:
    """Enrol two people; the first may have another name."""
    made = make_campaign(cast.owner, people=2, prefix="DKRVAC")
    if last_name:
        first = db.session.scalar(select(Beneficiary.id).order_by(Beneficiary.beneficiary_id).limit(1))
        with transaction() as session:
            session.execute(update(Beneficiary).where(Beneficiary.id == first).values(last_name=last_name))
    return made


def an_order(cast: Cast, *, last_name: str | None = None, chunk_attempts: int = 0, job_attempts: int = 0) -> None:
    """Order cards for two people, after so many attempts that failed."""
    jobs.start(two_people(cast, last_name), StartOrder(), by=cast.owner)
    with transaction() as session:
        session.execute(update(Chunk).values(attempts=chunk_attempts))
        session.execute(update(Job).values(attempts=job_attempts))


def cards_made(cast: Cast) -> None:
    """Let one person have a card, made and downloadable."""
    jobs.start(make_campaign(cast.owner, people=1, prefix="DKRVAC"), StartOrder(), by=cast.owner)
    do_all()


def a_backup_and_nothing_else(cast: Cast) -> None:
    """Make a backup of an installation with a card, and begin a new, empty one beside it."""
    cards_made(cast)
    back_up()
    db.session.remove()
    if db.engine.dialect.name == "postgresql":
        with db.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    db.engine.dispose()
    for path in [*settings().home.glob("fieldcard.db*"), *Path(files.store().folder).rglob("*")]:
        if path.is_file():
            path.unlink()
    installation.migrate()


def a_year_gone_by(cast: Cast) -> None:
    """Let there be files of cards, a list that was added and one that nobody confirmed, all of them old."""
    a_list_handed_in(cast)
    for step in (do_all, confirm, do_all, start, do_all):
        step()
    path = Path(files.store().folder) / ".tmp-sent"
    path.write_bytes(a_list(row(2)))
    imports.upload(db.session.scalars(select(Campaign)).one(), "liste.csv", path, by=cast.owner)
    then = utc_now() - timedelta(days=365)
    with transaction() as session:
        session.execute(update(Artifact).values(created_at=then))
        session.execute(update(ImportBatch).values(created_at=then))
        session.execute(update(ImportBatch).where(ImportBatch.finished_at.is_not(None)).values(finished_at=then))


def a_month_gone_by(cast: Cast) -> None:
    """Let the organisations be old, a chore be due, another one planned by a clock that was ahead, and a key old."""
    jobs.start(two_people(cast), StartOrder(), by=cast.owner, repeat=once())
    cancel()
    now = utc_now()
    with transaction() as session:
        session.execute(update(Organisation).values(created_at=now - timedelta(days=70), monthly_quota=50))
        session.execute(update(RequestKey).values(created_at=now - timedelta(days=7)))
        session.add(Duty(name="check up", next_due=now - timedelta(hours=2)))
        session.add(Duty(name="sweep", next_due=now + timedelta(days=300)))


def a_bad_list(cast: Cast) -> None:
    made = make_campaign(cast.owner, prefix="DKRVAC")
    path = Path(files.store().folder) / ".tmp-sent"
    path.write_bytes(b"\x00\x01 no list at all")
    imports.upload(made, "liste.xlsx", path, by=cast.owner)


def a_list_handed_in(cast: Cast) -> None:
    made = make_campaign(cast.owner, prefix="DKRVAC")
    path = Path(files.store().folder) / ".tmp-sent"
    path.write_bytes(a_list(row(1)))
    imports.upload(made, "liste.csv", path, by=cast.owner)


def import_is(state: str) -> Callable[[], None]:
    """Return the check that the only import is in `state`."""

    def check() -> None:
        assert batch().state == state

    return check


STORIES = (
    # A file that arrives again after its import was closed opens another one, on purpose: so this story ends before.
    Story(
        "a list handed in",
        lambda cast: make_campaign(cast.owner, prefix="DKRVAC"),
        (hand_in, do_all),
        import_is(ImportState.checked),
    ),
    Story(
        "from a list to cards",
        a_list_handed_in,
        (do_all, choose_columns, do_all, confirm, do_all, start, do_all),
        ends(JobState.completed, 1),
    ),
    Story(
        "paused, continued and cancelled",
        two_people,
        (start, draw_the_first_chunk, pause, resume, cancel, do_all),
        ends(JobState.cancelled, 1),
    ),
    Story(
        "ordered with its people",
        lambda cast: make_campaign(cast.owner),
        (start_for_awa, do_all),
        ends(JobState.completed, 1),
    ),
    Story(
        "one card cannot be drawn",
        lambda cast: two_people(cast, CANNOT_BE_DRAWN),
        (start, do_all),
        ends(JobState.completed, 1),
    ),
    Story(
        "one card kills its process",
        lambda cast: an_order(cast, last_name=KILLS, chunk_attempts=claims.CHILD_FROM_ATTEMPT - 1),
        (do_all,),
        ends(JobState.completed, 1),
    ),
    Story(
        "tried too often",
        lambda cast: an_order(cast, chunk_attempts=claims.MOST_ATTEMPTS),
        (do_all,),
        ends(JobState.failed),
    ),
    Story(
        "packaged too often",
        lambda cast: an_order(cast, job_attempts=claims.MOST_PACKAGINGS),
        (do_all,),
        ends(JobState.failed),
    ),
    Story(
        "stopped, and without a disk",
        an_order,
        (stop_in_the_middle, meet_a_full_disk, do_all),
        ends(JobState.completed, 2),
    ),
    Story(
        "an import stopped, and without a disk",
        a_list_handed_in,
        (stop_in_the_middle, meet_a_full_disk, do_all),
        import_is(ImportState.checked),
    ),
    Story("a list that is none", a_bad_list, (do_all,), import_is(ImportState.failed)),
    Story("slowly", an_order, (work_slowly, do_all), ends(JobState.completed, 2)),
    Story("backed up", cards_made, (back_up,), check_backup),
    Story("brought back", a_backup_and_nothing_else, (bring_back, do_all), ends(JobState.completed, 1)),
    Story("erased", cards_made, (erase,), check_erased),
    Story("not kept", a_year_gone_by, (remove_what_is_not_kept,), check_removed),
    Story("what falls due", a_month_gone_by, (begin_a_duty_and_stop, do_what_is_due), check_renewed),
    Story("from the command line", lambda cast: None, (generate_from_the_command_line,), check_generated, loose=True),
)
