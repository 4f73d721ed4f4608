// Passkeys (WebAuthn level 3): they sign what an owner agrees to and, with the PRF extension, open a slot.
//
// The user is always verified, by PIN or fingerprint: without, an authenticator gives another PRF output,
// and the custodian does not count what it signed.

import { base64, base64url, fromBase64, hex, random, sha256, utf8 } from "./bytes.js";
import { passkeyUnlock } from "./slots.js";

const ALGORITHMS = [-7, -8, -257]; // ES256, EdDSA, RS256
const PATIENCE = 120_000; // milliseconds for a person to find their key

/** Whether passkeys can be used here; `why` says it where not, and the way on. */
export function available() {
  const { hostname } = location;
  if (/^[0-9.]+$|^\[/.test(hostname)) {
    return no(`browsers have no passkeys for an address such as ${hostname}: open the custodian by its name`);
  }
  if (!isSecureContext) return no("browsers have passkeys only on https pages: open the custodian with https://");
  if (!globalThis.PublicKeyCredential) return no("this browser has no passkeys: use another, or the terminal");
  return { ok: true, why: "" };
}

const no = (why) => ({ ok: false, why });

/**
 * Make a passkey. Returns `{ credential, salt, unlock }`: the credential as the API takes it, the PRF input,
 * and the key of its slot, or null where the authenticator has no PRF. `known` are handles of passkeys that
 * the owner has: the same authenticator would be no second way to open.
 */
export async function createPasskey({ owner, label, rpId, known = [] }) {
  const salt = random(32);
  const made = await ask("create", {
    challenge: random(32),
    rp: { id: rpId, name: "Custodian" },
    user: { id: (await sha256(utf8(`custodian/owner/v1\0${owner}`))).slice(0, 16), name: owner, displayName: owner },
    pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: "public-key", alg })),
    excludeCredentials: known.map(described),
    authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
    extensions: { prf: { eval: { first: salt } } },
  });
  const spki = made.response.getPublicKey();
  if (!spki) throw new Error("this browser does not know the passkey's kind of key; try another passkey");
  const handle = base64(new Uint8Array(made.rawId));
  const id = await passkeyId(handle);
  const credential = { id, kind: "passkey", label, public: base64(new Uint8Array(spki)), handle };
  return { credential, salt: base64(salt), unlock: await unlockOf(made, credential, salt) };
}

/** Many authenticators tell at creation only that they have PRF, and give its output when they are used. */
async function unlockOf(made, credential, salt) {
  const { enabled, results } = made.getClientExtensionResults().prf ?? {};
  if (results?.first) return passkeyUnlock(new Uint8Array(results.first));
  if (!enabled) return null;
  const { prf } = await assertion({
    challenge: random(32),
    credentials: [credential],
    salts: { [credential.id]: base64(salt) },
  });
  return prf ? passkeyUnlock(prf) : null;
}

/**
 * Have a passkey sign `challenge`, 32 bytes. Returns `{ evidence, prf }`, prf null where it gives none.
 * `credentials` are those that may, as the API shows them; none: any that the browser finds for this site.
 * `salts` has the PRF input, base64, of each that has a slot, by its id.
 */
export async function assertion({ challenge, credentials = [], salts = {} }) {
  const byCredential = credentials
    .filter(({ id }) => salts[id])
    .map(({ id, handle }) => [base64url(fromBase64(handle, "the passkey's handle")), { first: fromBase64(salts[id], "the salt") }]);
  const prf = byCredential.length ? { prf: { evalByCredential: Object.fromEntries(byCredential) } } : {};
  const got = await ask("get", {
    challenge,
    allowCredentials: credentials.map(({ handle }) => described(handle)),
    userVerification: "required",
    extensions: prf,
  });
  const { signature, authenticatorData, clientDataJSON } = got.response;
  const first = got.getClientExtensionResults().prf?.results?.first;
  const evidence = {
    kind: "passkey",
    credential: await passkeyId(base64(new Uint8Array(got.rawId))),
    signature: base64(new Uint8Array(signature)),
    authenticator_data: base64(new Uint8Array(authenticatorData)),
    client_data: base64(new Uint8Array(clientDataJSON)),
  };
  return { evidence, prf: first ? new Uint8Array(first) : null };
}

/** What a passkey is called: made from its handle, so that a browser knows it before it knows the owner. */
export async function passkeyId(handle) {
  return `passkey-${hex(await sha256(utf8(handle))).slice(0, 8)}`;
}

const described = (handle) => ({ type: "public-key", id: fromBase64(handle, "the passkey's handle") });

async function ask(verb, publicKey) {
  const { ok, why } = available();
  if (!ok) throw new Error(why);
  try {
    return await navigator.credentials[verb]({ publicKey: { ...publicKey, timeout: PATIENCE } });
  } catch (error) {
    throw new Error(SENTENCES[error.name] ?? `the passkey could not be used (${error.name}); try again`);
  }
}

const SENTENCES = {
  NotAllowedError: "no passkey answered: touch it within two minutes; it must ask for a PIN or a fingerprint",
  InvalidStateError: "this device is enrolled already: take another one, so that losing one loses nothing",
  SecurityError: "the browser refuses passkeys on this page: open the custodian by the name in its configuration",
  NotSupportedError: "this passkey has no kind of key that the custodian knows; take another one",
  AbortError: "the passkey was not used; try again",
};
