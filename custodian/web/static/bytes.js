// Bytes and texts. Each reader accepts one spelling of a value, as custodian/encoding.py does, and throws
// an Error whose message is a sentence for people.

const subtle = globalThis.crypto?.subtle; // absent where the page is not secure; passkey.js says so
const encoder = new TextEncoder();
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export const utf8 = (text) => encoder.encode(text);

export function text(bytes, what) {
  try {
    return strict.decode(bytes);
  } catch {
    throw new Error(`${what} is not text`);
  }
}

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let end = 0;
  for (const part of parts) {
    whole.set(part, end);
    end += part.length;
  }
  return whole;
}

/** Texts and bytes with a zero byte between them. */
export function joined(...parts) {
  const bytes = parts.map((part) => (typeof part === "string" ? utf8(part) : part));
  return concat(...bytes.flatMap((part, place) => (place ? [new Uint8Array(1), part] : [part])));
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export function fromHex(digits, what) {
  if (!/^(?:[0-9a-f]{2})*$/.test(digits)) throw new Error(`${what} is not lower-case hexadecimal`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

/** RFC 4648 section 4, with padding; only the canonical spelling. */
export function fromBase64(spelling, what) {
  let bytes = null;
  try {
    bytes = Uint8Array.from(atob(spelling), (character) => character.charCodeAt(0));
  } catch {
    throw new Error(`${what} is not base64`);
  }
  if (base64(bytes) !== spelling) throw new Error(`${what} is not canonical base64`);
  return bytes;
}

export const base64url = (bytes) => base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** RFC 8785 for the values our formats have: objects and lists of texts and integers. */
export const canonicalJson = (value) => utf8(canonical(value));

function canonical(value) {
  if (typeof value === "string" && value.isWellFormed()) return JSON.stringify(value);
  if (Number.isSafeInteger(value)) return String(value);
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") throw new Error("only texts and integers have one spelling");
  const members = Object.keys(value).sort().map((key) => `${canonical(key)}:${canonical(value[key])}`);
  return `{${members.join(",")}}`;
}

/** Read an object whose bytes are exactly its canonical JSON. */
export function parseCanonicalJson(bytes, what) {
  let value = null;
  try {
    value = JSON.parse(text(bytes, what));
  } catch {
    throw new Error(`${what} is not JSON`);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    throw new Error(`${what} is not a JSON object`);
  }
  if (!equal(canonicalJson(value), bytes)) throw new Error(`${what} is not canonical JSON`);
  return value;
}

export const equal = (one, other) =>
  one.length === other.length && one.every((byte, place) => byte === other[place]);

export const random = (size) => crypto.getRandomValues(new Uint8Array(size));

export const sha256 = async (bytes) => new Uint8Array(await subtle.digest("SHA-256", bytes));

export async function hmac(key, bytes) {
  const padded = key.length ? key : new Uint8Array(32); // the same to HMAC; an empty one is refused here
  const imported = await subtle.importKey("raw", padded, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, bytes));
}

/** HKDF-SHA-256 (RFC 5869) with an empty salt; 32 bytes. */
export async function hkdf(secret, info) {
  const imported = await subtle.importKey("raw", secret, "HKDF", false, ["deriveBits"]);
  const how = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info: utf8(info) };
  return new Uint8Array(await subtle.deriveBits(how, imported, 256));
}

/** Overwrite secrets. A script cannot know that it left no other copy: this is the best it can do. */
export function wipe(...secrets) {
  for (const secret of secrets) secret?.fill(0);
}
