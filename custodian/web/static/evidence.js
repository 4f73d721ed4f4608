// Whether owners agreed to what the history says they lent: the signatures of their passkeys and device keys
// over the terms, as custodian/evidence.py and webauthn.py check them. Those of SSH keys are only counted.

import { base64url, concat, fromBase64, fromHex, sha256, text, utf8 } from "./bytes.js";

const PRESENT_AND_VERIFIED = 0x05;
const FLAGS_AT = 32; // after the hash of the domain
const HALF = 32; // bytes of r and of s on P-256
const ED25519 = { spki: 44, name: "Ed25519" }; // by the length of their SubjectPublicKeyInfo
const P256 = { spki: 91, name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };

/** What of an entry is needed to check who agreed to what; null of all others. */
export const isAboutEvidence = ({ type }) => type === "credential.added" || type === "delegation.granted";

/**
 * Check entries in their order. Returns how many signatures were `checked`, how many by SSH keys were not,
 * and the first entry whose signature is not its owner's, or null.
 */
export async function checkEvidence(entries) {
  const credentials = new Map();
  const found = { checked: 0, ssh: 0, bad: null };
  for (const entry of entries) {
    if (entry.type === "credential.added") {
      credentials.set(`${entry.owner} ${entry.credential}`, entry);
    } else if (entry.evidence?.kind === "ssh") {
      found.ssh += 1;
    } else if (entry.evidence && entry.evidence.kind !== "password") {
      const credential = credentials.get(`${entry.owner} ${entry.evidence.credential}`);
      if (!(await agreed(entry, credential).catch(() => false))) return { ...found, bad: entry };
      found.checked += 1;
    }
  }
  return found;
}

function agreed({ evidence, terms_sha256 }, credential) {
  if (credential?.kind !== evidence.kind) return Promise.resolve(false);
  return CHECKS[evidence.kind](evidence, credential.public, fromHex(terms_sha256, "a digest"));
}

const CHECKS = {
  device: async ({ signature }, spelled, digest) => {
    const raw = fromBase64(spelled.replace(/^ed25519:/, ""), "a device key");
    const key = await crypto.subtle.importKey("raw", raw, ED25519.name, false, ["verify"]);
    const signed = concat(utf8("custodian/evidence/v1\0"), digest);
    return crypto.subtle.verify(ED25519.name, key, fromBase64(signature, "a signature"), signed);
  },
  passkey: async ({ signature, authenticator_data, client_data }, spelled, digest) => {
    const [authenticator, client] = [authenticator_data, client_data].map((each) => fromBase64(each, "evidence"));
    const { type, challenge } = JSON.parse(text(client, "evidence"));
    if (type !== "webauthn.get" || challenge !== base64url(digest)) return false;
    if ((authenticator[FLAGS_AT] & PRESENT_AND_VERIFIED) !== PRESENT_AND_VERIFIED) return false;
    const signed = concat(authenticator, await sha256(client));
    return verifyBySpki(fromBase64(spelled, "a passkey"), fromBase64(signature, "a signature"), signed);
  },
};

async function verifyBySpki(spki, signature, signed) {
  const algorithm = [ED25519, P256].find((each) => each.spki === spki.length) ?? RSA;
  const key = await crypto.subtle.importKey("spki", spki, algorithm, false, ["verify"]);
  return crypto.subtle.verify(algorithm, key, algorithm === P256 ? fromDer(signature) : signature, signed);
}

/** Two integers in DER (RFC 3279) as the two halves that WebCrypto takes. */
function fromDer(der) {
  const first = 4 + der[3];
  const halves = [der.subarray(4, first), der.subarray(first + 2)];
  return concat(...halves.map((half) => {
    const value = half.subarray(Math.max(0, half.length - HALF)); // a zero in front says that it is positive
    return concat(new Uint8Array(HALF - value.length), value);
  }));
}
