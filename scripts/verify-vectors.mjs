#!/usr/bin/env node
// A second implementation of docs/format.md, to check the first: it reads every vector in tests/vectors and
// must come to the same answer, secret by secret and error by error. Node.js 18 or newer, nothing else.
//
//     node scripts/verify-vectors.mjs [tests/vectors]
//
// Two things are missing in Node.js, so their vectors are only read: Argon2id (the vectors give its result,
// `root`) and ML-KEM (vectors whose keys are mlkem768-x25519).

import * as crypto from "node:crypto";
import * as fs from "node:fs";
import * as path from "node:path";
import { fileURLToPath } from "node:url";

class Refusal extends Error {
  constructor(code, why, owners = []) {
    super(`${code}: ${why}`);
    Object.assign(this, { code, owners });
  }
}
const malformed = (why) => new Refusal("malformed", why);
const cannotOpen = (why, owners) => new Refusal("cannot-open", why, owners);
class NotHere extends Error {}

function need(condition, why) {
  if (!condition) throw malformed(why);
}

// --- bytes and texts -----------------------------------------------------------------------------------

const bytes = (text) => Buffer.from(text, "utf8");
const hex = (text) => Buffer.from(text, "hex");
const joined = (...parts) => Buffer.concat(parts.flatMap((part, i) => [Buffer.alloc(i ? 1 : 0), Buffer.from(part)]));
const sha256 = (data) => crypto.createHash("sha256").update(data).digest();
const hmac = (key, data) => crypto.createHmac("sha256", key).update(data).digest();
const hkdf = (ikm, info, size) => Buffer.from(crypto.hkdfSync("sha256", ikm, Buffer.alloc(0), info, size));

function base64(text) {
  const data = Buffer.from(text, "base64");
  need(data.toString("base64") === text, "not canonical base64");
  return data;
}

function matched(pattern, text, what) {
  const found = new RegExp(`^(?:${pattern})$`).exec(text);
  need(found !== null && !text.endsWith("\n"), `not ${what}`);
  return text;
}
const name = (text) => matched("[a-z][a-z0-9._-]{0,62}", text, "a name");
const keyId = (text) => matched("[0-9a-f]{32}", text, "32 hexadecimal digits");

function instant(text) {
  matched("[1-9]\\d{3}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ", text, "a time");
  const moment = new Date(text);
  need(!isNaN(moment) && moment.toISOString().replace(".000Z", "Z") === text, "not a time");
  return moment;
}

function canonicalJson(value) {
  if (Array.isArray(value)) return `[${value.map(canonicalJson)}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key])}`)}}`;
}

function parseCanonicalJson(data) {
  let value;
  try {
    value = JSON.parse(data.toString("utf8"));
  } catch {
    throw malformed("not JSON");
  }
  need(value !== null && typeof value === "object" && !Array.isArray(value), "not an object");
  need(bytes(canonicalJson(value)).equals(data), "not canonical JSON");
  return value;
}

function fields(value, types) {
  need(value !== null && typeof value === "object", "not an object");
  need(Object.keys(value).sort().join() === Object.keys(types).sort().join(), "not the fields of the format");
  for (const [field, type] of Object.entries(types)) {
    const is = Array.isArray(value[field]) ? "list" : Number.isInteger(value[field]) ? "integer" : typeof value[field];
    need(is === type, `${field} is not of type ${type}`);
  }
  return value;
}

// --- policies --------------------------------------------------------------------------------------------

function parsePolicy(text) {
  need(text.length <= 16384, "too long");
  const tokens = [];
  for (let rest = text.replace(/[ \t\r\n]+$/, ""); rest; ) {
    const found = /^[ \t\r\n]*([a-z][a-z0-9._-]*|[0-9]+|[(),&|])/.exec(rest);
    need(found, "an unexpected character");
    tokens.push(found[1]);
    rest = rest.slice(found[0].length);
  }
  let depth = 0;
  const expect = (token) => need(tokens.shift() === token, `needs ${token}`);
  const group = (needed, members) => {
    need(needed >= 1 && needed <= members.length && members.length <= 255, "asks for the impossible");
    return { needed, members };
  };
  const separated = (separator, rule) => {
    const parts = [rule()];
    while (tokens[0] === separator) tokens.shift(), parts.push(rule());
    return parts;
  };
  const either = () => sugar(separated("|", both), () => 1);
  const both = () => sugar(separated("&", part), (parts) => parts.length);
  const sugar = (parts, needed) => (parts.length > 1 ? group(needed(parts), parts) : parts[0]);
  const nested = (rule) => {
    need(++depth <= 8, "too deep");
    const result = rule();
    depth -= 1;
    expect(")");
    return result;
  };
  const part = () => {
    const token = tokens.shift();
    need(token !== undefined, "ends too early");
    if (token === "(") return nested(either);
    if (!/^[0-9]/.test(token)) return name(token);
    need(/^[1-9][0-9]{0,2}$/.test(token), "not a number");
    expect("of");
    expect("(");
    return group(Number(token), nested(() => separated(",", either)));
  };
  const policy = either();
  need(tokens.length === 0, "goes on after its end");
  need(typeof policy === "object", "one owner alone");
  const owners = ownersOf(policy);
  need(new Set(owners).size === owners.length, "names an owner twice");
  need(stillNeeded(policy, []) >= 2, "one owner alone");
  need(depthOf(policy) <= 8 && policyText(policy).length <= 16384, "too deep or too long when written out");
  return policy;
}

const policyText = (p) => (typeof p === "string" ? p : `${p.needed} of (${p.members.map(policyText).join(", ")})`);
const ownersOf = (p) => (typeof p === "string" ? [p] : p.members.flatMap(ownersOf));
const depthOf = (p) => (typeof p === "string" ? 0 : 1 + Math.max(...p.members.map(depthOf)));
const metBy = (p, owners) =>
  typeof p === "string" ? owners.includes(p) : p.members.filter((m) => metBy(m, owners)).length >= p.needed;

function stillNeeded(p, owners) {
  if (typeof p === "string") return owners.includes(p) ? 0 : 1;
  const costs = p.members.map((member) => stillNeeded(member, owners)).sort((a, b) => a - b);
  return costs.slice(0, p.needed).reduce((a, b) => a + b, 0);
}

// --- shares: GF(2^128), x^128 + x^7 + x^2 + x + 1 -----------------------------------------------------------

function multiply(left, right) {
  let product = 0n;
  for (; right; right >>= 1n) {
    if (right & 1n) product ^= left;
    left <<= 1n;
    if (left >> 128n) left ^= (1n << 128n) | 0b10000111n;
  }
  return product;
}

function inverse(element) {
  let power = element;
  let result = 1n;
  for (let i = 1; i < 128; i++) {
    power = multiply(power, power); // element ^ (2^128 - 2), by Fermat
    result = multiply(result, power);
  }
  return result;
}

function joinValues(policy, values) {
  if (typeof policy === "string") return values[policy];
  const points = policy.members
    .map((member, i) => [BigInt(i + 1), metBy(member, Object.keys(values)) ? joinValues(member, values) : null])
    .filter(([, value]) => value !== null);
  if (policy.needed === 1) return points[0][1];
  let secret = 0n;
  for (const [x, value] of points.slice(0, policy.needed)) {
    let [top, bottom] = [1n, 1n];
    for (const [other] of points.slice(0, policy.needed)) {
      if (other !== x) [top, bottom] = [multiply(top, other), multiply(bottom, other ^ x)];
    }
    secret ^= multiply(value, multiply(top, inverse(bottom)));
  }
  return secret;
}

const commit = (share, id, owner) =>
  hmac(share.subarray(16), Buffer.concat([joined("custodian/share/v1", id, owner, ""), share.subarray(0, 16)]));

function join(policy, id, commitments, shares) {
  const wrong = Object.keys(shares).filter(
    (owner) =>
      shares[owner].length !== 48 || !commitments[owner] || !commit(shares[owner], id, owner).equals(commitments[owner]),
  );
  if (wrong.length) throw cannotOpen("wrong shares", wrong);
  if (!metBy(policy, Object.keys(shares))) throw new Refusal("quorum-missing", "too few shares");
  const values = Object.entries(shares).map(([owner, share]) => [owner, BigInt(`0x${share.toString("hex", 0, 16)}`)]);
  return hex(joinValues(policy, Object.fromEntries(values)).toString(16).padStart(32, "0"));
}

// --- seals: HPKE, RFC 9180, base mode, X25519 / HKDF-SHA256 / AES-256-GCM ------------------------------------

const SIZES = { x25519: 32, "mlkem768-x25519": 1216 };
const der = (prefix, raw) => Buffer.concat([hex(prefix), raw]);
const x25519Private = (raw) =>
  crypto.createPrivateKey({ key: der("302e020100300506032b656e04220420", raw), format: "der", type: "pkcs8" });
const x25519Public = (raw) =>
  crypto.createPublicKey({ key: der("302a300506032b656e032100", raw), format: "der", type: "spki" });
const ANYONE = x25519Private(Buffer.alloc(32, 7));

function publicKey(text) {
  const [suite, encoded, more] = text.split(":");
  need(suite in SIZES && encoded !== undefined && more === undefined, "not a public key");
  const raw = base64(encoded);
  need(raw.length === SIZES[suite], "not the size of a public key");
  try {
    crypto.diffieHellman({ privateKey: ANYONE, publicKey: x25519Public(raw.subarray(-32)) });
  } catch {
    throw malformed("a point of small order");
  }
  return { suite, raw };
}

function privateKey(text) {
  const [suite, raw] = text.split(":");
  return { suite, raw: hex(raw) };
}

function publicOf(key) {
  if (key.suite !== "x25519") throw new NotHere(`${key.suite} is not in Node.js`);
  const raw = crypto.createPublicKey(x25519Private(key.raw)).export({ format: "der", type: "spki" }).subarray(-32);
  return { suite: key.suite, raw };
}

function open(key, sealed, info) {
  const own = publicOf(key).raw;
  const enc = sealed.subarray(0, 32);
  const kem = Buffer.from("KEM\x00\x20", "latin1");
  const suite = Buffer.from("HPKE\x00\x20\x00\x01\x00\x02", "latin1");
  const none = Buffer.alloc(0);
  const extract = (id, salt, label, ikm) => hmac(salt, Buffer.concat([bytes("HPKE-v1"), id, bytes(label), ikm]));
  const expand = (id, prk, label, context, size) => {
    const block = [Buffer.from([0, size]), bytes("HPKE-v1"), id, bytes(label), context, Buffer.from([1])];
    return hmac(prk, Buffer.concat(block)).subarray(0, size);
  };
  try {
    const dh = crypto.diffieHellman({ privateKey: x25519Private(key.raw), publicKey: x25519Public(enc) });
    const shared = expand(kem, extract(kem, none, "eae_prk", dh), "shared_secret", Buffer.concat([enc, own]), 32);
    const hashes = [extract(suite, none, "psk_id_hash", none), extract(suite, none, "info_hash", info)];
    const context = Buffer.concat([Buffer.from([0]), ...hashes]);
    const secret = extract(suite, shared, "secret", none);
    return decrypt(
      expand(suite, secret, "key", context, 32),
      expand(suite, secret, "base_nonce", context, 12),
      sealed.subarray(32),
      none,
    );
  } catch {
    throw cannotOpen("the seal does not open");
  }
}

function decrypt(key, nonce, sealed, aad) {
  if (sealed.length < 16) throw cannotOpen("no tag");
  const cipher = crypto.createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 });
  cipher.setAAD(aad);
  cipher.setAuthTag(sealed.subarray(-16));
  try {
    return Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  } catch {
    throw cannotOpen("the tag is wrong");
  }
}

// --- envelopes -------------------------------------------------------------------------------------------

const ALGORITHMS = "rsa-2048|rsa-3072|rsa-4096|ecdsa-p256|ecdsa-p384|ecdsa-p521|ed25519";

const P = 2n ** 255n - 19n;
const ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;
const SMALL_ORDER = [0n, 1n, P - 1n, P, P + 1n, ORDER_8, P - ORDER_8];

function identity(text) {
  need(text.startsWith("ed25519:"), "not an identity");
  const raw = base64(text.slice(8));
  need(raw.length === 32, "not the size of an identity");
  need(!SMALL_ORDER.includes(BigInt(`0x${Buffer.from(raw).reverse().toString("hex")}`) % 2n ** 255n), "small order");
  return raw;
}

function parseEnvelope(data) {
  need(data.length <= 1048576 && data.every((byte) => byte < 128), "too large or not ASCII");
  const text = data.toString("latin1");
  const end = text.indexOf("\n\n") + 2;
  need(end >= 2, "has no payload");
  const [header, body] = [text.slice(0, end), text.slice(end)];
  const lines = header.slice(0, -2).split("\n");
  need(lines.shift() === "custodian/envelope/v1", "another version");
  const take = (field) => {
    const line = lines.shift() ?? "";
    need(line.startsWith(`${field}: `), `${field} is not in its place`);
    return line.slice(field.length + 2);
  };
  const rows = (field, parts) => {
    const found = [];
    while (lines[0]?.startsWith(`${field}: `)) found.push(take(field).split(" "));
    need(found.every((row) => row.length === parts), `${field} has other parts`);
    need(new Set(found.map(([first]) => first)).size === found.length, `${field} twice`);
    return found;
  };
  name(take("name"));
  const id = keyId(take("id"));
  instant(take("created"));
  matched(ALGORITHMS, take("algorithm"), "an algorithm");
  matched("[0-9a-f]{64}", take("public"), "a SHA-256");
  base64(take("subject"));
  const written = take("policy");
  const policy = parsePolicy(written);
  need(policyText(policy) === written, "policy is not canonical");
  const veto = rows("veto", 1).map(([owner]) => owner);
  need(veto.join() === [...veto].sort().join(), "vetoes are not in alphabetical order");
  need(veto.every((owner) => ownersOf(policy).includes(owner)), "a veto of somebody who is not an owner");
  for (const [rule] of rows("rule", 1)) need(rule === "no-self-approval", "an unknown rule");
  for (const [signer, pinned] of rows("signer", 2)) name(signer), identity(pinned);
  const owners = rows("owner", 4).map(([owner, key, commitment, sealed]) => {
    publicKey(key);
    need(base64(commitment).length === 32, "not the size of a commitment");
    return { owner, commitment: base64(commitment), sealed: base64(sealed) };
  });
  need(owners.map((row) => row.owner).join() === ownersOf(policy).join(), "not the policy's owners");
  need(lines.length === 0, "an unknown line");
  need(/^(?:.{64}\n)*.{1,64}\n$/.test(body), "not lines of 64");
  const payload = base64(body.replaceAll("\n", ""));
  need(payload.length > 28, "payload too short");
  const facts = bytes(header.slice(0, header.indexOf("\nowner: ") + 1));
  return { id, policy, owners, payload, facts, header: bytes(header) };
}

// --- slots, terms ----------------------------------------------------------------------------------------

const PARAMETERS = {
  password: { memory_kib: "integer", passes: "integer", lanes: "integer", salt: "string" },
  passkey: { credential: "string", salt: "string" },
  device: { label: "string" },
};

function parseSlot(data) {
  const texts = ["type", "owner", "id", "kind", "public", "owner_public", "sealed"].map((field) => [field, "string"]);
  const slot = fields(parseCanonicalJson(data), { ...Object.fromEntries(texts), parameters: "object" });
  need(slot.type === "custodian/slot/v1", "another version");
  need(Object.hasOwn(PARAMETERS, slot.kind), "another kind");
  const given = fields(slot.parameters, PARAMETERS[slot.kind]);
  if (slot.kind === "password") {
    need(given.memory_kib >= 8192 && given.memory_kib <= 1048576, "memory_kib");
    need(given.passes >= 1 && given.passes <= 16 && given.lanes >= 1 && given.lanes <= 16, "passes or lanes");
    need(base64(given.salt).length === 16, "salt");
  } else if (slot.kind === "passkey") {
    need(base64(given.credential).length && base64(given.salt).length, "credential or salt");
  } else {
    matched("[ -~]{1,64}", given.label, "a label");
  }
  name(slot.owner);
  name(slot.id);
  publicKey(slot.public);
  publicKey(slot.owner_public);
  return slot;
}

function parseTerms(data) {
  const terms = fields(parseCanonicalJson(data), {
    type: "string", key: "string", key_id: "string", owner: "string", signer: "string", recipients: "list",
    uses: "integer", start: "string", end: "string", constraints: "object", request: "string", nonce: "string",
  });
  need(terms.type === "custodian/terms/v1", "another version");
  [terms.key, terms.owner, terms.signer].forEach(name);
  [terms.key_id, terms.nonce].forEach(keyId);
  need(terms.recipients.length >= 1 && terms.recipients.length <= 16, "recipients");
  terms.recipients.forEach((text) => need(typeof text === "string", "recipients") ?? publicKey(text));
  need(terms.uses >= 1 && terms.uses <= 1000000, "uses");
  const life = instant(terms.end) - instant(terms.start);
  need(life > 0 && life <= 31 * 86400000, "start and end");
  parseConstraints(terms.constraints);
  matched("[ -~]{0,255}", terms.request, "one line");
}

function parseConstraints(value) {
  const limits = fields(value, { profiles: "list", names: "list", max_validity: "integer", ca: "integer" });
  for (const list of [limits.profiles, limits.names]) {
    need(list.length <= 64, "a list too long");
    list.forEach((text) => need(typeof text === "string", "not a text") ?? matched("[ -~]{1,255}", text, "one line"));
  }
  need(limits.max_validity >= 0 && limits.max_validity <= 2 ** 31 && [0, 1].includes(limits.ca), "max_validity or ca");
}

function parseRequest(data) {
  const request = fields(parseCanonicalJson(data), {
    type: "string", key: "string", key_id: "string", signer: "string", asker: "object", on_behalf: "string",
    uses: "integer", seconds: "integer", constraints: "object", reason: "string", made: "string", expires: "string",
    nonce: "string",
  });
  const asker = fields(request.asker, { role: "string", name: "string" });
  need(request.type === "custodian/request/v1", "another version");
  [request.key, request.signer, asker.name].forEach(name);
  [request.key_id, request.nonce].forEach(keyId);
  need(["admin", "owner", "signer"].includes(asker.role), "asker");
  need(request.uses >= 1 && request.uses <= 1000000, "uses");
  need(request.seconds >= 1 && request.seconds <= 31 * 86400, "seconds");
  const wait = instant(request.expires) - instant(request.made);
  need(wait > 0 && wait <= 31 * 86400000, "made and expires");
  parseConstraints(request.constraints);
  matched("[ -~]{0,255}", request.on_behalf, "one line");
  matched("[ -~]{1,255}", request.reason, "one line");
}

// --- device keys, grants and their evidence --------------------------------------------------------------

function parseDeviceKey(text) {
  const found = /^custodian\/device-key\/v1\nowner: ([^\n]+)\nseed: ([^\n]+)\n(?:label: ([!-~][ -~]{0,63})\n)?$/.exec(text);
  need(found, "not a device key");
  name(found[1]);
  const seed = base64(found[2]);
  need(seed.length === 32, "not the size of a seed");
  return seed;
}

const ed25519Public = (raw) =>
  crypto.createPublicKey({ key: der("302a300506032b6570032100", raw), format: "der", type: "spki" });
const forbidden = (why) => new Refusal("forbidden", why);

function checkEvidence(evidence, [kind, id, ...publicKey], message) {
  if (evidence.kind !== kind || evidence.credential !== id) throw forbidden("by another credential");
  const signature = base64(evidence.signature);
  if (kind === "ssh") return checkSsh(signature.toString("latin1"), base64(publicKey[1]), sha256(message));
  const signed = Buffer.concat([bytes("custodian/evidence/v1\0"), sha256(message)]);
  if (!crypto.verify(null, signed, ed25519Public(identity(publicKey[0])), signature)) throw forbidden("not signed");
}

// OpenSSH's PROTOCOL.sshsig, for Ed25519
function checkSsh(armoured, publicBlob, digest) {
  const lines = /^-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]+\n)+)-----END SSH SIGNATURE-----\n?$/.exec(armoured);
  need(lines, "not an SSH signature");
  let rest = base64(lines[1].replaceAll("\n", ""));
  const take = (size) => {
    need(rest.length >= size, "cut off");
    const taken = rest.subarray(0, size);
    rest = rest.subarray(size);
    return taken;
  };
  const string = () => take(take(4).readUInt32BE());
  const asString = (data) => Buffer.concat([Buffer.from([0, 0, data.length >> 8, data.length & 255]), data]);
  need(take(6).toString() === "SSHSIG" && take(4).readUInt32BE() === 1, "not version 1");
  const [signer, namespace, reserved, hash, signature] = [string(), string(), string(), string(), string()];
  need(rest.length === 0 && hash.toString() === "sha512", "more than it should have, or another hash");
  if (!signer.equals(publicBlob)) throw forbidden("by another key");
  if (namespace.toString() !== "delegation@custodian") throw forbidden("for another purpose");
  const hashed = crypto.createHash("sha512").update(`${digest.toString("hex")}\n`).digest();
  const signed = Buffer.concat([bytes("SSHSIG"), ...[namespace, reserved, hash, hashed].map(asString)]);
  if (!crypto.verify(null, signed, ed25519Public(signer.subarray(-32)), signature.subarray(-64))) throw forbidden("not signed");
}

// The 256 check words stand in the document; a byte is the index of its word.
const document = path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "docs", "format.md");
const WORDS = fs.readFileSync(document, "utf8").match(/```words\n([^`]*)```/)[1].trim().split(/\s+/);

// --- the vectors -----------------------------------------------------------------------------------------

function expectSame(got, want, what) {
  if (!got.equals(want)) throw new Error(`another ${what}: ${got.toString("hex")}`);
}

const CHECKS = {
  "policy-v1"({ one, all, body }) {
    const policy = parsePolicy(body.toString("utf8"));
    expectSame(bytes(policyText(policy)), bytes(one("canonical")), "canonical text");
    const met = (owners) => metBy(policy, owners.split(" "));
    if (!all("opens").every(met) || all("stays-shut").some(met)) throw new Error("another verdict");
  },
  "share-v1"({ one, all }) {
    const pairs = (field) => Object.fromEntries(all(field).map((row) => row.split(" ")).map(([o, v]) => [o, hex(v)]));
    const seed = join(parsePolicy(one("policy")), one("key-id"), pairs("commitment"), pairs("share"));
    expectSame(seed, hex(one("seed")), "seed");
  },
  "envelope-v1"({ one, all, body }) {
    const envelope = parseEnvelope(body);
    const shares = {};
    const unopened = [];
    for (const [owner, key] of all("owner-key").map((row) => row.split(" "))) {
      const { sealed } = envelope.owners.find((row) => row.owner === owner);
      try {
        shares[owner] = open(privateKey(key), sealed, joined("custodian/share/v1", sha256(envelope.facts), owner));
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        unopened.push(owner);
      }
    }
    if (unopened.length) throw cannotOpen("shares do not open", unopened);
    const commitments = Object.fromEntries(envelope.owners.map((row) => [row.owner, row.commitment]));
    const seed = join(envelope.policy, envelope.id, commitments, shares);
    const kek = hkdf(seed, joined("custodian/key/v1", envelope.id), 32);
    const { payload, header } = envelope;
    expectSame(decrypt(kek, payload.subarray(0, 12), payload.subarray(12), header), hex(one("secret")), "secret");
  },
  "slot-v1"({ one, all, body }) {
    const slot = parseSlot(body);
    const unlock = privateKey(one("unlock"));
    const { sealed, ...said } = slot;
    const raw = open(unlock, base64(sealed), joined("custodian/slot/v1", sha256(bytes(canonicalJson(said)))));
    if (all("root").length) {
      const root = hex(one("root"));
      expectSame(hkdf(root, bytes("custodian/slot/v1/unlock"), 32), unlock.raw, "unlock");
      expectSame(sha256(hkdf(root, bytes("custodian/slot/v1/login"), 32)), hex(one("verifier")), "verifier");
    }
    const pinned = publicKey(slot.owner_public);
    if (raw.length !== 32) throw cannotOpen("not a private key");
    if (!publicOf({ suite: pinned.suite, raw }).raw.equals(pinned.raw)) throw cannotOpen("a planted key");
    expectSame(raw, privateKey(one("owner-key")).raw, "owner key");
  },
  "terms-v1"({ one, body }) {
    parseTerms(body);
    const info = Buffer.concat([bytes("custodian/delegation/v1\0"), sha256(body)]);
    expectSame(open(privateKey(one("recipient-key")), base64(one("sealed")), info), hex(one("share")), "share");
    expectSame(sha256(body), hex(one("digest")), "digest");
    expectSame(bytes(`d-${sha256(body).toString("hex", 0, 12)}`), bytes(one("id")), "id");
  },
  "request-v1"({ one, body }) {
    parseRequest(body);
    const digest = sha256(body);
    expectSame(bytes(`r-${digest.toString("hex", 0, 6)}`), bytes(one("id")), "id");
    expectSame(bytes([...digest.subarray(6, 10)].map((byte) => WORDS[byte]).join(" ")), bytes(one("words")), "words");
  },
  "device-key-v1"({ one, body }) {
    const seed = parseDeviceKey(body.toString("latin1"));
    const unlock = hkdf(seed, bytes("custodian/device/v1/unlock"), 32);
    const sign = der("302e020100300506032b657004220420", hkdf(seed, bytes("custodian/device/v1/sign"), 32));
    const key = crypto.createPublicKey(crypto.createPrivateKey({ key: sign, format: "der", type: "pkcs8" }));
    expectSame(unlock, privateKey(one("unlock")).raw, "unlock");
    expectSame(key.export({ format: "der", type: "spki" }).subarray(-32), identity(one("credential")), "credential");
  },
  "grant-v1"({ one, body }) {
    const grant = JSON.parse(body);
    const terms = base64(grant.terms);
    parseTerms(terms);
    checkEvidence(grant.evidence, one("credential").split(" "), terms);
    const [sealed] = JSON.parse(terms).recipients.map((recipient) => base64(grant.sealed[recipient]));
    const info = Buffer.concat([bytes("custodian/delegation/v1\0"), sha256(terms)]);
    expectSame(open(privateKey(one("recipient-key")), sealed, info), hex(one("share")), "share");
    expectSame(bytes(`d-${sha256(terms).toString("hex", 0, 12)}`), bytes(one("id")), "id");
  },
  "recipient-v1"({ one }) {
    const raw = identity(one("identity"));
    publicKey(one("recipient"));
    instant(one("announced"));
    const key = crypto.createPublicKey({ key: der("302a300506032b6570032100", raw), format: "der", type: "spki" });
    const said = joined("custodian/recipient/v1", name(one("signer")), one("recipient"), one("announced"));
    if (!crypto.verify(null, said, key, base64(one("signature")))) throw new Refusal("forbidden", "not announced");
  },
};

function readVector(file) {
  const data = fs.readFileSync(file);
  const end = data.indexOf("\n\n");
  const rows = data.toString("utf8", 0, end).split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]);
  const all = (field) => rows.filter(([key]) => key === field).map(([, value]) => value);
  return { all, one: (field) => all(field)[0], body: data.subarray(end + 2) };
}

function answer(check, vector) {
  try {
    check(vector);
    return { code: "success", owners: [] };
  } catch (error) {
    if (error instanceof NotHere) return { code: "not here", owners: [] };
    if (error instanceof Refusal) return error;
    return { code: `${error.message}`, owners: [] };
  }
}

const root = process.argv[2] ?? path.join(path.dirname(fileURLToPath(import.meta.url)), "..", "tests", "vectors");
const counts = { read: 0, wrong: 0, "not here": 0 };
for (const directory of [...Object.keys(CHECKS), "frozen"]) {
  for (const file of fs.readdirSync(path.join(root, directory)).sort()) {
    const vector = readVector(path.join(root, directory, file));
    const { code, owners } = answer(CHECKS[directory === "frozen" ? file.split("_")[0] : directory], vector);
    const same = code === vector.one("expect") && (vector.one("wrong") ?? owners.join(" ")) === owners.join(" ");
    counts.read += 1;
    if (code === "not here") counts["not here"] += 1;
    else if (!same) {
      counts.wrong += 1;
      console.log(`${directory}/${file}: expected ${vector.one("expect")}, came to ${code} ${owners}`);
    }
  }
}
console.log(`${counts.read} vectors, ${counts.wrong} disagree, ${counts["not here"]} need what Node.js lacks`);
process.exitCode = counts.wrong || !counts.read ? 1 : 0;
