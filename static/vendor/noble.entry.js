// What the portal needs of noble: a strict Ed25519 check and SHA-256, both without crypto.subtle.
import { hashes, verify } from "@noble/ed25519";
import { sha256, sha512 } from "@noble/hashes/sha2.js";

hashes.sha512 = sha512;

const ed25519Verify = (signature, message, publicKey) => verify(signature, message, publicKey, { zip215: false });

export { ed25519Verify, sha256 };
