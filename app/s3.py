"""The file store in S3, or in what speaks its language (MinIO, Ceph, Garage …): a key is an object under a prefix.

Imported only where FILES_URL begins with s3://, because boto3 is an extra and slow to load. Endpoint, region and
credentials are boto3's own affair (AWS_ENDPOINT_URL_S3, AWS_DEFAULT_REGION, AWS_ACCESS_KEY_ID …). Whatever goes wrong
is an OSError with a sentence, as it is with a folder.
"""

import errno
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from s3transfer.subscribers import BaseSubscriber

from app.settings import SettingsError

PART_BYTES = 32 << 20  # a larger file goes in parts of so many bytes; with 10,000 of them, 320 GB fit
READ_AHEAD = 2 << 20  # bytes asked for at once; small reads come out of them
TRIES = 4  # of each request, and of a body that breaks off
PATIENCE = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": TRIES},
    max_pool_connections=64,
    tcp_keepalive=True,
    # The checksums that botocore adds by itself are unknown to many stores. Instead the SHA-256 of every body is in the
    # request's signature, also over TLS: whoever understands version 4 refuses a body that is not what was signed.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    s3={"payload_signing_enabled": True},
)
GLANCE = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 1})
TRANSFER = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=4)
LOOK_EVERY = 0.5  # seconds between two looks at an upload

GONE = {"404", "NoSuchKey", "NotFound"}
REFUSED = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
ELSEWHERE = {"301", "307", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
FULL = {"507", "QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}


class S3Error(OSError):
    """The store cannot be reached, or says no. It may pass, so the work rests and people are asked to come back."""

    def __init__(self, sentence: str, number: int = errno.EREMOTEIO) -> None:
        super().__init__(number, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


class S3Store:
    """Files as objects of one bucket."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self.bucket = place.netloc
        self.prefix = f"{folder}/" if (folder := place.path.strip("/")) else ""
        session = boto3.session.Session()
        region = session.region_name or "us-east-1"  # what most stores that have no regions call theirs
        try:
            self.client = session.client("s3", region, config=PATIENCE)
            self.glance = session.client("s3", region, config=GLANCE)
        except (BotoCoreError, ValueError) as error:
            raise SettingsError(f"The file store of FILES_URL cannot be used: {error}") from None

    def put(self, key: str, source: Path, moved: Callable[[], None] = lambda: None) -> None:
        length = source.stat().st_size
        watch = _Watch()
        # Whatever is raised in here cancels the upload and removes its parts.
        with self._in_words(key), create_transfer_manager(self.client, TRANSFER) as manager:
            future = manager.upload(str(source), self.bucket, self._name(key), subscribers=[watch])
            watch.wait(moved)
            future.result()
        if self.size(key) != length:
            raise S3Error(f"The file store did not keep the whole of {key}.")
        source.unlink()

    def open(self, key: str, length: int | None = None) -> BinaryIO:
        length = self.size(key) if length is None else length
        return cast(BinaryIO, io.BufferedReader(_Remote(self, key, length), READ_AHEAD))

    def size(self, key: str) -> int:
        return int(self._head(key)["ContentLength"])

    def age(self, key: str) -> float:
        """By the store's own clock: ours may be wrong, or be set right just now."""
        head = self._head(key)
        said = head["ResponseMetadata"]["HTTPHeaders"].get("date")
        now = parsedate_to_datetime(said) if said else datetime.now(UTC)
        return (now - head["LastModified"]).total_seconds()

    def delete(self, key: str) -> None:
        try:
            with self._in_words(key):
                self.client.delete_object(Bucket=self.bucket, Key=self._name(key))
        except FileNotFoundError:
            return  # S3 itself does not mind; some of its like do

    def keys(self, prefix: str = "") -> Iterator[str]:
        with self._in_words():
            pages = self.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix):
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(self.prefix)

    def tidy(self, older_than: float) -> None:
        """MinIO lists no unfinished uploads by prefix; it removes them itself after a day."""
        with self._in_words():
            pages = self.client.get_paginator("list_multipart_uploads")
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix):
                for begun in page.get("Uploads", ()):
                    if (datetime.now(UTC) - begun["Initiated"]).total_seconds() > older_than:
                        what = {"Bucket": self.bucket, "Key": begun["Key"], "UploadId": begun["UploadId"]}
                        self.client.abort_multipart_upload(**what)

    def free_bytes(self) -> int | None:
        return None

    def problem(self) -> str:
        try:
            self.glance.head_bucket(Bucket=self.bucket)
        except (ClientError, BotoCoreError) as error:
            return str(self._problem(error))
        return ""

    def fetch(self, key: str, start: int, length: int) -> bytes:
        """Return so many bytes of the object; asks again when the answer breaks off in the middle."""
        part = f"bytes={start}-{start + length - 1}"
        with self._in_words(key):
            for turn in range(1, TRIES + 1):
                answer = self.client.get_object(Bucket=self.bucket, Key=self._name(key), Range=part)
                try:
                    data = answer["Body"].read()
                    break
                except BotoCoreError:
                    if turn == TRIES:
                        raise
                    time.sleep(turn / 2)
        if len(data) != length:
            raise S3Error(f"The file store did not give {part} of {key}.")
        return data

    def _head(self, key: str) -> dict[str, Any]:
        with self._in_words(key):
            return self.client.head_object(Bucket=self.bucket, Key=self._name(key))

    def _name(self, key: str) -> str:
        if {"", ".", ".."} & set(key.split("/")):
            raise ValueError(f"A key must stay inside the store: {key!r}")
        return self.prefix + key

    @contextmanager
    def _in_words(self, key: str = "") -> Iterator[None]:
        """Turn what boto3 raises into FileNotFoundError or S3Error."""
        try:
            yield
        except ClientError as error:
            if _code(error) not in GONE:
                raise self._problem(error) from error
            # To HEAD a bucket that is gone looks like a file that is gone; one is a wrong setting, the other final.
            if sentence := self.problem():
                raise S3Error(sentence) from error
            raise FileNotFoundError(errno.ENOENT, "There is no such file in the store", key) from error
        except BotoCoreError as error:
            raise self._problem(error) from error

    def _problem(self, error: ClientError | BotoCoreError) -> S3Error:
        place = self.client.meta.endpoint_url
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return S3Error(
                "The file store needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and start again."
            )
        if not isinstance(error, ClientError):
            return S3Error(f"The file store at {place} does not answer ({type(error).__name__}).")
        code = _code(error)
        if code in GONE | {"NoSuchBucket"}:
            return S3Error(f"The file store at {place} has no bucket {self.bucket}: make it, or mend FILES_URL.")
        if code in REFUSED:
            return S3Error(
                f"The file store at {place} refuses our credentials ({code}): set AWS_ACCESS_KEY_ID and "
                f"AWS_SECRET_ACCESS_KEY to a key that may read, write, delete and list in the bucket {self.bucket}."
            )
        if code in ELSEWHERE:
            return S3Error(f"The bucket {self.bucket} is in another region ({code}): set AWS_DEFAULT_REGION to it.")
        if code in FULL:
            return S3Error(f"The file store at {place} is full ({code}).", errno.ENOSPC)
        return S3Error(f"The file store at {place} answered {code}.")


class _Watch(BaseSubscriber):
    """Looks on while an upload goes its way in threads of its own."""

    def __init__(self) -> None:
        self.steps = 0
        self.done = threading.Event()

    def wait(self, moved: Callable[[], None]) -> None:
        """Return when the upload has ended, well or not; call `moved` now and then while it moves."""
        seen = 0
        while not self.done.wait(LOOK_EVERY):
            if self.steps != seen:
                seen = self.steps
                moved()

    def on_progress(self, **_: Any) -> None:
        self.steps += 1

    def on_done(self, **_: Any) -> None:
        self.done.set()


class _Remote(io.RawIOBase):
    """An object as a file: every read is one request for a range, so what asks should ask for much."""

    def __init__(self, store: S3Store, key: str, length: int) -> None:
        self.store = store
        self.key = key
        self.length = length
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.length}[whence]
        self.position = max(0, base + offset)
        return self.position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._next(self.length)

    def _next(self, most: int) -> bytes:
        length = min(most, self.length - self.position)
        if length <= 0:
            return b""
        data = self.store.fetch(self.key, self.position, length)
        self.position += length
        return data


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
