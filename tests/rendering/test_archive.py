"""The ZIP in pieces: it opens everywhere, also beyond four gigabytes and 65,535 members."""

import io
import struct
import zipfile
from datetime import UTC, datetime

from app.rendering.archive import Member, Run, directory

MADE = datetime(2026, 3, 9, 10, 30, 43, tzinfo=UTC)


def test_it_works():
    first, second = io.BytesIO(), io.BytesIO()
    a = Run(first, MADE).add("a.png", b"first")
    run = Run(second, MADE)
    b, c = run.add("b.png", b"second"), run.add("c.png", b"")
    pieces = first.getvalue() + second.getvalue()
    start = len(first.getvalue())
    whole = pieces + directory([(a, 0), (b, start), (c, start)], len(pieces), MADE)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a.png": b"first",
            "b.png": b"second",
            "c.png": b"",
        }
        assert archive.getinfo("a.png").date_time == (2026, 3, 9, 10, 30, 42)


def test_beyond_four_gigabytes_offsets_take_64_bits():
    """The file is sparse, so that seven gigabytes of it need no room."""
    run = io.BytesIO()
    far = Run(run, MADE).add("far.png", b"far away")
    before = 7 * 1024**3
    whole = _Sparse(before, run.getvalue() + directory([(far, before)], before + len(run.getvalue()), MADE))
    with zipfile.ZipFile(whole) as archive:
        assert archive.getinfo("far.png").header_offset == before
        assert archive.read("far.png") == b"far away"


def test_more_members_than_16_bits_can_count():
    out = io.BytesIO()
    run = Run(out, MADE)
    members = [(run.add(f"{number}.png", b"x"), 0) for number in range(65_536)]
    whole = out.getvalue() + directory(members, len(out.getvalue()), MADE)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert len(archive.namelist()) == 65_536
        assert archive.read("65535.png") == b"x"


def test_an_offset_that_just_fits_needs_no_extra_field():
    member = Member("a.png", 0, 1, 0, "")
    fits = directory([(member, 0xFFFFFFFE)], 0xFFFFFFFF, MADE)
    larger = directory([(member, 0xFFFFFFFF)], 0xFFFFFFFF, MADE)
    assert struct.unpack_from("<I", fits, 42)[0] == 0xFFFFFFFE
    assert len(larger) == len(fits) + 12


def test_a_member_survives_storing():
    member = Run(io.BytesIO(), MADE).add("a.png", b"a")
    assert Member.from_json(member.to_json()) == member


class _Sparse(io.RawIOBase):
    """Zeros, and then some bytes."""

    def __init__(self, zeros: int, tail: bytes) -> None:
        self.zeros, self.tail, self.position = zeros, tail, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self.position, self.zeros + len(self.tail))[whence]
        if base + offset < 0:
            raise OSError("before the beginning")
        self.position = base + offset
        return self.position

    def read(self, size: int = -1) -> bytes:
        start = self.position - self.zeros
        assert start >= 0, "nobody has to read the zeros"
        data = self.tail[start:] if size < 0 else self.tail[start : start + size]
        self.position += len(data)
        return data
