"""The command line: accounts, quota, the demo, the doctor, and the whole main job without a browser."""

import json
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pypdfium2
import pytest
import zxingcpp
from openpyxl import Workbook
from PIL import Image
from sqlalchemy import func, select, update

from app.database import db, transaction
from app.domain import accounts, backups, claims, jobs, quotas
from app.domain.orders import StartOrder
from app.factory import create_app
from app.models import Beneficiary, Chunk, InstallationFact, Job, Organisation, User
from app.settings import ROOT, Settings
from tests.cast import Cast, make_campaign

CAMPAIGN = ("--name", "Vaccination Dakar", "--type", "vaccination", "--prefix", "DKR-VAC", "--language", "fr")


def fieldcard(home: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command on a data folder, as a person at a terminal would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIELDCARD_")}
    environment |= {"FIELDCARD_HOME": str(home)}
    environment.pop("DATABASE_URL", None)
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *words],
        cwd=ROOT,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A data folder at this version's tables."""
    folder = tmp_path / "data"
    assert fieldcard(folder, "migrate").returncode == 0
    return folder


def look_into(home: Path):
    """Return the app of a data folder, to look at what a command did."""
    return create_app(Settings(home=home, secret=(home / "secret").read_text().encode()))


def test_user_add_makes_the_organisation_and_joins_it(home):
    first = fieldcard(
        home, "user", "add", "contact@votre-programme.sn", "--organisation", "Votre programme", "--role", "admin",
        "--quota", "500", "--password-stdin", stdin="MonMDP!\n",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "Warning" in first.stderr
    second = fieldcard(home, "user", "add", "ami@example.org", "--organisation", "Votre programme", "--role", "viewer")
    assert "Password:" in second.stdout

    with look_into(home).app_context():
        organisation = db.session.scalar(select(Organisation))
        assert (organisation.name, quotas.balance(organisation.id)) == ("Votre programme", 500)
        assert db.session.scalar(select(func.count()).select_from(User)) == 2
        assert accounts.sign_in("contact@votre-programme.sn", "MonMDP!")


def test_user_password_and_quota_grant(home):
    fieldcard(home, "user", "add", "ami@example.org", "--organisation", "Programme", "--role", "admin", "--quota", "0")
    assert (
        fieldcard(home, "user", "password", "ami@example.org", "--password-stdin", stdin="Neuf&Long1234\n").returncode
        == 0
    )
    granted = fieldcard(home, "quota", "grant", "Programme", "250", "--reason", "Second round")
    assert "250" in granted.stdout
    corrected = fieldcard(home, "quota", "correct", "Programme", "-40", "--reason", "Counted twice")
    assert "Programme may make 210 cards now." in corrected.stdout
    monthly = fieldcard(home, "quota", "monthly", "Programme", "900")
    assert "Programme gets 900 cards a month from" in monthly.stdout and "210 are left now" in monthly.stdout

    with look_into(home).app_context():
        assert accounts.sign_in("ami@example.org", "Neuf&Long1234")
        assert quotas.balance(db.session.scalar(select(Organisation.id))) == 210


@pytest.mark.parametrize(
    "words",
    [
        ("quota", "grant", "Nobody", "10", "--reason", "x"),
        ("quota", "correct", "Nobody", "-10", "--reason", "x"),
        ("user", "password", "nobody@example.org"),
        ("user", "add", "no-address", "--organisation", "P", "--role", "admin"),
        ("user", "add", "a@example.org", "--organisation", "P", "--role", "king"),
        ("user", "add", "a@example.org", "--organisation", "P", "--role", "admin", "--password-stdin"),
        ("unheard-of",),
        ("generate", "missing.csv", *CAMPAIGN, "--out", "out"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_1(home, words):
    refused = fieldcard(home, *words)
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1
    assert refused.stdout == ""


def test_nothing_works_before_the_tables_are_there(tmp_path):
    refused = fieldcard(tmp_path / "new", "doctor")
    assert refused.returncode == 1
    assert "fieldcard migrate" in refused.stderr


def test_the_demo_is_made_once(home):
    made = fieldcard(home, "demo")
    assert "demo@fieldcard.example" in made.stdout, made.stderr
    assert fieldcard(home, "demo").stdout == ""

    with look_into(home).app_context():
        assert db.session.scalar(select(func.count()).select_from(Beneficiary)) == 60
        assert db.session.scalar(select(Job.total_cards)) == 60


def test_doctor_is_silent_when_all_is_well_and_names_what_is_not(home):
    fieldcard(home, "user", "add", "a@example.org", "--organisation", "Programme", "--role", "admin")
    well = fieldcard(home, "doctor")
    assert (well.returncode, well.stdout, well.stderr) == (0, "", "")

    with look_into(home).app_context(), transaction():
        db.session.get(Organisation, db.session.scalar(select(Organisation.id))).balance = 7
    ill = fieldcard(home, "doctor")
    assert ill.returncode == 1
    assert "has a balance of 7, but its ledger adds up to 10000." in ill.stdout
    assert "Programme" not in ill.stdout


def test_doctor_takes_up_what_a_lost_worker_held_when_asked(home):
    app = look_into(home)
    with app.app_context():
        cast = Cast(app)
        jobs.start(make_campaign(cast.owner, people=1), StartOrder(), by=cast.owner)
        claims.claim_chunk("gone:1")
        with transaction() as session:
            session.execute(update(Chunk).values(lease_expires=0.0))
    told = fieldcard(home, "doctor", "--quick")
    assert (told.returncode, "Run: fieldcard doctor --reap" in told.stdout) == (1, True)

    reaped = fieldcard(home, "doctor", "--reap")
    assert (reaped.returncode, reaped.stdout) == (0, "")


def test_generate_makes_every_file_and_they_agree(tmp_path):
    rows = ["Prénom(s);Nom;N° bénéficiaire;Né(e) le;Tél", "Aminata;Diallo;B-1;15/03/2020;77 123 45 67"]
    rows += ["Ñaŋ;Wóor;B-2;;", ";Sow;B-3;;", "Fatou;Bâ;B-4;31/02/2020;"]
    listed, out = tmp_path / "liste.csv", tmp_path / "out"
    listed.write_text("\r\n".join(rows), encoding="utf-8-sig")

    made = fieldcard(tmp_path / "data", "generate", str(listed), *CAMPAIGN, "--out", str(out))
    assert (made.returncode, made.stderr) == (0, "")

    manifest = json.loads((out / "manifest.json").read_text())
    codes = [card["code"] for card in manifest["cards"]]
    assert [card["beneficiary_id"] for card in manifest["cards"]] == ["B-1", "B-2"]
    assert len(pypdfium2.PdfDocument(out / "cards.pdf")) == 4
    with zipfile.ZipFile(out / "cards.zip") as archive:
        assert sorted(archive.namelist()) == sorted(
            f"{code}-{side}.png" for code in codes for side in ("front", "back")
        )
        with archive.open(f"{codes[0]}-front.png") as picture:
            image = Image.open(picture)
            assert image.size == (1011, 638)
            (scanned,) = zxingcpp.read_barcodes(image)
    assert scanned.text.startswith("HTTP://LOCALHOST:8000/V/")
    problems = (out / "problems.csv").read_text("utf-8-sig").splitlines()
    assert len(problems) == 3
    assert problems[1].split(";")[5] == "4"
    assert "verification-portal/index.html" in zipfile.ZipFile(out / "verification-portal.zip").namelist()
    assert fieldcard(tmp_path / "data", "doctor").stdout == ""


def test_generate_again_prints_the_same_cards(tmp_path):
    workbook = Workbook()
    workbook.active.append(["First name", "Last name", "ID"])
    workbook.active.append(["Aminata", "Diallo", "B-1"])
    workbook.save(tmp_path / "list.xlsx")
    command = ("generate", str(tmp_path / "list.xlsx"), *CAMPAIGN, "--sheet", "a4", "--out", str(tmp_path / "out"))

    assert fieldcard(tmp_path / "data", *command).returncode == 0
    first = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert fieldcard(tmp_path / "data", *command).returncode == 0
    again = json.loads((tmp_path / "out" / "manifest.json").read_text())

    assert [card["code"] for card in again["cards"]] == [card["code"] for card in first["cards"]]
    assert [card["files"] for card in again["cards"]] == [card["files"] for card in first["cards"]]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("--dpi", "72"), "dpi"),
        (("--prefix", "x"), "prefix"),
        (("--type", "circus"), "campaign"),
        (("--language", "de"), "French"),
    ],
)
def test_generate_refuses_wrong_options_in_one_sentence(tmp_path, change, word):
    (tmp_path / "list.csv").write_text("First name,Last name,ID\nAminata,Diallo,B-1\n")
    refused = fieldcard(
        tmp_path / "data", "generate", str(tmp_path / "list.csv"), *CAMPAIGN, *change, "--out", str(tmp_path / "out")
    )
    assert refused.returncode == 1
    assert word in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_generate_with_no_usable_row_makes_nothing_but_says_why(tmp_path):
    (tmp_path / "list.csv").write_text("First name,Last name,ID\n,Diallo,B-1\n")
    refused = fieldcard(
        tmp_path / "data", "generate", str(tmp_path / "list.csv"), *CAMPAIGN, "--out", str(tmp_path / "out")
    )
    assert refused.returncode == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["problems.csv"]


@pytest.mark.parametrize("role", [(), ("--worker", "1")])
def test_after_a_restore_that_was_interrupted_nothing_serves(home, monkeypatch, role):
    with look_into(home).app_context(), transaction() as session:
        session.add(InstallationFact(name=backups.UNFINISHED, value="2026-11-20"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("PORT", str(free.getsockname()[1]))
    done = fieldcard(home, "serve", *role)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("A restore was interrupted here") and "fieldcard restore FILE" in done.stderr
    assert fieldcard(home, "migrate").returncode == 0  # what the restore needs to be finished
