"""Keys derived from the installation's one secret, each for one purpose (HKDF-SHA256, RFC 5869)."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derived(secret: bytes, purpose: str) -> bytes:
    """Return 32 bytes for `purpose`; the same secret and purpose always give the same bytes."""
    return HKDF(algorithm=SHA256(), length=32, salt=b"fieldcard", info=purpose.encode()).derive(secret)
