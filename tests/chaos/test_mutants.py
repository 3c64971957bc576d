"""Mutants: what keeps the promises is taken out of a copy of the program, and the one named test must turn red.

A mutant is an exact text that stands once in one file, and what it becomes. When its file has changed, the text is not
found any more and the mutant says so: write it anew, so that it breaks the same promise.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.settings import ROOT
from tests.conftest import needs

ON_POSTGRESQL = "[postgresql]"
COPIED = ("app", "migrations", "static", "templates", "tests", "docs", "pyproject.toml", "README.md", "wsgi.py")
ALL_GREEN, SOME_RED = 0, 1  # pytest's exit codes; others mean that no test ran


@dataclass(frozen=True)
class Mutant:
    """What is broken, where, how, and the test that must notice."""

    name: str
    file: str
    before: str
    after: str
    test: str


MUTANTS = (
    Mutant(
        "a chunk is settled without its fence",
        "app/domain/claims.py",
        "Chunk.state == ChunkState.claimed, Chunk.lease_fence == claim.holder.fence)",
        "Chunk.state == ChunkState.claimed)",
        "tests/domain/test_claims.py::test_a_worker_that_lost_its_lease_changes_nothing",
    ),
    Mutant(
        "a chunk is handed back without its fence",
        "app/domain/claims.py",
        ".where(*claim.holder.row, table.lease_fence == claim.holder.fence)",
        ".where(*claim.holder.row)",
        "tests/domain/test_claims.py::test_a_worker_that_lost_its_lease_hands_nothing_back",
    ),
    Mutant(
        "a job is ended without its fence",
        "app/domain/packaging.py",
        "Job.state == JobState.packaging, Job.lease_fence == claim.holder.fence)",
        "Job.state == JobState.packaging)",
        "tests/domain/test_claims.py::test_who_lost_the_packaging_issues_nothing",
    ),
    Mutant(
        "the balance is read, and then written",
        "app/domain/quotas.py",
        ".values(balance=Organisation.balance + amount)",
        ".values(balance=balance(organisation_id) + amount)",
        f"tests/domain/test_quotas.py::test_two_movements_at_the_same_moment_both_count{ON_POSTGRESQL}",
    ),
    Mutant(
        "a person may have two live cards",
        "migrations/versions/0001_first_tables.py",
        '            ["campaign_id", "person_id"],\n            unique=True,',
        '            ["campaign_id", "person_id"],\n            unique=False,',
        "tests/domain/test_claims.py::test_a_person_has_one_live_card_whoever_asks",
    ),
    Mutant(
        "the checkpoint is two commits",
        "app/domain/claims.py",
        "    _settle_chunk(claim, vars(pieces))\n",
        "    _settle_chunk(claim, vars(pieces))\n    db.session.commit()\n",
        "tests/domain/test_claims.py::test_a_chunk_is_settled_whole_or_not_at_all",
    ),
    Mutant(
        "every refund has a key of its own",
        "app/domain/quotas.py",
        'f"refund:{job_id}:{cause}"',
        'f"refund:{job_id}:{cause}:{uuid.uuid4()}"',
        "tests/domain/test_quotas.py::test_a_cause_refunds_once_even_where_the_answer_is_swallowed",
    ),
    Mutant(
        "unfinished siblings are looked for",
        "app/domain/claims.py",
        "        .where(Job.id == claim.job_id)\n        .values(\n            chunks_left=Job.chunks_left - 1,",
        "        .where(Job.id == claim.job_id, ~select(Chunk.number).where(Chunk.job_id == claim.job_id, "
        "Chunk.number != claim.number, Chunk.state.in_(['waiting', 'claimed'])).exists())\n"
        "        .values(\n            chunks_left=0,",
        "tests/domain/test_claims.py::test_the_last_two_chunks_settled_at_the_same_moment_send_the_job_on"
        f"{ON_POSTGRESQL}",
    ),
    Mutant(
        "cards are issued with their chunk",
        "app/domain/claims.py",
        ".values(state=PrintState.drawn, files=",
        ".values(state=PrintState.issued, files=",
        "tests/domain/test_claims.py::test_a_card_counts_from_the_end_of_its_job_and_not_before",
    ),
    Mutant(
        "a file has its name before it is on the disk",
        "app/files.py",
        "            _sync(draft)\n            draft.replace(target)\n",
        "            draft.replace(target)\n            _sync(target)\n",
        "tests/test_files.py::test_a_file_is_safe_on_the_disk_before_it_has_its_name_and_the_name_after",
    ),
    Mutant(
        "a stream keeps its connection",
        "app/web/streams.py",
        "            db.session.remove()  # drawing reads too",
        "            # drawing reads too",
        "tests/web/test_streams.py::test_a_stream_keeps_no_connection_while_it_waits",
    ),
    Mutant(
        "the bell rings before the commit",
        "app/web/jobs.py",
        "        job = rooms.start(campaign, wishes.order, by=actor(), repeat=once)\n",
        "        tasks.ring()\n        job = rooms.start(campaign, wishes.order, by=actor(), repeat=once)\n",
        "tests/web/test_jobs.py::test_the_bell_is_rung_when_the_job_is_there_and_not_before",
    ),
    Mutant(
        "a lease is taken without looking at its end",
        "app/domain/leases.py",
        "table.lease_boot != boot, table.lease_expires < now)",
        "table.lease_boot != boot, table.lease_expires.is_not(None))",
        "tests/domain/test_claims.py::test_two_workers_never_hold_the_same_chunk",
    ),
    Mutant(
        "the key of a request is stored in another transaction",
        "app/domain/jobs.py",
        '    repeats.remember(repeat, "job", job.id, by=by)\n',
        '    db.session.commit()\n    repeats.remember(repeat, "job", job.id, by=by)\n',
        "tests/domain/test_jobs.py::test_the_key_of_a_request_is_kept_together_with_its_job",
    ),
    Mutant(
        "the heartbeat renews although nothing moves",
        "app/domain/leases.py",
        "                if self.steps == seen:\n",
        "                if self.steps < seen:\n",
        "tests/domain/test_leases.py::test_a_heartbeat_lets_a_stuck_worker_lose_its_lease",
    ),
    Mutant(
        "a cancelled job gives back its drawn cards too",
        "app/domain/jobs.py",
        "    drawn = _count(job, PrintState.drawn)\n",
        "    drawn = _count(job, PrintState.drawn)\n"
        '    charged += void_prints(job, PrintState.drawn, say("The job was cancelled."))\n',
        "tests/domain/test_jobs.py::test_cancel_keeps_what_is_drawn_and_refunds_the_rest",
    ),
    Mutant(
        "the tick takes nothing up",
        "app/tasks.py",
        "    work.take_up()\n",
        "",
        "tests/test_queue.py::test_the_tick_takes_up_a_job_that_nobody_sent_on",
    ),
    Mutant(
        "a range begins one byte late",
        "app/files.py",
        "        stream.seek(inside)\n",
        "        stream.seek(inside + 1)\n",
        "tests/test_files.py::test_joined_pieces_read_like_one_file",
    ),
)
FAST = ("a chunk is settled without its fence", "the checkpoint is two commits", "every refund has a key of its own")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the program, to be broken and mended."""
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "mutant", [mutant for mutant in MUTANTS if mutant.name in FAST], ids=lambda mutant: mutant.name
)
def test_a_mutant_turns_its_test_red(copy, request, mutant):
    prove(copy, request, mutant)


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_turns_its_test_red(copy, request, mutant):
    prove(copy, request, mutant)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_without_a_mutant_those_tests_are_green(copy):
    code, told = run(copy, *sorted({mutant.test for mutant in MUTANTS}))
    assert code == ALL_GREEN, told


def test_every_mutant_still_fits_the_program():
    assert [mutant.name for mutant in MUTANTS if not fits(mutant)] == [], "These have to be written anew."


def fits(mutant: Mutant) -> bool:
    """Whether what it changes stands exactly once in its file, and its test is there."""
    path, _, test = mutant.test.removesuffix(ON_POSTGRESQL).partition("::")
    asked = f"def {test}(" in (ROOT / path).read_text("utf-8")
    return asked and (ROOT / mutant.file).read_text("utf-8").count(mutant.before) == 1


def prove(copy: Path, request: pytest.FixtureRequest, mutant: Mutant) -> None:
    """Break the copy, let the test run there, and mend the copy."""
    if mutant.test.endswith(ON_POSTGRESQL):
        needs(bool(request.getfixturevalue("migrated_postgresql")), "PostgreSQL")
    assert fits(mutant), f"“{mutant.name}” does not fit the program any more: write it anew."
    path = copy / mutant.file
    whole = path.read_text("utf-8")
    path.write_text(whole.replace(mutant.before, mutant.after), "utf-8")
    try:
        code, told = run(copy, mutant.test)
    finally:
        path.write_text(whole, "utf-8")
    assert code == SOME_RED, f"Nobody noticed that {mutant.name}: {told}"


def run(copy: Path, *tests: str) -> tuple[int, str]:
    """Run the tests in the copy; return pytest's exit code and the end of what it told."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests],
        cwd=copy,
        env={name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "FIELDCARD_HOME"))},
        capture_output=True,
        text=True,
        timeout=800,
    )
    return done.returncode, done.stdout[-2000:]
