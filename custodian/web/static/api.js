// Calls to the custodian. Whatever goes wrong is an Error whose message is a sentence to show.

const ROOT = "/api/v1";

/**
 * Make one call; return what it answers. `authorization` is HTTP Basic of what somebody typed, for the calls
 * that need a password; otherwise the cookie says who it is.
 */
export async function call(verb, path, body = null, { authorization = "" } = {}) {
  const { answer } = await exchange(verb, path, body, authorization);
  return answer;
}

/** The same, with the custodian's time at its answer, a Date. */
export async function callWithTime(verb, path) {
  const { answer, headers } = await exchange(verb, path, null, "");
  return { answer, time: new Date(headers.get("Date")) };
}

/** HTTP Basic of a name and a password, for one call. */
export function basic(name, password) {
  const bytes = new TextEncoder().encode(`${name}:${password}`);
  return `Basic ${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
}

async function exchange(verb, path, body, authorization) {
  const headers = new Headers();
  if (body !== null) headers.set("Content-Type", "application/json");
  if (authorization) headers.set("Authorization", authorization);
  let response = null;
  try {
    response = await fetch(ROOT + path, { method: verb, headers, body: body === null ? null : JSON.stringify(body) });
  } catch {
    throw new Error("the custodian does not answer; nothing was sent twice, try again when it is back");
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw problem(response.status, answer);
  return { answer, headers: response.headers };
}

function problem(status, answer) {
  const error = new Error(answer?.detail ?? `the custodian answered ${status}; its log tells more`);
  return Object.assign(error, { status, type: answer?.type ?? "", field: answer?.field ?? "" });
}
