"""The third-party scripts that travel with Fieldcard are the ones that VENDOR.toml names, byte for byte."""

import hashlib
import tomllib
from pathlib import Path

import pytest

VENDOR = Path(__file__).parent.parent / "static" / "vendor"
RECORDS = tomllib.loads((VENDOR / "VENDOR.toml").read_text("utf-8"))["file"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["name"])
def test_a_file_is_the_one_recorded(record: dict) -> None:
    assert hashlib.sha256((VENDOR / record["name"]).read_bytes()).hexdigest() == record["sha256"]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["name"])
def test_its_licence_travels_with_it(record: dict) -> None:
    assert record["packages"] and record["licence"] and record["source"]
    for text in record["licence_texts"]:
        assert len((VENDOR / text).read_text("utf-8")) > 300


def test_no_script_stands_there_unrecorded() -> None:
    recorded = {record["name"] for record in RECORDS}

    assert {file.name for file in VENDOR.glob("*.min.js")} == recorded
