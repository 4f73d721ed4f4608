// How an owner opens what is theirs: `custodian/slot/v1`, as custodian/slots.py reads and makes it.
//
// An owner's key is 32 bytes, an X25519 private key. A slot is another key pair, to which they are sealed.
// Passwords open slots at the terminal or at the custodian: browsers have no Argon2id.

import { base64, canonicalJson, concat, equal, fromBase64, hkdf, joined, parseCanonicalJson } from "./bytes.js";
import { random, sha256, wipe } from "./bytes.js";
import { open, parsePublicKey, privateKey, publicOf, seal, takePrivateKey } from "./hpke.js";

const subtle = globalThis.crypto?.subtle;
const VERSION = "custodian/slot/v1";
const DEVICE = "custodian/device-key/v1";
const FIELDS = ["id", "kind", "owner", "owner_public", "parameters", "public", "sealed", "type"];
const FILE = /^custodian\/device-key\/v1\nowner: ([^\n]+)\nseed: ([^\n]+)\n(?:label: [!-~][ -~]{0,63}\n)?$/;
const NAME = /^[a-z][a-z0-9._-]{0,62}$/;
const within = (least, most) => (value) => Number.isSafeInteger(value) && value >= least && value <= most;
const filled = (value) => typeof value === "string" && fromBase64(value, "a parameter of the slot").length > 0;
const sized = (size) => (value) => filled(value) && fromBase64(value, "the salt of the slot").length === size;
const printable = (value) => typeof value === "string" && /^[ -~]{1,64}$/.test(value);
const PARAMETERS = {
  password: { lanes: within(1, 16), memory_kib: within(8192, 1_048_576), passes: within(1, 16), salt: sized(16) },
  passkey: { credential: filled, salt: filled },
  device: { label: printable },
};
const PKCS8_HEAD = new Uint8Array([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20]);

export const newOwnerKey = () => random(32);

/** The text form of the public key of an owner's or slot's private key. */
export const publicText = async (key) => `x25519:${base64(await publicOf(key))}`;

/** Seal an owner's key to a slot whose private key is `unlock`; return the slot as base64. */
export async function makeSlot(ownerKey, { owner, id, kind, parameters, unlock }) {
  const said = {
    type: VERSION,
    owner,
    id,
    kind,
    parameters,
    public: await publicText(unlock),
    owner_public: await publicText(await privateKey(ownerKey)),
  };
  const sealed = await seal(parsePublicKey(said.public, "the slot's key"), await sealInfo(said), ownerKey);
  return base64(canonicalJson({ ...said, sealed: base64(sealed) }));
}

/** Read the base64 of a slot strictly. */
export function parseSlot(encoded) {
  const slot = parseCanonicalJson(fromBase64(encoded, "the slot"), "the slot");
  const { parameters, ...texts } = slot;
  const right =
    Object.keys(slot).sort().join() === FIELDS.join() &&
    Object.values(texts).every((each) => typeof each === "string") &&
    slot.type === VERSION &&
    NAME.test(slot.owner) &&
    NAME.test(slot.id) &&
    Object.hasOwn(PARAMETERS, slot.kind) &&
    isRecord(parameters, PARAMETERS[slot.kind]);
  if (!right) throw new Error("the slot is not of custodian/slot/v1");
  parsePublicKey(slot.public, "the slot's key");
  parsePublicKey(slot.owner_public, "the owner's key");
  fromBase64(slot.sealed, "what the slot holds");
  return slot;
}

const isRecord = (value, checks) =>
  Object.prototype.toString.call(value) === "[object Object]" &&
  Object.keys(value).sort().join() === Object.keys(checks).join() &&
  Object.entries(checks).every(([name, check]) => check(value[name]));

/** Open a slot that `parseSlot` read; return the owner's key, for the caller to wipe. */
export async function openSlot({ sealed, ...said }, unlock) {
  const owner = parsePublicKey(said.owner_public, "the owner's key");
  if (owner.suite !== "x25519") throw new Error("this browser cannot open a post-quantum owner key; use the terminal");
  const ownerKey = await open(unlock, await sealInfo(said), fromBase64(sealed, "what the slot holds"));
  if (ownerKey.length !== 32 || !equal(await publicOf(await privateKey(ownerKey)), owner.raw)) {
    throw new Error("the slot holds another key than its owner's");
  }
  return ownerKey;
}

const sealInfo = async (said) => joined(VERSION, await sha256(canonicalJson(said)));

/** A passkey's slot key, from the first 32 bytes of what its PRF extension gives, which are wiped. */
export async function passkeyUnlock(prf) {
  const first = prf.slice(0, 32);
  const unlock = await takePrivateKey(await hkdf(first, "custodian/passkey/v1/unlock"));
  wipe(first, prf);
  return unlock;
}

// --- device keys: a seed in a file, from which a slot's key and a signing key are made

/** Make a device key for `owner`; return the text of its file, `file`, and what `readDeviceKey` returns. */
export async function newDeviceKey(owner, label) {
  if (!/^[!-~][ -~]{0,63}$/.test(label)) throw new Error("name the device in 1 to 64 letters, digits or signs of ASCII");
  const file = `${DEVICE}\nowner: ${owner}\nseed: ${base64(random(32))}\nlabel: ${label}\n`;
  return { file, ...(await readDeviceKey(file)) };
}

/** Read the text of a device key file: the keys `unlock` and `sign`, and the texts of their public keys. */
export async function readDeviceKey(file) {
  const [, owner, encoded] = FILE.exec(file) ?? [];
  if (!NAME.test(owner ?? "")) throw new Error("this file holds no device key; choose the one that was made for you");
  const seed = fromBase64(encoded, "the seed of the device key");
  if (seed.length !== 32) throw new Error("the seed of the device key is not 32 bytes long");
  return { owner, ...(await deviceKeys(seed)) };
}

async function deviceKeys(seed) {
  const unlock = await takePrivateKey(await hkdf(seed, "custodian/device/v1/unlock"));
  const raw = concat(PKCS8_HEAD, await hkdf(seed, "custodian/device/v1/sign"));
  const sign = await subtle.importKey("pkcs8", raw, "Ed25519", true, ["sign"]);
  const { x } = await subtle.exportKey("jwk", sign);
  const kept = await subtle.importKey("pkcs8", raw, "Ed25519", false, ["sign"]);
  wipe(seed, raw);
  const point = `${x.replaceAll("-", "+").replaceAll("_", "/")}=`;
  return { unlock, sign: kept, slotPublic: await publicText(unlock), public: `ed25519:${point}` };
}

/** Evidence by a device key that the owner agrees to `message`. */
export async function deviceEvidence(device, credential, message) {
  const signed = joined("custodian/evidence/v1", await sha256(message));
  const signature = new Uint8Array(await subtle.sign("Ed25519", device.sign, signed));
  return { kind: "device", credential, signature: base64(signature), authenticator_data: "", client_data: "" };
}
