// The owner's side of lending, in the browser: custodian/lending.py for people with a passkey or a device key.
//
// The custodian is asked for what it keeps and sent what it may have: terms, the share sealed to the signer
// under them, and a signature that the owner agreed. The owner's key and share never leave this page. (Who
// serves this page could serve another: that is what the terminal is for; docs/threat-model.md.)

import { callWithTime, call } from "./api.js";
import { base64, sha256, wipe } from "./bytes.js";
import { checkAnnouncement, makeTerms, openShare, parseEnvelope, sealShare } from "./envelope.js";
import { assertion } from "./passkey.js";
import { deviceEvidence, openSlot, parseSlot, passkeyUnlock, readDeviceKey } from "./slots.js";

const CLOCKS_MAY_DIFFER = 300_000; // milliseconds

export const NO_PRF =
  "this passkey signs but cannot open your share: choose your device key file as well, " +
  "or lend with your password or at the terminal";

/**
 * Lend `wish`, { key, signer, uses, seconds, constraints, request }, as `me`. A passkey signs the terms and
 * opens the share, in one gesture. With the text of a device key file in `device`, the device key opens the
 * share, and signs too unless `passkey` is true. Returns what the API says of the delegation.
 */
export async function lend({ wish, me, device = "", passkey = !device }) {
  const [mine, { answer: key, time }, signers] = await Promise.all([
    call("GET", "/me"),
    callWithTime("GET", `/keys/${encodeURIComponent(wish.key)}`),
    call("GET", "/signers"),
  ]);
  const signer = signers.find(({ name }) => name === wish.signer);
  if (!signer) throw new Error(`there is no signer ${wish.signer}; load the page again`);
  const deviceKey = device && (await readDeviceKey(device));
  const grant = await makeGrant({ wish, mine: own(mine, me), key, signer, now: checked(time), deviceKey, passkey });
  return call("POST", "/grants", grant);
}

/** Make a grant of what the API said; nothing is asked or sent here. */
export async function makeGrant({ wish, mine, key, signer, now, deviceKey, passkey }) {
  const envelope = parseEnvelope(key.envelope);
  if (envelope.name !== wish.key) throw new Error(`the envelope is of ${envelope.name}, not of ${wish.key}; tell an auditor`);
  const recipient = await checkAnnouncement(envelope, signer);
  const terms = makeTerms({ envelope, owner: mine.name, wish, recipient, now });
  const { evidence, ownerKey } = await agree(terms, mine, deviceKey, passkey);
  const share = await openShare(envelope, mine.name, ownerKey).finally(() => wipe(ownerKey));
  const sealed = await sealShare(share, terms, [recipient]).finally(() => wipe(share));
  return { type: "custodian/grant/v1", terms: base64(terms), sealed, evidence };
}

async function agree(terms, mine, deviceKey, passkey) {
  if (!passkey) {
    const { slot, credential } = ofDevice(mine, deviceKey);
    if (!credential) throw new Error("this device key opens your share but may not sign for you; sign with your passkey");
    const evidence = await deviceEvidence(deviceKey, credential.id, terms);
    return { evidence, ownerKey: await openSlot(slot, deviceKey.unlock) };
  }
  const { evidence, prf } = await signedByPasskey(terms, mine, deviceKey);
  if (deviceKey) return { evidence, ownerKey: await openSlot(ofDevice(mine, deviceKey).slot, deviceKey.unlock) };
  const slot = slotsOf(mine).find(({ id }) => id === evidence.credential);
  if (!prf || !slot) throw new Error(NO_PRF);
  const ownerKey = await openSlot(slot, await passkeyUnlock(prf)).finally(() => wipe(prf));
  return { evidence, ownerKey };
}

/** Without a device key, only passkeys that have a slot are asked, if there are such. */
async function signedByPasskey(terms, mine, deviceKey) {
  const salts = Object.fromEntries(
    slotsOf(mine).filter(({ kind }) => kind === "passkey").map(({ id, parameters }) => [id, parameters.salt]),
  );
  const passkeys = mine.credentials.filter(({ kind }) => kind === "passkey");
  if (!passkeys.length) throw new Error("you have no passkey here yet; add one on your own page, or lend with your password");
  const opening = passkeys.filter(({ id }) => salts[id]);
  const credentials = deviceKey || !opening.length ? passkeys : opening;
  return assertion({ challenge: await sha256(terms), credentials, salts: deviceKey ? {} : salts });
}

/** The slot that a device key opens, and the credential it signs as, if it has one. */
export function ofDevice(mine, deviceKey) {
  if (deviceKey.owner !== mine.name) throw new Error(`this device key is ${deviceKey.owner}'s, not yours; choose your own`);
  const slot = slotsOf(mine).find((each) => each.public === deviceKey.slotPublic);
  if (!slot) throw new Error("this device key was removed, or never was one of yours; choose another");
  return { slot, credential: mine.credentials.find((each) => each.public === deviceKey.public) };
}

export const slotsOf = (mine) => mine.slots.map(parseSlot);

function own(mine, me) {
  if (mine.name !== me.name) throw new Error(`you are signed in as ${mine.name} now; load the page again`);
  return mine;
}

/** Terms hold exact times: neither a wrong clock here nor one there may stretch them. */
function checked(time) {
  if (Math.abs(time.getTime() - Date.now()) > CLOCKS_MAY_DIFFER) {
    throw new Error("the clocks of this device and of the custodian differ by more than five minutes; set them right first");
  }
  return time;
}
