// What is known about cards, without the page: is a token genuine, is it on the list, what does a typed code mean.
// The formats are those of docs/token-format.md. Classic script: modules do not load from a file.
"use strict";

const Checks = (function () {
  const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const BASE36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const PAYLOAD_BYTES = 15;
  const TOKEN_BYTES = 79;
  const CARD_V1 = 0x11;
  const DAY_ZERO = Date.UTC(2020, 0, 1);
  const MS_PER_DAY = 86400000;
  const SERIAL_LENGTH = 8;
  const LISTED_BYTES = 8;
  const RICE_BITS = 12;
  const LONGEST_TYPED = 64;
  const SEPARATORS = /[\s\-_.,:;/\\|·•\u00ad\u2010-\u2015\u2043\u2212\u200b-\u200f\ufeff]+/;
  const subtle = self.crypto && self.crypto.subtle;

  // Resolve to { outcome, token }; token is null when malformed. `keys` as in the facts, `today` a day number.
  async function verify(text, keys, today) {
    const bytes = tokenBytes(text);
    const token = bytes && tokenOf(bytes);
    if (!token) return { outcome: "malformed", token: null };
    const key = keys.find((each) => each.kid === token.keyId);
    if (!key) return { outcome: "unknown_key", token };

    const signed = concat(
      ascii("FIELDCARD1"),
      new TextEncoder().encode(key.issuer),
      bytes.subarray(0, PAYLOAD_BYTES),
    );
    const genuine = await signatureIsRight(fromBase64(key.public_key), bytes.subarray(PAYLOAD_BYTES), signed);
    if (!genuine) return { outcome: "signature_wrong", token };
    // One day of grace: clocks and time zones differ.
    if (token.issued > today + 1) return { outcome: "not_yet_valid", token };
    if (token.expires && token.expires < today) return { outcome: "expired", token };
    return { outcome: "genuine", token };
  }

  // Return the token in what a QR holds or a person pasted: an address, /verify?p=…&s=…, or the token alone; or null.
  function tokenIn(text) {
    const trimmed = text.trim();
    const parts = /[?&]p=([A-Z2-7]+)&s=([A-Z2-7]+)$/.exec(trimmed);
    if (parts) return parts[1] + parts[2];
    const found = /(?:^|\/V\/)([A-Z2-7]{100,})$/.exec(trimmed);
    return found && found[1];
  }

  // Resolve to whether the token is one of the cards of the list.
  async function isListed(token, listed) {
    const start = (await sha256(ascii(token))).subarray(0, LISTED_BYTES);
    let low = 0;
    let high = listed.length / LISTED_BYTES;
    while (low < high) {
      const middle = (low + high) >> 1;
      const order = compare(listed.subarray(middle * LISTED_BYTES, (middle + 1) * LISTED_BYTES), start);
      if (order === 0) return true;
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    return false;
  }

  // Return { kind, code }: "code", "wrong_check", "other_prefix", or why it is no code: "empty", "characters", "short".
  function readCode(typed, prefix) {
    const groups = typed.normalize("NFKC").split(SEPARATORS).filter(Boolean);
    if (!groups.length) return { kind: "empty" };
    if (typed.length > LONGEST_TYPED || !groups.every((group) => /^[A-Za-z0-9]+$/.test(group)))
      return { kind: "characters" };
    const letters = groups.join("").toUpperCase();
    if (letters.length < SERIAL_LENGTH) return { kind: "short" };

    const serial = letters.slice(-SERIAL_LENGTH).replace(/O/g, "0").replace(/I/g, "1");
    const before = letters.slice(0, -SERIAL_LENGTH);
    // The eight characters alone will do: everyone here checks cards of this list.
    if (before && before !== prefix.replace(/-/g, ""))
      return { kind: "other_prefix", code: typed.trim().toUpperCase() };
    return { kind: checkIsRight(serial) ? "code" : "wrong_check", code: prefix + "-" + serial };
  }

  // Resolve to whether the code is probably on the list: a code that is not passes once in 4,096.
  async function isKnown(code, typed) {
    const digest = await sha256(concat(fromHex(typed.salt), ascii(code)));
    let start = 0;
    for (const byte of digest.subarray(0, 6)) start = start * 256 + byte;
    return typed.hashes.has(Math.floor(start / Math.pow(2, 48 - typed.bits)));
  }

  // Return the hashes of the typed codes: gaps of a rising list, each in unary (gap >> 12), a zero and 12 bits.
  function riceDecode(bytes, count) {
    const hashes = new Set();
    let at = 0;
    const bit = () => (bytes[at >> 3] >> (7 - (at++ & 7))) & 1;
    let last = -1;
    for (let i = 0; i < count; i += 1) {
      let gap = 0;
      while (bit()) gap += 1;
      for (let k = 0; k < RICE_BITS; k += 1) gap = gap * 2 + bit();
      last += gap + 1;
      hashes.add(last);
    }
    return hashes;
  }

  function tokenBytes(text) {
    if (!/^[A-Z2-7]{127}$/.test(text)) return null;
    const bytes = new Uint8Array(TOKEN_BYTES);
    let held = 0;
    let bits = 0;
    let at = 0;
    for (const letter of text) {
      held = ((held << 5) | BASE32.indexOf(letter)) & 0xfff;
      bits += 5;
      if (bits >= 8) {
        bits -= 8;
        bytes[at] = (held >> bits) & 0xff;
        at += 1;
      }
    }
    // Three bits are left over; were they free, a card had eight spellings.
    return (held & 7) === 0 ? bytes : null;
  }

  function tokenOf(bytes) {
    const view = new DataView(bytes.buffer);
    const token = {
      keyId: view.getUint16(1),
      campaign: view.getUint32(3),
      index: view.getUint32(7),
      issued: view.getUint16(11),
      expires: view.getUint16(13),
    };
    return view.getUint8(0) === CARD_V1 && token.issued ? token : null;
  }

  async function signatureIsRight(publicKey, signature, signed) {
    if (subtle) {
      try {
        const key = await subtle.importKey("raw", publicKey, { name: "Ed25519" }, false, ["verify"]);
        return await subtle.verify({ name: "Ed25519" }, key, signature, signed);
      } catch (error) {
        // A browser that has crypto.subtle but not Ed25519: the bundled one decides.
      }
    }
    return noble.ed25519Verify(signature, signed, publicKey);
  }

  async function sha256(bytes) {
    return subtle ? new Uint8Array(await subtle.digest("SHA-256", bytes)) : noble.sha256(bytes);
  }

  // ISO/IEC 7064 MOD 37,36.
  function checkIsRight(serial) {
    let check = 18;
    for (const letter of serial) check = ((((check || 36) * 2) % 37) + BASE36.indexOf(letter)) % 36;
    return check === 1;
  }

  function compare(a, b) {
    for (let i = 0; i < LISTED_BYTES; i += 1) if (a[i] !== b[i]) return a[i] - b[i];
    return 0;
  }

  function concat(...parts) {
    const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }

  const ascii = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const fromHex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
  const fromBase64 = (text) => ascii(atob(text.replace(/-/g, "+").replace(/_/g, "/")));
  const dayOf = (milliseconds) => Math.floor((milliseconds - DAY_ZERO) / MS_PER_DAY);
  const dateOf = (day) => new Date(DAY_ZERO + day * MS_PER_DAY);

  return Object.freeze({
    verify,
    tokenIn,
    isListed,
    readCode,
    isKnown,
    riceDecode,
    fromBase64,
    dayOf,
    dateOf,
  });
})();
