// One's own page: add a passkey, which opens one's share and proves who one is.
//
// The owner's key is sealed to the new passkey by the custodian, in a process that sees the password and ends;
// the passkey's own secret never leaves this page.

import { basic, call } from "./api.js";
import { canonicalJson, sha256 } from "./bytes.js";
import { refresh, sentence } from "./live.js";
import { assertion, available, createPasskey } from "./passkey.js";
import { publicText } from "./slots.js";

const form = document.getElementById("add-passkey");
const problem = form.querySelector("[data-problem]");

async function add() {
  const owner = document.body.dataset.me;
  const password = form.elements.password.value;
  if (!password) throw new Error("type your password: it proves that it is you who adds a passkey");
  const label = form.elements.label.value.trim() || "passkey";
  const { credentials } = await call("GET", "/me");
  const known = credentials.filter(({ kind }) => kind === "passkey").map(({ handle }) => handle);
  const { credential, salt, unlock } = await createPasskey({ owner, label, rpId: form.dataset.rpId, known });
  const body = { credential, possession: await possession(owner, credential) };
  if (unlock) Object.assign(body, { public: await publicText(unlock), parameters: { credential: credential.handle, salt } });
  await call("POST", "/me/slots", body, { authorization: basic(owner, password) });
  return unlock !== null;
}

/** The new passkey signs what is added: so nobody adds one that is not theirs. */
async function possession(owner, { id, kind, public: key, handle }) {
  const added = { type: "custodian/slot-added/v1", owner, slot: "", credential: `${kind} ${key}` };
  const { evidence } = await assertion({ challenge: await sha256(canonicalJson(added)), credentials: [{ id, handle }] });
  return evidence;
}

async function send(button) {
  problem.hidden = true;
  button.disabled = true;
  try {
    const opens = await add();
    form.reset();
    form.removeAttribute("data-touched");
    if (!opens) say("It signs for you, but this authenticator cannot open your share: keep another way to do that.");
    refresh();
  } catch (error) {
    say(sentence(error.message));
  } finally {
    button.disabled = false;
    form.elements.password.value = "";
  }
}

function say(text) {
  problem.textContent = text;
  problem.hidden = false;
}

form.hidden = !available().ok;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.submitter);
});
