// What an owner's side reads of an envelope before a share leaves, and the terms it leaves under; as
// custodian/envelope.py, identity.py, terms.py and lending.py do. Nothing a custodian says is believed:
//
//     facts       the lines above the owners'; a share opens only under those it was dealt with
//     recipient   announced by the identity that the facts pin for the signer
//     terms       made here; the share, sealed again, opens only under them

import { base64, canonicalJson, equal, fromBase64, fromHex, hex, hmac, joined, random, sha256, text } from "./bytes.js";
import { utf8, wipe } from "./bytes.js";
import { open, parsePublicKey, privateKey, seal } from "./hpke.js";

const subtle = globalThis.crypto?.subtle;
const VERSION = "custodian/envelope/v1";
const FIRST_OWNER = "\nowner: ";
const ONCE = ["name", "id", "created", "algorithm", "public", "subject", "policy"];
const INSTANT = /^[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
const DAY = 86_400_000;
const MOST_DAYS = 31;
// y of the points of order 1, 2, 4 and 8 (RFC 8032, section 5.1), little endian, without the sign of x
const SMALL_ORDER = new Set([
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** Read the base64 of an envelope: `{ name, id, signers, holdings, facts }`; `facts` are the bytes as read. */
export function parseEnvelope(encoded) {
  const whole = text(fromBase64(encoded, "the envelope"), "the envelope");
  const end = whole.indexOf(FIRST_OWNER) + 1;
  const header = whole.slice(0, whole.indexOf("\n\n"));
  if (!end || end > header.length || !whole.startsWith(`${VERSION}\n`)) throw malformed();
  const rows = whole.slice(0, end - 1).split("\n").slice(1).map(field);
  const said = Object.fromEntries(ONCE.map((name, place) => [name, rows[place]?.name === name ? rows[place].value : null]));
  if (Object.values(said).includes(null)) throw malformed();
  const signers = rows.slice(ONCE.length).filter(({ name }) => name === "signer").map(({ value }) => value.split(" "));
  const owners = header.slice(end).split("\n").map(field).map(({ value }) => value.split(" "));
  return {
    name: said.name,
    id: said.id,
    signers: once(signers, 2, ([identity]) => identity),
    holdings: once(owners, 4, ([key, commitment, sealed]) => ({ key, commitment, sealed })),
    facts: utf8(whole.slice(0, end)),
  };
}

const malformed = () => new Error("the envelope is not of custodian/envelope/v1; tell an auditor");

function field(line) {
  const [, name, value] = /^([a-z]+): (.*)$/.exec(line) ?? [];
  if (name === undefined) throw malformed();
  return { name, value };
}

/** Rows `name part …` as a map; each name once. */
function once(rows, parts, make) {
  const made = new Map(rows.map(([name, ...rest]) => [name, make(rest)]));
  if (made.size !== rows.length || rows.some((row) => row.length !== parts)) throw malformed();
  return made;
}

/** Return the recipient that `signer`, as the API shows it, announced under the identity the facts pin. */
export async function checkAnnouncement(envelope, signer) {
  const identity = envelope.signers.get(signer.name);
  if (!identity) throw new Error(`${envelope.name} is not sealed for the signer ${signer.name}; nothing was lent`);
  if (!signer.recipient) throw new Error(`${signer.name} has announced no recipient yet; start it, then lend`);
  parsePublicKey(signer.recipient, "the recipient");
  if (!INSTANT.test(signer.announced)) throw new Error("the time of the announcement is not one; tell an auditor");
  const said = joined("custodian/recipient/v1", signer.name, signer.recipient, signer.announced);
  if (!(await verifies(identity, fromBase64(signer.announcement, "the announcement"), said))) {
    throw new Error(
      `what is shown as ${signer.name} was not announced by the identity that ${envelope.name} is sealed for; ` +
        "nothing was lent, tell an auditor",
    );
  }
  return signer.recipient;
}

async function verifies(identity, signature, message) {
  const raw = fromBase64(identity.replace(/^ed25519:/, ""), "the identity");
  const y = raw.slice();
  y[31] &= 0x7f;
  if (!identity.startsWith("ed25519:") || raw.length !== 32 || SMALL_ORDER.has(hex(y))) return false;
  const key = await subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  return subtle.verify("Ed25519", key, signature, message);
}

/** Open `owner`'s share with their key and compare it with the commitment; the caller wipes it. */
export async function openShare(envelope, owner, ownerKey) {
  const holding = envelope.holdings.get(owner);
  if (!holding) throw new Error(`${owner} holds no share of ${envelope.name}`);
  const info = joined("custodian/share/v1", await sha256(envelope.facts), owner);
  const share = await open(await privateKey(ownerKey), info, fromBase64(holding.sealed, "the share")).catch(() => {
    throw new Error(`your share of ${envelope.name} does not open: the envelope is not as it was sealed; tell an auditor`);
  });
  const place = joined("custodian/share/v1", envelope.id, owner, share.slice(0, 16));
  const dealt = fromBase64(holding.commitment, "the commitment");
  if (share.length !== 48 || !equal(await hmac(share.slice(16), place), dealt)) {
    wipe(share);
    throw new Error(`your share of ${envelope.name} is not the one that was dealt; tell an auditor`);
  }
  return share;
}

// --- terms

/** RFC 3339 in UTC with whole seconds. */
export const instant = (moment) => `${moment.toISOString().slice(0, 19)}Z`;

/**
 * The exact terms of what an owner wants to lend, as bytes. `wish` is { key, signer, uses, seconds,
 * constraints, request }; `now` a Date, from which on it is lent.
 */
export function makeTerms({ envelope, owner, wish, recipient, now }) {
  const { profiles = [], names = [], max_validity = 0, ca = false } = wish.constraints ?? {};
  if (!Number.isSafeInteger(wish.uses) || wish.uses < 1 || wish.uses > 1_000_000) {
    throw new Error("lend for 1 to 1,000,000 uses");
  }
  if (!Number.isSafeInteger(wish.seconds) || wish.seconds < 1 || wish.seconds * 1000 > MOST_DAYS * DAY) {
    throw new Error(`lend for at most ${MOST_DAYS} days`);
  }
  const start = new Date(Math.floor(now.getTime() / 1000) * 1000);
  return canonicalJson({
    type: "custodian/terms/v1",
    key: envelope.name,
    key_id: envelope.id,
    owner,
    signer: wish.signer,
    recipients: [recipient],
    uses: wish.uses,
    start: instant(start),
    end: instant(new Date(start.getTime() + wish.seconds * 1000)),
    constraints: { profiles, names, max_validity, ca: Number(ca) },
    request: wish.request ?? "",
    nonce: hex(random(16)),
  });
}

/** Seal a share to each recipient, bound to `terms`: recipient -> base64. */
export async function sealShare(share, terms, recipients) {
  const info = joined("custodian/delegation/v1", await sha256(terms));
  const each = recipients.map(async (recipient) => {
    const sealed = await seal(parsePublicKey(recipient, "the recipient"), info, share);
    return [recipient, base64(sealed)];
  });
  return Object.fromEntries(await Promise.all(each));
}
