"""Sealing a stream under a passphrase, as age does it: https://age-encryption.org/v1, the `scrypt` stanza.

pyrage does this for bytes in memory only; a backup is larger. The files are age files like any other: `age -d` opens
them, and what `age -p` made is opened here.
"""

import base64
import binascii
import hmac
import os
import re
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from app.backup.streams import Readable

INTRO = b"age-encryption.org/v1\n"
LABEL = b"age-encryption.org/v1/scrypt"
WORK = 18  # as age: 2 to the 18th, 256 MB and about a second
MOST_WORK = 20  # more would let a file choose how long and how large this process gets
CHUNK = 64 * 1024
TAG = 16
HEADER = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)\n([A-Za-z0-9+/]{43})\n--- ([A-Za-z0-9+/]{43})\n")
LONGEST_HEADER = 200


class WrongPassphrase(Exception):
    """The passphrase does not open the file."""


class NotSealed(Exception):
    """The stream is no age file under a passphrase, or was changed or cut off."""


def sealed(stream: Readable, passphrase: str) -> Iterator[bytes]:
    """Yield the stream, encrypted."""
    salt, nonce, file_key = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapped = ChaCha20Poly1305(_wrapping(passphrase, salt, WORK)).encrypt(bytes(12), file_key, None)
    header = INTRO + b"-> scrypt %s %d\n%s\n---" % (_spelled(salt), WORK, _spelled(wrapped))
    yield header + b" " + _spelled(_mac(file_key, header)) + b"\n" + nonce
    cipher = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
    chunk, number = stream.read(CHUNK), 0
    while following := stream.read(CHUNK):
        yield cipher.encrypt(_nonce(number, last=False), chunk, None)
        chunk, number = following, number + 1
    yield cipher.encrypt(_nonce(number, last=True), chunk, None)


def opened(stream: Readable, passphrase: str) -> Iterator[bytes]:
    """Yield what was sealed; every piece is proven before it is given, and the end is proven to be the end.

    Raises WrongPassphrase before anything is given, NotSealed wherever the stream is not as it was written.
    """
    cipher = ChaCha20Poly1305(_payload_key(stream, passphrase))
    chunk, number = stream.read(CHUNK + TAG), 0
    try:
        while following := stream.read(CHUNK + TAG):
            yield cipher.decrypt(_nonce(number, last=False), chunk, None)
            chunk, number = following, number + 1
        yield cipher.decrypt(_nonce(number, last=True), chunk, None)
    except InvalidTag:
        raise NotSealed from None


def _payload_key(stream: Readable, passphrase: str) -> bytes:
    """Read the header and return the key of what follows."""
    if stream.read(len(INTRO)) != INTRO:
        raise NotSealed
    lines = _lines(stream)
    found = HEADER.fullmatch(lines)
    if not found or int(found[2]) > MOST_WORK:
        raise NotSealed
    salt, wrapped, mac = (_read(found[group]) for group in (1, 3, 4))
    try:
        file_key = ChaCha20Poly1305(_wrapping(passphrase, salt, int(found[2]))).decrypt(bytes(12), wrapped, None)
    except InvalidTag:
        raise WrongPassphrase from None
    signed = INTRO + lines[: lines.index(b"---") + 3]
    if not hmac.compare_digest(mac, _mac(file_key, signed)):
        raise NotSealed
    return _derived(file_key, stream.read(16), b"payload")


def _lines(stream: Readable) -> bytes:
    """Return the header's lines after the first, up to the one that begins with ---."""
    lines = b""
    while not (lines.endswith(b"\n") and lines[lines[:-1].rfind(b"\n") + 1 :].startswith(b"---")):
        byte = stream.read(1)
        if not byte or len(lines) > LONGEST_HEADER:
            raise NotSealed
        lines += byte
    return lines


def _wrapping(passphrase: str, salt: bytes, work: int) -> bytes:
    return Scrypt(salt=LABEL + salt, length=32, n=1 << work, r=8, p=1).derive(passphrase.encode())


def _derived(file_key: bytes, salt: bytes | None, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=purpose).derive(file_key)


def _mac(file_key: bytes, header: bytes) -> bytes:
    return hmac.digest(_derived(file_key, None, b"header"), header, "sha256")


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _spelled(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _read(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise NotSealed from None
