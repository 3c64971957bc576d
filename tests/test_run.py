"""`./run` from the outside, in a copy of its own, with a stand-in for Python that notes what it is asked to do."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.settings import ROOT

TOOLS = ("sh", "dirname", "cksum", "grep", "mkdir", "rm", "cat", "cp", "chmod", "sleep")
PYTHON = """#!/bin/sh
echo "$*" >>"$NOTES"
case "$*" in
-V) echo Python 3.11.7 ;;
"-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
*" -r "*) eval "${ON_INSTALL-}" ;;
*" -e "*)
    command=${0%/*}/fieldcard
    printf '%s\\n' '#!/bin/sh' pwd 'printf "<%s>" "$@"' >"$command" && chmod +x "$command"
    ;;
"-c import fcntl"*) exec "$REAL_PYTHON" "$@" ;;
esac
"""


class Checkout:
    """A copy of the checkout, in a folder with spaces, and the few programs that `run` finds on its PATH."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a copy  with spaces"
        self.root.mkdir()
        for name in ("run", "requirements.txt", "requirements-scale.txt", "requirements-dev.txt"):
            shutil.copy(ROOT / name, self.root)
        self.programs = folder / "programs"
        self.programs.mkdir()
        for tool in TOOLS:
            (self.programs / tool).symlink_to(shutil.which(tool))
        self.notes = folder / "notes"
        self.elsewhere = folder / "elsewhere"
        self.elsewhere.mkdir()

    def give_python(self, script: str = PYTHON) -> None:
        python = self.programs / "python3"
        python.write_text(script)
        python.chmod(0o755)

    def begin(self, *words: str, **environment: str) -> subprocess.Popen:
        surroundings = {"PATH": str(self.programs), "NOTES": str(self.notes), "REAL_PYTHON": sys.executable}
        return subprocess.Popen(
            [self.root / "run", *words],
            cwd=self.elsewhere,
            env=surroundings | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> tuple[int, str, str]:
        """Run `./run WORDS` and return its exit code, what it printed and what it complained about."""
        process = self.begin(*words, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def asked(self, what: str) -> list[str]:
        """What Python was asked to do since the last time, as far as it speaks of `what`."""
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return [line for line in lines if what in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    checkout = Checkout(tmp_path)
    checkout.give_python()
    return checkout


def test_it_works(checkout: Checkout):
    code, out, _ = checkout.run()

    assert code == 0
    assert out == f"{checkout.elsewhere}\n<serve>"


def test_help_explains_and_prepares_nothing(checkout: Checkout):
    code, out, _ = checkout.run("--help")

    assert code == 0
    assert "./run test" in out
    assert not (checkout.root / ".venv").exists()


def test_other_words_go_to_fieldcard_from_where_one_stands(checkout: Checkout):
    code, out, _ = checkout.run("generate", "my people.csv", "*")

    assert (code, out) == (0, f"{checkout.elsewhere}\n<generate><my people.csv><*>")


def test_packages_come_pinned_hashed_and_built(checkout: Checkout):
    checkout.run("setup")

    [install] = checkout.asked(" -r ")
    assert "--require-hashes --only-binary :all:" in install
    assert install.endswith(f"-r {checkout.root}/requirements.txt")


def test_a_second_start_prepares_nothing(checkout: Checkout):
    checkout.run("setup")
    checkout.asked("")

    assert checkout.run("setup") == (0, "", "")
    assert checkout.asked("") == ["-V"]


def test_other_pins_are_installed(checkout: Checkout):
    checkout.run("setup")
    checkout.asked("")
    with (checkout.root / "requirements.txt").open("a") as pins:
        pins.write("# newer\n")

    checkout.run("setup")

    assert checkout.asked(" -r ")


@pytest.mark.parametrize(
    ("setting", "value", "brings"),
    [
        ("DATABASE_URL", "postgresql://localhost/cards", "requirements-scale.txt"),
        ("FILES_URL", "s3://cards", "requirements-scale.txt"),
        ("FILES_URL", "file:///srv/files", "requirements.txt"),
    ],
)
def test_what_is_elsewhere_brings_its_driver(checkout: Checkout, setting, value, brings):
    checkout.run("setup", **{setting: value})

    assert checkout.asked(" -r ")[0].endswith(brings)


def test_tests_bring_everything_and_serve_all_other_starts(checkout: Checkout):
    assert checkout.run("test", "tests/test_run.py")[0] == 0
    [install, tests] = [line for line in checkout.asked("") if " -r " in line or "-m pytest" in line]
    assert install.endswith("requirements-dev.txt")
    assert tests.endswith("tests/test_run.py")

    checkout.run("setup")
    checkout.run("setup", QUEUE_URL="redis://localhost")
    checkout.run("test", "--long")
    again = checkout.asked("")
    assert not [line for line in again if " -r " in line]
    assert again[-1].endswith("--long")


def test_after_an_interruption_it_begins_anew(checkout: Checkout):
    half = checkout.root / ".venv" / "half-written"

    code, _, _ = checkout.run(ON_INSTALL=f": >'{half}'; kill -9 $PPID")
    assert code == -signal.SIGKILL
    assert half.exists()

    assert checkout.run()[0] == 0
    assert not half.exists()


def test_a_failed_preparation_leaves_the_last_one_usable(checkout: Checkout):
    checkout.run("setup")

    code, _, err = checkout.run("test", ON_INSTALL="exit 1")
    assert code == 1
    assert "could not be had" in err

    checkout.asked("")
    assert checkout.run()[0] == 0
    assert not checkout.asked(" -r ")


def test_two_starts_at_once_take_turns(checkout: Checkout):
    both = [checkout.begin(ON_INSTALL="sleep 0.3") for _ in range(2)]

    for process in both:
        process.communicate(timeout=60)

    assert [process.returncode for process in both] == [0, 0]
    assert len(checkout.asked(" -r ")) == 1


def test_a_moved_checkout_prepares_again(checkout: Checkout):
    checkout.run("setup")
    checkout.asked("")
    checkout.root = checkout.root.rename(checkout.root.with_name("moved"))

    assert checkout.run()[0] == 0
    assert checkout.asked(" -r ")


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        ("", "needs Python 3.11 or newer"),
        ("#!/bin/sh\nexit 1\n", "needs Python 3.11 or newer"),
        ("#!/bin/sh\ncase $2 in *ensurepip*) exit 1 ;; esac\n", "apt install python3-venv"),
    ],
    ids=["none", "too old", "without venv"],
)
def test_without_a_fitting_python_it_says_what_to_install(checkout: Checkout, python: str, sentence: str):
    checkout.give_python(python) if python else (checkout.programs / "python3").unlink()

    code, out, err = checkout.run()

    assert (code, out) == (1, "")
    assert sentence in err
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("larger", ["requirements-scale.txt", "requirements-dev.txt"])
def test_the_longer_lists_hold_the_basic_one(larger: str):
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^[\w.\[\]-]+==[^\s\\]+", (ROOT / name).read_text(), re.MULTILINE))

    assert pins("requirements.txt") <= pins(larger)


@pytest.mark.long
def test_a_fresh_copy_installs_from_wheels_alone(tmp_path: Path):
    copy = tmp_path / "fresh copy"
    leave_out = shutil.ignore_patterns(".venv", "var", ".git", "__pycache__", "*.egg-info", "node_modules")
    shutil.copytree(ROOT, copy, ignore=leave_out)

    subprocess.run([copy / "run", "setup"], cwd=tmp_path, check=True, timeout=280, env=os.environ | {"CC": "false"})

    again = subprocess.run([copy / "run", "--help"], cwd=tmp_path, check=True, timeout=30, capture_output=True)
    assert b"./run setup" in again.stdout
    subprocess.run([copy / ".venv/bin/python", "-c", "import app.supervisor"], cwd=tmp_path, check=True, timeout=30)
