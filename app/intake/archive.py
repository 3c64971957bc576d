"""Workbooks that are ZIP files: proof that one unpacks to a sensible size before any library opens it."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.intake.errors import Unreadable
from app.sentences import N_, say

MAX_ENTRIES = 2_000
MAX_UNPACKED = 100 * 1024 * 1024  # bytes; a sheet of 100,000 rows and 20 columns stays below
MAX_RATIO = 100  # unpacked / packed
SMALL = 10 * 1024 * 1024  # bytes; below this the ratio harms nobody: empty formatted rows pack very well

DAMAGED = N_(
    "This file is damaged and cannot be opened. Open it in your spreadsheet program, save it again as an Excel "
    "workbook (.xlsx) and choose the new file."
)
PASSWORD = N_("This file is protected by a password. Remove the password, save the file and choose it again.")
BOMB = N_("This file unpacks to far more than it should. Copy the table to a new workbook and choose that one.")
FOREIGN_XML = N_(
    "This file holds parts that no spreadsheet program writes. Save it again as an Excel workbook (.xlsx)."
)

_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@contextmanager
def open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Give the ZIP file for reading; whatever is wrong inside becomes Unreadable."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _FAULTS:
        raise Unreadable(say(DAMAGED)) from None


def check_archive(path: Path) -> frozenset[str]:
    """Return the names inside the archive; raise Unreadable for a bomb, a password, or damage.

    Every entry is unpacked once, because an entry may hold more than its header claims: the reader is told to
    expect one byte more than claimed and must still end exactly at the claim.
    """
    with open_archive(path) as archive:
        entries = archive.infolist()
        names = frozenset(entry.filename for entry in entries)
        unpacked = sum(entry.file_size for entry in entries)
        if len(entries) > MAX_ENTRIES or unpacked > MAX_UNPACKED:
            raise Unreadable(say(BOMB))
        if unpacked > max(SMALL, MAX_RATIO * path.stat().st_size):
            raise Unreadable(say(BOMB))
        if len(names) < len(entries):
            raise Unreadable(say(DAMAGED))
        for entry in entries:
            _check_entry(archive, entry)
    return names


def _check_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 0x1:
        raise Unreadable(say(PASSWORD))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise Unreadable(say(DAMAGED))

    # Old OpenOffice wrote a document type into its manifest, which nobody here reads.
    is_xml = entry.filename.endswith((".xml", ".rels")) and not entry.filename.startswith("META-INF/")
    claimed = entry.file_size
    entry.file_size += 1
    size, tail = 0, b""
    with archive.open(entry) as file:
        while block := file.read(1 << 18):
            size += len(block)
            if is_xml and (b"<!DOCTYPE" in tail + block or b"<!ENTITY" in tail + block):
                raise Unreadable(say(FOREIGN_XML))
            tail = block[-16:]
    entry.file_size = claimed
    if size > claimed:
        raise Unreadable(say(BOMB))
    if size < claimed:
        raise Unreadable(say(DAMAGED))
