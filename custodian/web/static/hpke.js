// Seal to a public key: HPKE (RFC 9180), base mode, single shot, as custodian/sealing.py does, on WebCrypto.
//
//     sealed = enc || AES-256-GCM(message), bound to `info`; the aad is empty
//
// A public key's text names its suite. `x25519` is DHKEM(X25519, HKDF-SHA256). `mlkem768-x25519` is X-Wing
// (draft-connolly-cfrg-xwing-kem): this page can seal to it where the browser has ML-KEM, and never opens.

import { concat, fromBase64, hmac, random, utf8, wipe } from "./bytes.js";
import { sha3 } from "./sha3.js";

const subtle = globalThis.crypto?.subtle;
const X25519_KEM = 0x0020;
const XWING_KEM = 0x647a;
const HKDF_SHA256 = 1;
const AES = { 1: 16, 2: 32 }; // the AEAD's number -> the bytes of its key
const AES_256_GCM = 2;
const LATTICE = 1184; // bytes of an ML-KEM-768 public key
const SIZES = { "x25519": 32, "mlkem768-x25519": LATTICE + 32 };
const XWING_LABEL = new Uint8Array([0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c]);
const PKCS8_HEAD = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20]);
const BASE_POINT = new Uint8Array(32).fill(9, 0, 1);
const NOTHING = new Uint8Array();

const number = (value) => new Uint8Array([value >> 8, value & 255]);

/** Read `suite:BASE64`; return `{ suite, raw }`. */
export function parsePublicKey(spelling, what) {
  const [suite, encoded, ...more] = spelling.split(":");
  const raw = fromBase64(encoded ?? "", what);
  if (more.length || raw.length !== SIZES[suite]) throw new Error(`${what} is not a public key`);
  return { suite, raw };
}

/** Import 32 bytes as an X25519 private key that no script can read again; wipe the bytes. */
export async function takePrivateKey(raw) {
  const key = await privateKey(raw);
  wipe(raw);
  return key;
}

export async function privateKey(raw) {
  const whole = concat(PKCS8_HEAD, raw);
  try {
    return await subtle.importKey("pkcs8", whole, "X25519", false, ["deriveBits"]);
  } finally {
    wipe(whole);
  }
}

/** The 32 bytes of the public key: the private one times the base point. */
export const publicOf = (key) => agree(key, BASE_POINT);

/** Seal `message` to the key that `parsePublicKey` read. */
export async function seal({ suite, raw }, info, message) {
  const { kem, enc, secret } = await (suite === "x25519" ? encapsulate(raw) : encapsulateHybrid(raw));
  const { key, nonce } = await schedule(kem, secret, info);
  const box = await subtle.encrypt({ name: "AES-GCM", iv: nonce }, await aes(key, "encrypt"), message);
  wipe(secret, key);
  return concat(enc, new Uint8Array(box));
}

/** Open what was sealed to the X25519 key `own`. Throws, whatever was wrong, the same Error. */
export async function open(own, info, sealed) {
  try {
    const enc = sealed.slice(0, 32);
    const secret = await decapsulate(enc, own);
    const { key, nonce } = await schedule(X25519_KEM, secret, info);
    const message = await subtle.decrypt({ name: "AES-GCM", iv: nonce }, await aes(key, "decrypt"), sealed.slice(32));
    wipe(secret, key);
    return new Uint8Array(message);
  } catch {
    throw new Error("the seal does not open with this key in this place");
  }
}

// --- key encapsulation

/** RFC 9180, section 4.1. `ephemeral` is given by its test vectors only. */
export async function encapsulate(raw, ephemeral = null) {
  const own = ephemeral ?? (await privateKey(random(32)));
  const enc = await publicOf(own);
  return { kem: X25519_KEM, enc, secret: await agreed(await agree(own, raw), enc, raw) };
}

export async function decapsulate(enc, own) {
  return agreed(await agree(own, enc), enc, await publicOf(own));
}

async function agreed(shared, enc, recipient) {
  const suite = concat(utf8("KEM"), number(X25519_KEM));
  const extracted = await extract(suite, NOTHING, "eae_prk", shared);
  const secret = await expand(suite, extracted, "shared_secret", concat(enc, recipient), 32);
  wipe(shared, extracted);
  return secret;
}

async function encapsulateHybrid(raw) {
  const [lattice, curve] = [raw.slice(0, LATTICE), raw.slice(LATTICE)];
  const { ciphertext, sharedKey } = await encapsulateLattice(lattice);
  const own = await privateKey(random(32));
  const [ours, point] = [await agree(own, curve), await publicOf(own)];
  const whole = concat(new Uint8Array(sharedKey), ours, point, curve, XWING_LABEL);
  const secret = sha3(whole);
  wipe(new Uint8Array(sharedKey), ours, whole);
  return { kem: XWING_KEM, enc: concat(new Uint8Array(ciphertext), point), secret };
}

async function encapsulateLattice(raw) {
  try {
    const key = await subtle.importKey("raw-public", raw, "ML-KEM-768", false, ["encapsulateBits"]);
    return await subtle.encapsulateBits("ML-KEM-768", key);
  } catch {
    throw new Error("this browser cannot seal to the signer's post-quantum key; lend at the terminal instead");
  }
}

async function agree(own, point) {
  const other = await subtle.importKey("raw", point, "X25519", true, []);
  return new Uint8Array(await subtle.deriveBits({ name: "X25519", public: other }, own, 256));
}

// --- key schedule

/** RFC 9180, section 5.1: the AEAD's key and its first nonce. `aead` is another in test vectors only. */
export async function schedule(kem, secret, info, aead = AES_256_GCM) {
  const suite = concat(utf8("HPKE"), number(kem), number(HKDF_SHA256), number(aead));
  const context = concat(
    new Uint8Array([0]), // base mode
    await extract(suite, NOTHING, "psk_id_hash", NOTHING),
    await extract(suite, NOTHING, "info_hash", info),
  );
  const extracted = await extract(suite, secret, "secret", NOTHING);
  const key = await expand(suite, extracted, "key", context, AES[aead]);
  const nonce = await expand(suite, extracted, "base_nonce", context, 12);
  wipe(extracted);
  return { key, nonce };
}

const aes = (key, use) => subtle.importKey("raw", key, "AES-GCM", false, [use]);

const extract = (suite, salt, label, secret) =>
  hmac(salt, concat(utf8("HPKE-v1"), suite, utf8(label), secret));

/** At most 32 bytes: one block of HKDF-Expand is enough for all that is made here. */
async function expand(suite, key, label, info, size) {
  const labelled = concat(number(size), utf8("HPKE-v1"), suite, utf8(label), info, new Uint8Array([1]));
  return (await hmac(key, labelled)).slice(0, size);
}
