"""Invariants: what is true of every healthy installation, whatever was killed; each breach is one sentence.

Here is how they are asked. What they are stands in the modules beside this one, a noun each. The audit log has
its own proof.
"""

from app.database import db
from app.domain.invariants.breach import Breach, Breaches, Progress, Step
from app.domain.invariants.campaigns import campaigns_count_their_cards
from app.domain.invariants.cards import cards_are_genuine, codes_are_unique, people_have_one_live_card
from app.domain.invariants.erased import erased_people_are_gone, tombstones_are_kept
from app.domain.invariants.jobs import ended_jobs_are_settled, jobs_are_paid_for, nothing_is_stuck
from app.domain.invariants.keys import secret_opens_keys
from app.domain.invariants.ledgers import ledgers_balance, ledgers_run_on
from app.domain.invariants.stored import bytes_are_as_recorded, files_are_whole, files_have_rows
from app.sentences import say_n

MOST_ALIKE = 20  # breaches of one invariant that are told one by one
IN_THE_DATABASE = (
    ledgers_balance,
    ledgers_run_on,
    jobs_are_paid_for,
    ended_jobs_are_settled,
    nothing_is_stuck,
    campaigns_count_their_cards,
    codes_are_unique,
    people_have_one_live_card,
    cards_are_genuine,
    secret_opens_keys,
    erased_people_are_gone,
    tombstones_are_kept,
)
AMONG_THE_FILES = (files_are_whole, files_have_rows)  # of a large store they take minutes


def breaches(*, deep: bool = True, step: Step = lambda _progress: None) -> Breaches:
    """Yield everything that should not be so; nothing when the installation is healthy.

    Seconds, even for a hundred thousand cards. `deep` also reads every stored byte again, which takes as long as
    the disk takes. `step` is called at each look at the database or a file and may raise to stop.
    """
    nothing_read = Progress(0, 0)
    for check in IN_THE_DATABASE:
        step(nothing_read)
        _see_one_moment()
        yield from _first_ones(check())
        db.session.rollback()
    for look in AMONG_THE_FILES:
        yield from _first_ones(look(lambda: step(nothing_read)))
        db.session.rollback()
    if deep:
        yield from _first_ones(bytes_are_as_recorded(step))
        db.session.rollback()


def _see_one_moment() -> None:
    """Let a check that asks twice see the same rows both times, while workers go on."""
    db.session.rollback()
    if db.engine.dialect.name == "postgresql":  # on SQLite every transaction is so
        db.session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def _first_ones(found: Breaches) -> Breaches:
    """Yield the first breaches, and how many more of the kind there are: a wrong secret breaks every card."""
    more = 0
    for number, breach in enumerate(found):
        if number < MOST_ALIKE:
            yield breach
        else:
            more += 1
    if more:
        yield Breach(say_n("The same is true of %(n)s more.", "The same is true of %(n)s more.", more))


__all__ = ["Breach", "Breaches", "Progress", "Step", "breaches", "ledgers_balance"]
