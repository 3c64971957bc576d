"""The file store in a folder: what is on the disk when, and what is said when it cannot be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app import files
from app.files import FolderStore


def put(store: FolderStore, key: str, moved: Callable[[], None] = lambda: None) -> None:
    """Put a byte under the key."""
    draft = store.folder.parent / "draft"
    draft.write_bytes(b"x")
    store.put(key, draft, moved)


def test_a_file_that_could_not_be_put_leaves_nothing(tmp_path, monkeypatch):
    def fails(_path):
        raise OSError(28, "No space left on device")

    store = FolderStore(tmp_path / "files")
    monkeypatch.setattr("app.files._sync", fails)
    with pytest.raises(OSError, match="No space"):
        put(store, "a")
    assert list(store.keys()) == []
    assert not [path for path in store.folder.rglob("*") if path.is_file()]


def test_also_the_folders_that_lead_to_a_file_are_safe_on_the_disk(tmp_path, monkeypatch):
    store, told = FolderStore(tmp_path / "files"), []
    monkeypatch.setattr(files, "_sync", lambda path: told.append(path))
    put(store, "parts/job/piece")
    parts = store.folder / "parts"
    assert told[:2] == [store.folder, parts] and told[-1] == parts / "job"


def test_what_a_putting_says_of_its_way_can_end_it(tmp_path, monkeypatch):
    """A folder on another file system takes a copy, in which a lease must be kept, and may be lost."""

    def lost():
        raise RuntimeError("the lease is lost")

    store = FolderStore(tmp_path / "files")
    monkeypatch.setattr(Path, "replace", _across_file_systems)
    with pytest.raises(RuntimeError, match="lease"):
        put(store, "a", moved=lost)
    assert list(store.keys()) == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    assert "mount it" in FolderStore(tmp_path / "file" / "below").problem()


def _across_file_systems(self: Path, target: Path) -> None:
    raise OSError(18, "Invalid cross-device link")
