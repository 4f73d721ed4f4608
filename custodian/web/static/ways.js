// The ways in which an owner opens what is theirs: made, added and removed in the browser.
//
// A *way* is a credential, which proves that the owner agreed, and mostly a slot of the same id, which opens
// their key. The owner's key is made, opened and sealed here; the custodian gets public keys, sealed slots
// and signatures.

import { basic, call } from "./api.js";
import { canonicalJson, hex, joined, random, sha256, utf8, wipe } from "./bytes.js";
import { privateKey } from "./hpke.js";
import { ofDevice, slotsOf } from "./lending.js";
import { assertion, createPasskey } from "./passkey.js";
import { deviceEvidence, makeSlot, newDeviceKey, newOwnerKey, openSlot, passkeyUnlock, publicText } from "./slots.js";
import { readDeviceKey } from "./slots.js";

const ENOUGH = 2; // whoever loses their only way loses their shares

/**
 * Make a passkey for `owner`: `{ credential, parameters, unlock, possess }`. `unlock` is null where it has no
 * PRF: then it signs, and something else must open. `possess` has it sign a message.
 */
export async function makePasskey({ owner, label, rpId, known = [] }) {
  const { credential, salt, unlock } = await createPasskey({ owner, label, rpId, known });
  const possess = async (message) =>
    (await assertion({ challenge: await sha256(message), credentials: [credential] })).evidence;
  return { credential, parameters: { credential: credential.handle, salt }, unlock, possess };
}

/** Make a device key: the same, and the text of its `file`, to be kept by its owner and nobody else. */
export async function makeDevice({ owner, label }) {
  const device = await newDeviceKey(owner, label);
  const id = `device-${hex(await sha256(utf8(device.public))).slice(0, 8)}`;
  const credential = { id, kind: "device", label, public: device.public };
  const possess = (message) => deviceEvidence(device, id, message);
  return { credential, parameters: { label }, unlock: device.unlock, possess, file: device.file };
}

/** Give a device key's file to its owner, before it counts: a key that nobody kept opens nothing. */
export function saveFile(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function slotOf({ credential, parameters, unlock }, owner, ownerKey) {
  const { id, kind } = credential;
  return unlock ? makeSlot(ownerKey, { owner, id, kind, parameters, unlock }) : "";
}

// --- becoming an owner

/** An owner who is about to enrol: `{ name, key, ways }`. The key stays in this page until `enrol` wipes it. */
export const newOwner = (name) => ({ name, key: newOwnerKey(), ways: [] });

/** Whether `owner` may enrol: if not, the sentence that says what is missing. */
export function missing({ ways }) {
  const opening = ways.filter(({ unlock }) => unlock).length;
  if (opening >= ENOUGH) return "";
  if (!opening) return "make two ways to open your share, such as a passkey and a device key";
  return "make one more way to open your share: if the only one is lost, your share is lost";
}

/** Enrol by an invitation's code; each way signs that it is this owner's. */
export async function enrol(owner, invitation) {
  const why = missing(owner);
  if (why) throw new Error(why);
  const spelling = await publicText(await privateKey(owner.key));
  const message = joined("custodian/enrolment/v1", owner.name, spelling);
  const possession = [];
  for (const way of owner.ways) possession.push(await way.possess(message)); // one gesture after the other
  const slots = await Promise.all(owner.ways.map((way) => slotOf(way, owner.name, owner.key)));
  const credentials = owner.ways.map(({ credential }) => credential);
  const body = { invitation, public: spelling, slots: slots.filter((slot) => slot), credentials, possession };
  const enrolled = await call("POST", "/enrolments/devices", body);
  wipe(owner.key);
  return enrolled;
}

// --- later

/**
 * Add a way that `makePasskey` or `makeDevice` made. `proof` says how `me`, as the API shows them, opens and
 * agrees: { password }, { device: the text of a file }, or {}: by a passkey they have. Returns `me` anew.
 */
export async function addWay({ me, way, proof }) {
  const said = `${way.credential.kind} ${way.credential.public}`;
  const agreed = (slot) => canonicalJson({ type: "custodian/slot-added/v1", owner: me.name, slot, credential: said });
  if (proof.password) {
    const opens = way.unlock ? { public: await publicText(way.unlock), parameters: way.parameters } : {};
    const body = { ...opens, credential: way.credential, possession: await way.possess(agreed("")) };
    return call("POST", "/me/slots", body, { authorization: basic(me.name, proof.password) });
  }
  const slot = way.unlock ? await sealedAnew(me, way, proof) : "";
  const possession = await way.possess(agreed(slot));
  const evidence = await agree(me, agreed(slot), proof);
  return call("POST", "/me/slots", { slot, credential: way.credential, possession, evidence });
}

/** Remove the slot and the credential of this id. */
export async function removeWay({ me, id, proof }) {
  const path = `/me/slots/${encodeURIComponent(id)}/remove`;
  if (proof.password) return call("POST", path, {}, { authorization: basic(me.name, proof.password) });
  return call("POST", path, { evidence: await agree(me, joined("custodian/slot-removed/v1", me.name, id), proof) });
}

async function sealedAnew(me, way, proof) {
  const ownerKey = await (proof.device ? openByDevice(me, proof.device) : openByPasskey(me));
  return slotOf(way, me.name, ownerKey).finally(() => wipe(ownerKey));
}

async function openByDevice(me, file) {
  const device = await readDeviceKey(file);
  return openSlot(ofDevice(me, device).slot, device.unlock);
}

async function openByPasskey(me) {
  const slots = slotsOf(me).filter(({ kind }) => kind === "passkey");
  const credentials = me.credentials.filter(({ id }) => slots.some((slot) => slot.id === id));
  if (!credentials.length) throw new Error("no passkey of yours opens your share: use your password or a device key file");
  const salts = Object.fromEntries(slots.map(({ id, parameters }) => [id, parameters.salt]));
  const { evidence, prf } = await assertion({ challenge: random(32), credentials, salts });
  if (!prf) throw new Error("this passkey did not open your share: use another way");
  return openSlot(slots.find(({ id }) => id === evidence.credential), await passkeyUnlock(prf));
}

async function agree(me, message, { device }) {
  if (device) {
    const key = await readDeviceKey(device);
    const { credential } = ofDevice(me, key);
    if (!credential) throw new Error("this device key may not sign for you; use another way");
    return deviceEvidence(key, credential.id, message);
  }
  const credentials = me.credentials.filter(({ kind }) => kind === "passkey");
  if (!credentials.length) throw new Error("you have no passkey yet: use your password or a device key file");
  return (await assertion({ challenge: await sha256(message), credentials })).evidence;
}
