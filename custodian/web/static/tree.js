// The Merkle tree of the history (RFC 6962) and its signed checkpoint (C2SP signed-note, tlog-checkpoint), as
// custodian/merkle.py, note.py and checkpoint.py have them.

import { concat, equal, fromBase64, hex, sha256, utf8 } from "./bytes.js";

const HASH = 32;
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);
const ED25519 = 1;
const AT_ONCE = 4096; // hashes the browser is given before anything else has its turn

export const leafHash = (entry) => sha256(concat(LEAF, entry));
const nodeHash = (left, right) => sha256(concat(NODE, left, right));
const odd = (number) => number % 2 === 1;
const half = (number) => Math.floor(number / 2);

/** Every complete subtree over `leaves`, hashes side by side: the leaves, then each level above them. */
export async function growTree(leaves) {
  const levels = [leaves];
  while (levels.at(-1).length > HASH) levels.push(await nextLevel(levels.at(-1)));
  return levels;
}

async function nextLevel(level) {
  const count = half(level.length / HASH);
  const next = new Uint8Array(count * HASH);
  for (let at = 0; at < count; at += AT_ONCE) {
    const pairs = Array.from({ length: Math.min(AT_ONCE, count - at) }, (_, i) => 2 * HASH * (at + i));
    const hashes = await Promise.all(pairs.map((first) => sha256(concat(NODE, level.subarray(first, first + 2 * HASH)))));
    hashes.forEach((hash, i) => next.set(hash, (at + i) * HASH));
  }
  return next;
}

/** The root over the first `size` leaves of a tree that was grown. */
export async function rootOf(levels, size) {
  let root = null;
  for (let level = 0, rest = size; rest > 0; level += 1, rest = half(rest)) {
    if (!odd(rest)) continue;
    const peak = levels[level].subarray((rest - 1) * HASH, rest * HASH);
    root = root ? await nodeHash(peak, root) : peak;
  }
  return root ?? sha256(new Uint8Array());
}

/** Whether `proof` shows that the tree with `root` begins with the tree of `old` (RFC 9162 section 2.1.4.2). */
export async function isConsistent(old, { size, root }, proof) {
  if (old.size === size) return proof.length === 0 && equal(old.root, root);
  const path = Math.log2(old.size) % 1 === 0 ? [old.root, ...proof] : [...proof];
  if (!path.length) return false;
  let [first, last] = [old.size - 1, size - 1];
  while (odd(first)) [first, last] = [half(first), half(last)];
  let [before, after] = [path[0], path[0]];
  for (const hash of path.slice(1)) {
    if (last === 0) return false;
    if (odd(first) || first === last) {
      [before, after] = [await nodeHash(hash, before), await nodeHash(hash, after)];
      while (!odd(first) && first !== 0) [first, last] = [half(first), half(last)];
    } else {
      after = await nodeHash(after, hash);
    }
    [first, last] = [half(first), half(last)];
  }
  return last === 0 && equal(before, old.root) && equal(after, root);
}

/** The key of a log, from `name+key id+base64(1 || public key)`. */
export async function parseVkey(text) {
  const [, name, id, spelled] = /^([^\s+]+)\+([0-9a-f]{8})\+(.+)$/.exec(text) ?? [];
  const raw = spelled ? fromBase64(spelled, "the key of the history") : new Uint8Array();
  if (raw.length !== 1 + HASH || raw[0] !== ED25519) throw new Error("the key of the history is of no kind known here");
  const keyId = (await sha256(concat(utf8(`${name}\n`), raw))).subarray(0, 4);
  if (id !== hex(keyId)) {
    throw new Error("the key of the history does not belong to its name");
  }
  return { name, keyId, public: raw.subarray(1) };
}

/** Size and root that a checkpoint signs; throws unless the log's key signed it. */
export async function openCheckpoint(note, vkey) {
  const end = note.lastIndexOf("\n\n");
  const [text, lines] = [note.slice(0, end + 1), note.slice(end + 2)];
  const log = await parseVkey(vkey);
  const key = await crypto.subtle.importKey("raw", log.public, "Ed25519", false, ["verify"]);
  let signed = false;
  for (const line of end < 0 ? [] : lines.trimEnd().split("\n")) {
    const [, name, spelled] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    const raw = spelled ? fromBase64(spelled, "a signature") : new Uint8Array();
    if (name !== log.name || !equal(raw.subarray(0, 4), log.keyId)) continue; // of a witness
    signed = await crypto.subtle.verify("Ed25519", key, raw.subarray(4), utf8(text));
    if (!signed) break;
  }
  if (!signed) throw new Error("its signature is not that of the key of this history");
  const [origin, size, root, ...more] = text.trimEnd().split("\n");
  if (origin !== log.name || more.length || !/^(0|[1-9][0-9]{0,15})$/.test(size)) throw new Error("it is not a checkpoint of this history");
  return { size: Number(size), root: fromBase64(root, "its root"), spelled: root };
}
