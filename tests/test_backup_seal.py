"""The seal of a backup and the stream under it: age's own format, in bounded memory, opened by nobody else."""

import io
import os

import pyrage
import pytest

from app.backup import archive, passphrases, sealing
from app.backup.sealing import Identities, Nothing, Passphrase
from app.backup.streams import Pulled
from app.domain.errors import Refusal

WORDS = "six words that nobody else knows"


def seal(data: bytes, by: sealing.Seal) -> bytes:
    out = io.BytesIO()
    sealing.seal(io.BytesIO(data), out, by)
    return out.getvalue()


def unseal(data: bytes, by: sealing.Opener) -> bytes:
    with sealing.opened(io.BytesIO(data), by) as stream:
        return b"".join(sealing.blocks(stream))


@pytest.fixture(scope="module")
def key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passphrases that take no second each."""
    monkeypatch.setattr(passphrases, "WORK", 10)


CHUNK = passphrases.CHUNK


@pytest.mark.parametrize("length", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 5_000_000])
def test_a_seal_gives_back_what_it_closed_and_age_understands_it(length, key, cheap):
    data = os.urandom(length)
    for_key = seal(data, sealing.recipients([str(key.to_public())]))
    assert unseal(for_key, Identities((key,))) == data == pyrage.decrypt(for_key, [key])
    by_words = seal(data, Passphrase(WORDS))
    assert unseal(by_words, Passphrase(WORDS)) == data == pyrage.passphrase.decrypt(by_words, WORDS)


def test_what_age_sealed_with_a_passphrase_is_opened():
    assert unseal(pyrage.passphrase.encrypt(b"hello", WORDS), Passphrase(WORDS)) == b"hello"


def test_no_seal_opens_for_others_or_after_a_change(key, cheap):
    data = os.urandom(200_000)
    stranger = pyrage.x25519.Identity.generate()
    for sealed, mine, wrong in (
        (seal(data, sealing.recipients([str(key.to_public())])), Identities((key,)), Identities((stranger,))),
        (seal(data, Passphrase(WORDS)), Passphrase(WORDS), Passphrase("another " + WORDS)),
    ):
        with pytest.raises(sealing.CannotOpen, match=r"none of them opens|does not open"):
            unseal(sealed, wrong)
        changed = bytearray(sealed)
        changed[-70_000] ^= 1
        for spoilt in (bytes(changed), sealed[:-1], sealed[: -len(sealed) % CHUNK or -CHUNK], sealed[:150]):
            with pytest.raises(sealing.CannotOpen, match=r"seal is broken"):
                unseal(spoilt, mine)
        with pytest.raises(sealing.CannotOpen, match=r"--identity|--passphrase-stdin"):
            unseal(sealed, Nothing())
    with pytest.raises(sealing.CannotOpen, match="is not sealed"):
        unseal(data, Identities((key,)))


def test_a_file_cannot_choose_how_long_its_passphrase_takes(cheap):
    sealed = seal(b"", Passphrase(WORDS)).replace(b" 10\n", b" 30\n", 1)
    with pytest.raises(sealing.CannotOpen, match="seal is broken"):
        unseal(sealed, Passphrase(WORDS))


@pytest.mark.parametrize(
    ("listed", "sentence"), [(["age1nonsense"], "no public key"), (["# nobody"], "There is no public key")]
)
def test_nonsense_is_no_recipient(listed, sentence):
    with pytest.raises(Refusal, match=sentence):
        sealing.recipients(listed)


def test_a_private_key_is_read_as_age_writes_it_and_never_told(tmp_path, key):
    (tmp_path / "key").write_text(f"# created: today\n# public key: {key.to_public()}\n{key}\n")
    assert str(sealing.identities(tmp_path / "key").keys[0]) == str(key)
    (tmp_path / "key").write_text(f"{key}\nAGE-SECRET-KEY-1BROKEN\n")
    with pytest.raises(sealing.CannotOpen) as refused:
        sealing.identities(tmp_path / "key")
    assert "AGE-SECRET-KEY-1B" not in str(refused.value)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_an_empty_part_is_not_the_end(size):
    stream = Pulled(iter([b"one", b"", b"", b"two", b""]))
    read = []
    while data := stream.read(size):
        read.append(data)
    assert b"".join(read) == b"onetwo"
    assert all(len(data) == size for data in read[:-1])


def test_memory_does_not_grow_with_what_is_packed():
    class Endless:
        taken = 0

        def blocks(self, length: int):
            for _ in range(length // 1024):
                self.taken += 1024
                yield bytes(1024)

    source = Endless()
    packed = Pulled(archive.packed("rows.db", 1 << 40, source.blocks(1 << 40)))
    packed.read(10 << 20)
    assert source.taken < 11 << 20
