"""The measurements run and say what they compared; what they measured is for people to read, not for tests."""

import hashlib
import json
import re

from bench import render, verdict
from bench.books import Receipts
from bench.tally import Tally


def test_it_works(capsys):
    assert render.main(["--cards", "2"]) == 0
    printed = capsys.readouterr().out
    ratios = re.findall(r"^(?:xhtml2pdf|Fieldcard).* (\d+\.\d\d)$", printed, re.MULTILINE)
    assert len(ratios) == 2
    assert min(map(float, ratios)) == 1.0


def test_chaos_sees_a_file_that_is_not_what_was_said():
    receipts, whole = Receipts(), b"a whole file"
    assert list(receipts.compare("pdf", sha256(whole), whole)) == []
    assert "entity tag" in " ".join(receipts.compare("pdf", sha256(whole), whole[:-1]))
    assert "fetched before" in " ".join(receipts.compare("pdf", sha256(b"another"), b"another"))
    manifest = json.dumps({"cards": [], "artifacts": {"pdf": sha256(b"a third")}}).encode()
    assert "manifest says" in " ".join(receipts.compare("manifest", sha256(manifest), manifest))


def test_chaos_sees_a_code_that_is_given_twice():
    tally = Tally()
    tally.given("VAC-1", "job_1")
    tally.given("VAC-1", "job_1")  # the same card, in a manifest that is read again
    assert tally.violations == []
    tally.given("VAC-1", "job_2")
    assert len(tally.violations) == 1


def test_chaos_sees_an_exception_in_the_log(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "2026-11-22 10:00:00,000 web GET /jobs/<job_id> 200 3 ms\nThe worker 1 ended with signal 9; again.\n"
    )
    assert list(verdict.told_in_log(log)) == []
    log.write_text("Traceback (most recent call last):\n  File …\nsqlalchemy.exc.IntegrityError: (sqlite3) UNIQUE\n")
    assert "IntegrityError" in " ".join(verdict.told_in_log(log))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
