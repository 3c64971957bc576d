"""The file store: whole or absent, and read back as one long file."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.files import FolderStore, JoinedPieces, Piece


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "files")


def put(store: FolderStore, key: str, content: bytes) -> Piece:
    draft = store.folder.parent / "draft"
    draft.write_bytes(content)
    store.put(key, draft)
    return Piece(key, len(content))


def test_it_works(store):
    put(store, "parts/a/1.zip", b"cards")
    assert store.open("parts/a/1.zip").read() == b"cards"
    assert store.size("parts/a/1.zip") == 5
    assert list(store.keys("parts/")) == ["parts/a/1.zip"]
    store.delete("parts/a/1.zip")
    store.delete("parts/a/1.zip")
    with pytest.raises(FileNotFoundError):
        store.open("parts/a/1.zip")


def test_a_file_that_could_not_be_put_leaves_nothing(store, monkeypatch):
    def fails(_path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.files._sync", fails)
    with pytest.raises(OSError, match="No space"):
        put(store, "a", b"x")
    assert list(store.keys()) == []
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b"])
def test_keys_stay_inside(store, key):
    with pytest.raises(ValueError, match="inside"):
        store.open(key)


@settings(deadline=None)
@given(
    contents=st.lists(st.binary(max_size=20), max_size=5),
    reads=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 50))),
)
def test_joined_pieces_read_like_one_file(tmp_path_factory, contents, reads):
    store = FolderStore(tmp_path_factory.mktemp("joined") / "files")
    pieces = [put(store, str(number), content) for number, content in enumerate(contents)]
    whole = b"".join(contents)
    with JoinedPieces(store, pieces) as joined:
        assert joined.length == len(whole)
        for start, length in reads:
            joined.seek(start)
            read = b""
            while len(read) < length and (more := joined.read(length - len(read))):
                read += more
            assert read == whole[start : start + length]
        assert joined.seek(0, os.SEEK_END) == len(whole)
