"""The backup's file and its commands: sealed and whole or refused with a sentence, absent or complete."""

import gzip
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pyrage
import pytest
from click.testing import CliRunner
from sqlalchemy import func, select

from app import files
from app.backup import archive, making, passphrases, restoring, sealing
from app.backup.sealing import Nothing
from app.cli import main
from app.database import db, utc_now
from app.domain import backups, imports
from app.domain.errors import Conflict, NoRoom, Refusal
from app.models import Organisation
from app.settings import ROOT, Settings
from tests.backed_up import all_files, all_rows, as_restored, elsewhere
from tests.cast import Cast, make_campaign
from tests.conftest import SECRET

PLAIN = Nothing()
WORDS = "six words that nobody else knows"
Change = Callable[[dict[str, bytes]], None]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> Path:
    """An installation's folder with an uploaded list in it, and a plain backup of it beside."""
    home = tmp_path_factory.mktemp("saved")
    shutil.copy(migrated_file, home / "fieldcard.db")
    with elsewhere(home) as app:
        people = Cast(app)
        (home / "list.csv").write_text("first,last,id\nAwa,Ba,B-1\n" * 50, "utf-8")
        imports.upload(make_campaign(people.owner, people=3), "list.csv", home / "list.csv", by=people.owner)
        making.make(home / "backup", PLAIN)
    return home


@pytest.fixture
def backup(saved: Path) -> Path:
    """A plain backup, never changed."""
    return saved / "backup"


def nothing_came_in() -> bool:
    organisations = db.session.scalar(select(func.count()).select_from(Organisation))
    return organisations == 0 and list(files.store().keys()) == []


def repacked(backup: Path, change: Change) -> bytes:
    """Return the backup with other members, packed as before."""
    with tarfile.open(backup) as tar:
        members = {info.name: tar.extractfile(info).read() for info in tar}
    change(members)
    return (
        b"".join(part for name, data in members.items() for part in archive.packed(name, len(data), iter([data])))
        + archive.END
    )


def told(name: str, **values: object) -> Change:
    """Change what the manifest or the index tells."""

    def change(members: dict[str, bytes]) -> None:
        members[name] = json.dumps(json.loads(members[name]) | values).encode()

    return change


def of_unknown_tables(members: dict[str, bytes]) -> None:
    """Bring a database whose migration nobody knows, under a manifest that says nothing of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.db"
        path.write_bytes(members["rows.db"])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE alembic_version SET version_num = 'zzzz'")
        members["rows.db"] = path.read_bytes()
    told("index.json", rows_sha256=hashlib.sha256(members["rows.db"]).hexdigest())(members)


def of_stored(act: Callable[[dict[str, bytes], str], None]) -> Change:
    return lambda members: act(members, next(name for name in members if name.startswith("files/")))


def other_rows(members: dict[str, bytes]) -> None:
    members["rows.db"] = b"this is no database" * 1000
    told("index.json", rows_sha256=hashlib.sha256(members["rows.db"]).hexdigest())(members)


def outside(members: dict[str, bytes]) -> None:
    index = json.loads(members["index.json"])
    index["files"]["../../outside"] = next(iter(index["files"].values()))
    members["index.json"] = json.dumps(index).encode()


def manifest_last(members: dict[str, bytes]) -> None:
    members["manifest.json"] = members.pop("manifest.json")


def test_it_works(backup, app):
    restored = restoring.restore(backup, PLAIN)
    assert (restored.breaches, restored.missing, restored.files) == ((), (), 1)
    assert db.session.scalar(select(func.count()).select_from(Organisation)) == 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (of_stored(lambda members, name: members.update({name: b"forged" + members[name]})), "was changed"),
        (of_stored(lambda members, name: members.pop(name)), "although it says so"),
        (of_stored(lambda members, name: members.update({"../../etc/cron.d/x": members[name]})), "never writes"),
        (lambda members: members.update({"/etc/passwd": b""}), "never writes"),
        (lambda members: members.pop("manifest.json"), "no backup of Fieldcard"),
        (manifest_last, "no backup of Fieldcard"),
        (lambda members: members.pop("index.json"), "not those that were written"),
        (lambda members: members.update({"rows.db": b"x" + members["rows.db"][1:]}), "not those that were written"),
        (other_rows, "cannot be read as a database"),
        (of_unknown_tables, "cannot be read as a database"),
        (outside, "never stores"),
        (told("index.json", files={}), "which is not in it"),
        (told("index.json", files=[]), "cannot be read"),
        (lambda members: members.update({"manifest.json": b"[" * 50_000}), "cannot be read"),
        (lambda members: members.update({"manifest.json": b" " * 100_000}), "too long to be true"),
        (told("manifest.json", format="fieldcard-backup/2"), "does not know"),
        (told("manifest.json", migration="9999"), "newer Fieldcard"),
        (told("manifest.json", secret="0" * 32), "another FIELDCARD_SECRET"),
    ],
)
def test_what_was_changed_is_refused_with_a_sentence_and_nothing_comes_in(backup, app, tmp_path, change, sentence):
    (tmp_path / "changed").write_bytes(repacked(backup, change))

    with pytest.raises(Refusal, match=sentence):
        restoring.restore(tmp_path / "changed", PLAIN)
    assert nothing_came_in()
    assert not (tmp_path / "outside").exists()


def test_repacking_alone_changes_nothing(backup, app, tmp_path):
    (tmp_path / "same").write_bytes(repacked(backup, lambda members: None))
    assert restoring.restore(tmp_path / "same", PLAIN).breaches == ()


def header(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, "/etc/passwd" if kind != tarfile.REGTYPE else ""
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda data: data[: len(data) // 2], "ends in the middle"),
        (lambda data: data[:-1024], "ends in the middle"),
        (lambda data: data + b"more", "Something follows"),
        (lambda data: data[:-1024] + header("rows.db") + bytes(1024), "twice"),
        (lambda data: header("rows.db", kind=tarfile.SYMTYPE) + data, "never writes"),
        (lambda data: header("rows.db", kind=tarfile.GNUTYPE_SPARSE) + data, "never writes"),
        (lambda data: header("manifest.json", 1 << 60) + data, "ends in the middle"),
        (gzip.compress, "no backup of Fieldcard"),
        (lambda data: b"", "ends in the middle"),
        (lambda data: bytes(5000), "Something follows"),
        (lambda data: os.urandom(5000), "no backup of Fieldcard"),
    ],
)
def test_a_spoilt_archive_is_refused_with_a_sentence(backup, app, tmp_path, spoil, sentence):
    (tmp_path / "spoilt").write_bytes(spoil(backup.read_bytes()))

    with pytest.raises(Refusal, match=sentence):
        restoring.restore(tmp_path / "spoilt", PLAIN)
    assert nothing_came_in()


@pytest.fixture(scope="module")
def key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that take no second each."""
    monkeypatch.setattr(passphrases, "WORK", 10)


def test_what_is_stored_twice_is_packed_once(cast, tmp_path):
    (tmp_path / "list.csv").write_text("first,last,id\n", "utf-8")
    for _ in range(2):
        copy = shutil.copy(tmp_path / "list.csv", tmp_path / "copy.csv")
        imports.upload(make_campaign(cast.owner), "list.csv", Path(copy), by=cast.owner)
    making.make(tmp_path / "backup", PLAIN)

    with tarfile.open(tmp_path / "backup") as tar:
        assert sum(name.startswith("files/") for name in tar.getnames()) == 1
        assert tar.getnames()[0] == "manifest.json"
    stored = all_files()
    with elsewhere(tmp_path / "there"):
        restoring.restore(tmp_path / "backup", PLAIN)
        assert all_files() == stored


def test_it_is_the_owners_alone_and_never_written_over(cast, tmp_path):
    making.make(tmp_path / "backup", PLAIN)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    data = (tmp_path / "backup").read_bytes()
    with pytest.raises(Conflict, match="never overwritten"):
        making.make(tmp_path / "backup", PLAIN)
    with pytest.raises(Conflict, match="no folder"):
        making.make(tmp_path / "nowhere" / "backup", PLAIN)
    assert (tmp_path / "backup").read_bytes() == data


def test_what_goes_wrong_leaves_no_file(cast, tmp_path, monkeypatch, key):
    for error, by in ((KeyboardInterrupt(), PLAIN), (OSError(28, "full"), sealing.recipients([str(key.to_public())]))):

        def moved(done: int, of: int, error: BaseException = error) -> None:
            raise error

        with pytest.raises(type(error)):
            making.make(tmp_path / "backup", by, moved)
    monkeypatch.setattr(making, "SPARE", 1 << 60)
    with pytest.raises(NoRoom, match="MB are free"):
        making.make(tmp_path / "backup", PLAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert list((tmp_path / "home" / "work").iterdir()) == []
    assert backups.made_last() is None


def test_it_is_not_restored_under_a_running_portal_or_without_room(backup, app, settings, monkeypatch):
    import fcntl

    with (settings.home / "supervisor.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        with pytest.raises(Conflict, match="stop it"):
            restoring.restore(backup, PLAIN)
    monkeypatch.setattr(restoring, "SPARE", 1 << 60)
    with pytest.raises(NoRoom, match="Nothing was written"):
        restoring.restore(backup, PLAIN)
    assert nothing_came_in()


KILLED = """
import os, signal, sys
from pathlib import Path
from app.backup import making, restoring
from app.backup.sealing import Nothing
from app.domain import backups
from app.factory import create_app
from app.settings import from_environment

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

with create_app(from_environment()).app_context():
    if sys.argv[1] == "backup":
        making.make(Path(sys.argv[2]), Nothing(), die)
    backups._make_way = die
    restoring.restore(Path(sys.argv[2]), Nothing())
"""


def killed(home: Path, what: str, file: Path) -> None:
    environment = os.environ | {"FIELDCARD_HOME": str(home), "FIELDCARD_SECRET": SECRET.decode(), "DATABASE_URL": ""}
    done = subprocess.run([sys.executable, "-c", KILLED, what, str(file)], cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL


def test_killed_in_the_middle_nothing_lies_under_its_name_and_the_next_one_works(saved, tmp_path):
    killed(saved, "backup", tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir()] == ["backup.part"]

    with elsewhere(saved):
        making.make(tmp_path / "backup", PLAIN)
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_a_restore_that_was_killed_is_started_again(saved, backup, app, settings):
    with elsewhere(saved):
        rows, stored = as_restored(all_rows()), all_files()
    rows["installation_fact"] = []  # that there is a backup was kept after it was made
    killed(settings.home, "restore", backup)
    assert not nothing_came_in()  # files, which belong to nothing yet
    assert db.session.scalar(select(func.count()).select_from(Organisation)) == 0

    assert restoring.restore(backup, PLAIN).breaches == ()
    assert (all_rows(), all_files()) == (rows, stored)


@pytest.fixture
def fieldcard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, migrated_file: Path) -> Callable:
    """The command, on a folder of its own that is migrated and empty unless told otherwise."""
    home = tmp_path / "new"
    home.mkdir()
    shutil.copy(migrated_file, home / "fieldcard.db")
    for name in ("DATABASE_URL", "FIELDCARD_BACKUP_RECIPIENT"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str, stdin: str = "", home: Path = home, secret: bytes = SECRET):
        monkeypatch.setenv("FIELDCARD_HOME", str(home))
        monkeypatch.setenv("FIELDCARD_SECRET", secret.decode())
        return CliRunner().invoke(main, list(words), input=stdin)

    return run


def test_without_a_seal_it_says_how_to_seal(fieldcard, saved, tmp_path):
    done = fieldcard("backup", str(tmp_path / "backup"), home=saved)
    assert done.exit_code == 1
    assert all(way in done.stderr for way in ("--recipient", "--passphrase-stdin", "--plain"))
    assert len(done.stderr.splitlines()) == 1
    twice = fieldcard("backup", str(tmp_path / "backup"), "--plain", "--passphrase-stdin", home=saved)
    assert (twice.exit_code, len(twice.stderr.splitlines())) == (1, 1)
    short = fieldcard("backup", str(tmp_path / "backup"), "--passphrase-stdin", stdin="short\n", home=saved)
    assert (short.exit_code, "too short" in short.stderr) == (1, True)
    assert not (tmp_path / "backup").exists()


def test_the_drill_with_a_key(fieldcard, saved, tmp_path, key, monkeypatch):
    (tmp_path / "key").write_text(f"{key}\n")
    monkeypatch.setenv("FIELDCARD_BACKUP_RECIPIENT", str(key.to_public()))
    with elsewhere(saved):
        rows = as_restored(all_rows())
    made = fieldcard("backup", str(tmp_path / "backup"), home=saved)
    assert (made.exit_code, made.stderr) == (0, "")
    assert "rows and 1 files" in made.stdout
    with elsewhere(saved):
        assert utc_now() - backups.made_last() < timedelta(minutes=2)

    other = fieldcard("restore", str(tmp_path / "backup"), "--identity", str(tmp_path / "key"), secret=b"x" * 32)
    assert other.exit_code == 1
    assert other.stderr.startswith("This backup was made with another FIELDCARD_SECRET")
    closed = fieldcard("restore", str(tmp_path / "backup"))
    assert (closed.exit_code, "--identity" in closed.stderr) == (1, True)
    done = fieldcard("restore", str(tmp_path / "backup"), "--identity", str(tmp_path / "key"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Everything that must always be true is true." in done.stdout
    assert fieldcard("doctor").stdout == ""
    with elsewhere(tmp_path / "new"):
        assert all_rows() == rows


def test_the_drill_with_a_passphrase(fieldcard, saved, tmp_path, cheap):
    made = fieldcard("backup", str(tmp_path / "backup"), "--passphrase-stdin", stdin=f"{WORDS}\n", home=saved)
    assert made.exit_code == 0, made.stderr
    wrong = fieldcard("restore", str(tmp_path / "backup"), "--passphrase-stdin", stdin="other words\n")
    assert (wrong.exit_code, wrong.stderr) == (1, "The passphrase does not open this backup.\n")
    done = fieldcard("restore", str(tmp_path / "backup"), "--passphrase-stdin", stdin=f"{WORDS}\n")
    assert done.exit_code == 0, done.stderr
    again = fieldcard("restore", str(tmp_path / "backup"), "--passphrase-stdin", stdin=f"{WORDS}\n")
    assert (again.exit_code, "empty one" in again.stderr) == (1, True)
    missing = fieldcard("restore", str(tmp_path / "missing"))
    assert (missing.exit_code, len(missing.stderr.splitlines())) == (1, 1)


def test_the_recipient_of_cron_is_a_setting():
    assert Settings(home=Path(), secret=SECRET).backup_recipient == ""
