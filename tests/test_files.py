"""The file store: whole or absent, and read back as one long file; in a folder and in S3 alike."""

import hashlib
import importlib.util
import os
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.awsrequest import AWSResponse
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st

from app import files, s3
from app.files import FolderStore, JoinedPieces, Piece, Store
from app.s3 import S3Error, S3Store
from app.settings import SettingsError, from_environment
from tests.buckets import CREDENTIALS, Bucket, Gate, checked_credentials, free_port, make_bucket, s3_server


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server."""
    with s3_server() as address:
        yield address


@pytest.fixture
def environment(monkeypatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment with credentials for S3, and nothing of this machine's own."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return monkeypatch


@pytest.fixture
def reach(environment):
    """Return a store for a bucket, reached as its environment says."""

    def reached(bucket: Bucket, url: str = "") -> S3Store:
        environment.setenv("AWS_ENDPOINT_URL_S3", bucket.endpoint)
        return S3Store(url or bucket.url)

    return reached


@pytest.fixture
def bucket(reach, server) -> S3Store:
    """A store in a fresh bucket."""
    return reach(make_bucket(server))


@pytest.fixture
def gate(server) -> Iterator[Gate]:
    """A gate before the S3 server."""
    gate = Gate(server)
    yield gate
    gate.close()


@pytest.fixture
def behind_gate(reach, server, gate) -> S3Store:
    """A store in a fresh bucket behind the gate."""
    return reach(make_bucket(server, through=gate.endpoint))


@pytest.fixture
def small_parts(monkeypatch) -> int:
    """How many bytes a part has here: the least that S3 takes."""
    part = 5 << 20
    monkeypatch.setattr(s3, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(s3, "TRANSFER", TransferConfig(multipart_threshold=part, multipart_chunksize=part))
    return part


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store of each kind, empty."""
    return FolderStore(tmp_path / "files") if request.param == "folder" else request.getfixturevalue("bucket")


@pytest.fixture
def put(tmp_path: Path):
    """Return what puts bytes into a store."""
    return partial(_put, draft=tmp_path / "draft")


def test_it_works(store, put):
    put(store, "parts/a/1.zip", b"cards")
    assert store.open("parts/a/1.zip").read() == b"cards"
    assert store.size("parts/a/1.zip") == 5
    assert -1 < store.age("parts/a/1.zip") < 60
    assert list(store.keys("parts/")) == ["parts/a/1.zip"]
    store.delete("parts/a/1.zip")
    store.delete("parts/a/1.zip")
    for asks in (store.open, store.size, store.age):
        with pytest.raises(FileNotFoundError):
            asks("parts/a/1.zip")
    assert store.problem() == ""


def test_a_file_put_again_is_the_newer_one_and_an_empty_file_is_a_file(store, put):
    put(store, "a", b"older and longer")
    put(store, "a", b"newer")
    assert store.open("a").read() == b"newer"
    put(store, "empty", b"")
    with store.open("empty") as stream:
        assert stream.read() == b"" and store.size("empty") == 0


def test_keys_are_found_by_how_they_begin(store, put):
    for key in ("imports/1", "jobs/1/pdf", "jobs/2/pdf"):
        put(store, key, b"x")
    assert sorted(store.keys("jobs/")) == ["jobs/1/pdf", "jobs/2/pdf"]
    assert len(list(store.keys())) == 3


def test_a_stored_file_can_be_read_anywhere(store, put):
    content = bytes(range(256)) * 20
    put(store, "a", content)
    with store.open("a") as stream:
        assert stream.seek(-16, os.SEEK_END) == len(content) - 16
        assert stream.read() == content[-16:]
        assert stream.read(1) == b""
        assert stream.seek(1_000) == stream.tell() == 1_000
        assert stream.read(300) == content[1_000:1_300]


def test_a_zip_in_the_store_opens(store, put, tmp_path):
    with zipfile.ZipFile(tmp_path / "made.zip", "w") as archive:
        for number in range(20):
            archive.writestr(f"cards/{number}.png", bytes([number]) * 5_000)
    pieces = [
        put(store, f"{number}", block)
        for number, block in enumerate(_blocks((tmp_path / "made.zip").read_bytes(), 30_001))
    ]
    with zipfile.ZipFile(JoinedPieces(store, pieces)) as archive:
        assert archive.testzip() is None and archive.read("cards/7.png") == bytes([7]) * 5_000


@pytest.mark.parametrize("key", ["../outside", "/etc/passwd", "a/../../b"])
def test_keys_stay_inside(store, key):
    with pytest.raises(ValueError, match="inside"):
        store.open(key)


def test_a_file_is_safe_on_the_disk_before_it_has_its_name_and_the_name_after(tmp_path, put, monkeypatch):
    """A rename that is on the disk before the bytes are is, after a power cut, a whole name of an empty file."""
    store, told = FolderStore(tmp_path / "files"), []
    sync, replace = files._sync, Path.replace
    monkeypatch.setattr(files, "_sync", lambda path: told.append(("sync", path.is_dir())) or sync(path))
    monkeypatch.setattr(
        Path, "replace", lambda path, target: told.append(("name", target.name == "a")) or replace(path, target)
    )
    put(store, "a", b"x")
    assert told[-3:] == [("sync", False), ("name", True), ("sync", True)]


@settings(deadline=None)
@given(
    contents=st.lists(st.binary(max_size=20), max_size=5),
    reads=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 50))),
)
def test_joined_pieces_read_like_one_file(tmp_path_factory, contents, reads):
    folder = tmp_path_factory.mktemp("joined")
    store = FolderStore(folder / "files")
    pieces = [_put(store, str(number), content, folder / "draft") for number, content in enumerate(contents)]
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


def test_a_large_file_goes_in_parts_and_says_that_it_moves(bucket, put, small_parts):
    content, steps = os.urandom(2 * small_parts + 1_000), []
    put(bucket, "large", content, moved=lambda: steps.append(1))
    head = bucket.client.head_object(Bucket=bucket.bucket, Key=f"{bucket.prefix}large")
    assert head["ETag"].endswith('-3"') and bucket.size("large") == len(content) and steps

    with bucket.open("large") as stream:
        stream.seek(small_parts - 10)
        assert stream.read(20) == content[small_parts - 10 : small_parts + 10]
        assert stream.read() == content[small_parts + 10 :]


def test_a_large_file_whose_lease_is_lost_leaves_no_part(bucket, put, small_parts):
    def lost():
        raise RuntimeError("the lease is lost")

    with pytest.raises(RuntimeError, match="lease"):
        put(bucket, "large", bytes(2 * small_parts), moved=lost)
    assert list(bucket.keys()) == [] and "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.bucket)


def test_unfinished_uploads_are_tidied_when_they_are_old(bucket):
    bucket.client.create_multipart_upload(Bucket=bucket.bucket, Key=f"{bucket.prefix}jobs/1/pdf")
    bucket.tidy(1e9)
    assert "Uploads" in bucket.client.list_multipart_uploads(Bucket=bucket.bucket)
    bucket.tidy(3_600)  # this server says of every upload that it began in 2010
    assert "Uploads" not in bucket.client.list_multipart_uploads(Bucket=bucket.bucket)


def test_reading_asks_for_ranges_and_reads_ahead(bucket, put, monkeypatch):
    put(bucket, "a", os.urandom(3 * s3.READ_AHEAD))
    asked = []
    monkeypatch.setattr(bucket, "fetch", _noting(asked, bucket.fetch))
    with bucket.open("a") as stream:
        stream.seek(s3.READ_AHEAD)
        for _ in range(200):
            stream.read(1_000)
    assert asked == [(s3.READ_AHEAD, s3.READ_AHEAD)]


def test_a_download_asks_once_for_each_piece_and_looks_at_the_first_beforehand(bucket, put, monkeypatch):
    for key in ("a", "b", "c"):
        put(bucket, key, key.encode() * 10)
    asked, head = [], bucket._head
    monkeypatch.setattr(bucket, "_head", lambda key: asked.append(key) or head(key))
    with JoinedPieces(bucket, [Piece(key, 10) for key in ("a", "b", "c")]) as joined:
        joined.begin()
        assert joined.read() == b"a" * 10 + b"b" * 10 + b"c" * 10
    assert asked == ["a"]


def test_many_keys_come_page_by_page(bucket, put, monkeypatch):
    for number in range(5):
        put(bucket, f"parts/{number}", b"x")
    pages = bucket.client.get_paginator("list_objects_v2")
    monkeypatch.setattr(bucket.client, "get_paginator", lambda _name: _SmallPages(pages))
    assert list(bucket.keys("parts/")) == [f"parts/{number}" for number in range(5)]


def test_two_prefixes_of_one_bucket_do_not_see_each_other(reach, server, put):
    made = make_bucket(server)
    ours, theirs = reach(made), reach(made, f"{made.url}-of-others")
    put(theirs, "a", b"theirs")
    assert list(ours.keys()) == [] and list(theirs.keys()) == ["a"]


def test_every_body_is_signed_also_over_tls(environment):
    """The store refuses what is not what was sent; no checksum header that only AWS knows."""
    environment.setenv("AWS_ENDPOINT_URL_S3", "https://s3.example.org")
    seen = []
    client = S3Store("s3://cards").client
    client.meta.events.register(
        "before-send.s3", lambda request, **_: seen.append(request) or AWSResponse(request.url, 200, {}, _Nothing())
    )
    client.put_object(Bucket="cards", Key="a", Body=b"cards")
    [request] = seen
    assert request.headers["X-Amz-Content-SHA256"].decode() == hashlib.sha256(b"cards").hexdigest()
    assert not [name for name in request.headers if "checksum" in name.lower()]


def test_an_answer_that_breaks_off_is_asked_for_again(behind_gate, gate, put, monkeypatch):
    monkeypatch.setattr(s3.time, "sleep", lambda _seconds: None)
    content = os.urandom(1 << 20)
    put(behind_gate, "a", content)
    with behind_gate.open("a") as stream:
        gate.cut_after, gate.cuts = 300_000, s3.TRIES - 1
        assert stream.read() == content
        assert gate.cuts == 0
        stream.seek(0)
        gate.cuts = 100
        with pytest.raises(OSError, match="does not answer"):
            stream.read()


def test_a_store_that_dies_in_the_middle_is_an_error_and_then_a_store_again(behind_gate, gate, put, tmp_path):
    put(behind_gate, "a", b"cards")
    gate.shut = True
    source = tmp_path / "b"
    source.write_bytes(b"new cards")
    for act in (
        lambda: behind_gate.put("b", source),
        lambda: behind_gate.open("a"),
        lambda: behind_gate.delete("a"),
        lambda: list(behind_gate.keys()),
    ):
        with pytest.raises(OSError, match="does not answer"):
            act()
    assert "does not answer" in behind_gate.problem()

    gate.shut = False
    assert behind_gate.problem() == "" and list(behind_gate.keys()) == ["a"]
    behind_gate.put("b", source)
    assert behind_gate.open("b").read() == b"new cards"


def test_a_bucket_that_is_not_there_is_said_and_is_no_missing_file(reach, server):
    store = reach(make_bucket(server), "s3://nowhere")
    assert "has no bucket nowhere: make it" in store.problem()
    with pytest.raises(S3Error, match="has no bucket nowhere"):
        store.open("a")
    with pytest.raises(S3Error, match="has no bucket nowhere"):
        list(store.keys())


def test_wrong_credentials_are_said(bucket, server, environment):
    with checked_credentials(server):
        assert "refuses our credentials" in bucket.problem() and "AWS_ACCESS_KEY_ID" in bucket.problem()
        with pytest.raises(S3Error, match="refuses our credentials"):
            bucket.open("a")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        environment.delenv(name)
    assert "needs credentials" in S3Store("s3://cards").problem()


def test_the_app_starts_also_while_its_store_is_away(environment, caplog):
    environment.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_port()}")
    app = Flask("app")
    store = files.connect(app, "s3://cards/here")
    assert app.extensions["fieldcard-files"] is store
    assert "does not answer" in caplog.text and "Until then" in caplog.text


@pytest.mark.parametrize("url", ["http://host/bucket", "s3://", "file:relative", "/folder", "s3://a?endpoint=b"])
def test_an_address_that_is_none_is_refused(tmp_path, url):
    with pytest.raises(SettingsError, match="FILES_URL is file:///FOLDER or s3://BUCKET/PREFIX"):
        from_environment({"FIELDCARD_HOME": str(tmp_path), "FILES_URL": url})


def test_a_bucket_without_its_library_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr("app.settings.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match="pip install boto3"):
        from_environment({"FIELDCARD_HOME": str(tmp_path), "FILES_URL": "s3://cards"})
    assert importlib.util.find_spec("boto3")


class _Nothing:
    """A body with nothing in it."""

    def stream(self) -> Iterator[bytes]:
        return iter(())


class _SmallPages:
    """A paginator that asks for two at a time."""

    def __init__(self, pages) -> None:
        self.pages = pages

    def paginate(self, **what):
        return self.pages.paginate(**what, PaginationConfig={"PageSize": 2})


def _blocks(content: bytes, length: int) -> Iterator[bytes]:
    return (content[start : start + length] for start in range(0, len(content), length))


def _noting(asked: list, fetch):
    def fetches(key: str, start: int, length: int) -> bytes:
        asked.append((start, length))
        return fetch(key, start, length)

    return fetches


def _put(store: Store, key: str, content: bytes, draft: Path, **options: object) -> Piece:
    draft.write_bytes(content)
    store.put(key, draft, **options)
    assert not draft.exists()
    return Piece(key, len(content))
