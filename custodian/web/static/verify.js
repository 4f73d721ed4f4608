// "Verify in this browser": fetches every entry, recomputes the tree, compares its root with the signed
// checkpoint and with what this browser saw at its last visit. What it finds first it tells by number.

import { base64, equal, fromBase64, hex, text } from "./bytes.js";
import { checkEvidence, isAboutEvidence } from "./evidence.js";
import { growTree, isConsistent, leafHash, openCheckpoint, rootOf } from "./tree.js";

const API = "/api/v1/history";
const PAGE = 2000; // entries fetched at once
const MEMORY = "custodian.history"; // in localStorage: { vkey, size, root, time }
const HASH = 32;
const NEWLINE = 10;

/** Something is wrong with the history, or may be: a sentence, and the entry it is about if one is known. */
class Finding extends Error {
  constructor(title, detail, { seq = null, state = "wax" } = {}) {
    super(title);
    Object.assign(this, { detail, seq, state });
  }
}

async function get(path) {
  const answer = await fetch(`${API}${path}`, { cache: "no-store" });
  if (answer.status === 401) throw new Finding("Nobody is signed in any more", "Sign in again, then verify.", { state: "wait" });
  if (!answer.ok) throw new Finding("Not verified", "The custodian did not give all that is needed. Try again.", { state: "wait" });
  return answer;
}

// --- what this browser remembers

function remembered() {
  try {
    const seen = JSON.parse(localStorage.getItem(MEMORY));
    return seen && Number.isSafeInteger(seen.size) && typeof seen.vkey === "string" ? seen : null;
  } catch {
    return null;
  }
}

const onDay = (time) => new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });

// --- the check

async function verify(vkey, progress) {
  const seen = remembered();
  if (seen && seen.vkey !== vkey) {
    const detail = `On ${onDay(seen.time)} it was ${seen.vkey}, now it is ${vkey}. Compare it with the key you were given when you enrolled, and ask why it changed.`;
    throw new Finding("The key that signs this history has changed", detail);
  }
  const note = await (await get("/checkpoint")).text();
  const head = await openCheckpoint(note, vkey).catch((error) => {
    throw new Finding("The checkpoint is not signed", `It cannot be trusted: ${error.message}.`);
  });
  if (seen && head.size < seen.size) {
    const detail = `On ${onDay(seen.time)} this browser saw ${number(seen.size)} entries, now there are ${number(head.size)}: the history was rolled back.`;
    throw new Finding(`Entries ${number(head.size)} and later are gone`, detail, { seq: head.size });
  }
  const { leaves, grants } = await fetchEntries(head.size, progress);
  const levels = await growTree(leaves);
  const root = await rootOf(levels, head.size);
  if (!equal(root, head.root)) throw await findBad(levels, head.size, vkey);
  if (seen && base64(await rootOf(levels, seen.size)) !== seen.root) {
    const detail = `They are not the entries this browser saw on ${onDay(seen.time)}, although the new ones are signed: the history was rewritten.`;
    throw new Finding(`The first ${number(seen.size)} entries have changed`, detail);
  }
  const agreed = await checkEvidence(grants);
  if (agreed.bad) {
    const { seq, owner } = agreed.bad;
    throw new Finding(`Entry ${number(seq)} is not signed by ${owner}`, "The signature in it does not fit the terms and the key of this owner.", { seq });
  }
  checkShown(leaves);
  const now = { vkey, size: head.size, root: head.spelled, time: new Date().toISOString() };
  localStorage.setItem(MEMORY, JSON.stringify(now));
  return { head, seen, agreed, name: vkey.split("+")[0] };
}

/** The hashes of all entries, and the entries that tell who agreed to what. */
async function fetchEntries(size, progress) {
  const [leaves, grants] = [new Uint8Array(size * HASH), []];
  for (let at = 0; at < size; progress(at, size)) {
    const lines = split(await (await get(`/lines?start=${at}&limit=${Math.min(PAGE, size - at)}`)).arrayBuffer());
    if (!lines.length) throw missing(at);
    grants.push(...lines.map((line, i) => parseEntry(line, at + i)).filter(isAboutEvidence));
    const hashes = await Promise.all(lines.map(leafHash));
    hashes.forEach((hash, i) => leaves.set(hash, (at + i) * HASH));
    at += lines.length;
  }
  return { leaves, grants };
}

function split(buffer) {
  const [bytes, lines] = [new Uint8Array(buffer), []];
  for (let start = 0, end; start < bytes.length; start = end + 1) {
    end = bytes.indexOf(NEWLINE, start);
    if (end < 0) end = bytes.length;
    lines.push(bytes.subarray(start, end));
  }
  return lines;
}

/** Parse the entry that must be number `seq`. */
function parseEntry(line, seq) {
  let entry = null;
  try {
    entry = JSON.parse(text(line, "an entry"));
  } catch {
    throw new Finding(`Entry ${number(seq)} is damaged`, "It is not an entry any more.", { seq });
  }
  if (entry.seq > seq) throw missing(seq, entry.seq);
  if (entry.seq !== seq) throw new Finding(`Entry ${number(seq)} was changed`, `Another stands in its place, ${entry.seq}.`, { seq });
  return entry;
}

function missing(seq, next = null) {
  const detail = next === null ? "Nor is any after it there." : `Entry ${number(next)} stands in its place.`;
  return new Finding(`Entry ${number(seq)} is missing`, detail, { seq });
}

/** The first entry with which the history is no longer what the custodian signed. */
async function findBad(levels, size, vkey) {
  const intact = async (old) => {
    const { checkpoint, proof } = await (await get(`/consistency?from=${old}`)).json();
    const hashes = proof.map((each) => fromBase64(each, "a proof"));
    return isConsistent({ size: old, root: await rootOf(levels, old) }, await openCheckpoint(checkpoint, vkey), hashes);
  };
  let [good, bad] = [0, size];
  while (bad - good > 1) {
    const middle = Math.floor((good + bad) / 2);
    if (await intact(middle)) good = middle;
    else bad = middle;
  }
  const detail = good ? "It is not the entry that was signed; those before it are." : "It is not the entry that was signed.";
  return new Finding(`Entry ${number(good)} was changed`, detail, { seq: good });
}

/** What this page shows must be what was verified. */
function checkShown(leaves) {
  for (const row of document.querySelectorAll("[data-leaf]")) {
    const seq = Number(row.dataset.seq);
    const leaf = leaves.subarray(seq * HASH, (seq + 1) * HASH);
    if (leaf.length && hex(leaf) !== row.dataset.leaf) {
      throw new Finding(`Entry ${number(seq)} is not as this page shows it`, "What was verified says something else; see it in the export.", { seq });
    }
  }
}

// --- what the page shows of it

const part = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en-GB");
const short = (root) => `${hex(root).slice(0, 4)}…${hex(root).slice(-4)}`;
const panel = part("verify");

function show(state, title, detail) {
  panel.dataset.state = state;
  part("verdict").textContent = title;
  part("proof-detail").textContent = detail;
}

function progress(done, size) {
  const bar = part("proof-progress");
  bar.hidden = false;
  [bar.max, bar.value] = [size, done];
  part("proof-detail").textContent = `${number(done)} of ${number(size)} entries`;
}

function tell({ head, seen, agreed, name }) {
  const changed = seen
    ? `Nothing was dropped or changed since your last visit on ${onDay(seen.time)}.`
    : "This browser remembers them from now on; a later change will show.";
  const signatures = agreed.checked ? ` ${number(agreed.checked)} ${agreed.checked === 1 ? "signature" : "signatures"} of owners checked.` : "";
  const left = agreed.ssh ? ` ${number(agreed.ssh)} by SSH keys cannot be checked in a browser.` : "";
  const found = `${number(head.size)} entries, root ${short(head.root)}, signed by ${name}.${signatures}${left}`;
  show("live", seen ? "Verified in this browser" : "Verified in this browser, for the first time", `${found} ${changed}`);
}

function warn(error) {
  const known = error instanceof Finding;
  if (!known) console.warn(error);
  show(known ? error.state : "wait", known ? error.message : "Not verified", known ? error.detail : "The check did not get to its end. Try again.");
  part("verify-forget").hidden = !remembered() || (known && error.state !== "wax");
  if (known && error.seq !== null) mark(error.seq);
}

function mark(seq) {
  panel.dataset.seq = String(seq);
  document.querySelector(`li[data-seq="${seq}"]`)?.classList.add("bad");
}

async function run() {
  const button = part("verify-now");
  button.disabled = true;
  document.querySelectorAll("li.bad").forEach((row) => row.classList.remove("bad"));
  delete panel.dataset.seq;
  show("wait", "Verifying…", "");
  try {
    tell(await verify(panel.dataset.vkey, progress));
  } catch (error) {
    warn(error);
  }
  part("proof-progress").hidden = true;
  button.disabled = false;
  button.textContent = "Verify again";
}

function forget() {
  localStorage.removeItem(MEMORY);
  part("verify-forget").hidden = true;
  show("wait", "This browser has forgotten what it saw", "The next check begins anew and can tell nothing of what was before.");
}

part("verify-now").hidden = false;
part("verify-now").addEventListener("click", run);
part("verify-forget").addEventListener("click", forget);
