// Enrolment by an invitation: the steps of its page, and the way by a password. Passkeys and device keys are
// in enrol.js; templates/enrol.html says which part does what.

import { call } from "./api.js";
import { hex, sha256, utf8 } from "./bytes.js";

const page = document.getElementById("enrol");
const look = document.getElementById("look");
const byPassword = document.getElementById("by-password");
let invited = null;

/** Who is enrolling: `{ code, role, name }`, or null before the code was looked up. */
export const invitation = () => invited;

export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

function show(step) {
  for (const section of page.querySelectorAll("[data-step]")) section.hidden = section.dataset.step !== step;
  const shown = page.querySelector(`[data-step="${step}"]`);
  shown.querySelector("h1").focus();
}

function address({ role, name }) {
  for (const each of page.querySelectorAll("[data-name]")) each.textContent = name;
  for (const each of page.querySelectorAll("[data-role]")) each.textContent = role === "admin" ? "an administrator" : `an ${role}`;
  for (const each of page.querySelectorAll("[data-for]")) each.hidden = (each.dataset.for === "owner") !== (role === "owner");
  if (role === "owner") page.querySelector('[data-password-place="owner"]').append(byPassword);
  byPassword.elements.username.value = name;
}

/** Run what a form asks for; tell in the form what went wrong. Passwords are never kept. */
async function submit(form, work) {
  const problem = form.querySelector("[data-problem]");
  const button = form.querySelector("button.go");
  problem.hidden = true;
  button.disabled = true;
  try {
    await work(form.elements);
  } catch (error) {
    problem.textContent = sentence(error.message);
    problem.hidden = false;
  }
  button.disabled = false;
}

/** Show the end: what POST /enrolments or /enrolments/devices answered. */
export async function finish({ public: key, vkey }) {
  const digest = key ? hex(await sha256(utf8(key))) : "";
  page.querySelector("[data-fingerprint]").textContent = digest.slice(0, 20).match(/.{4}/g)?.join("-") ?? "";
  page.querySelector("[data-vkey]").textContent = vkey;
  invited = { ...invited, code: "" }; // it is used up
  look.reset();
  show("done");
}

look.querySelector("button.go").hidden = false;
look.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(look, async ({ code }) => {
    const found = await call("POST", "/enrolments/look", { invitation: code.value.trim() });
    if (found.role === "signer") throw new Error("this invitation is for a signer: use it with `signer enrol` where the signer runs");
    invited = { code: code.value.trim(), ...found };
    address(invited);
    show("ways");
  });
});

byPassword.addEventListener("submit", (event) => {
  event.preventDefault();
  submit(byPassword, async ({ password, again }) => {
    const chosen = password.value;
    const same = chosen === again.value;
    password.value = again.value = "";
    if (!same) throw new Error("the two are not the same; type your new password twice");
    await finish(await call("POST", "/enrolments", { invitation: invited.code, password: chosen }));
    document.getElementById("one-way").hidden = invited.role !== "owner";
  });
});

byPassword.elements.show.addEventListener("input", ({ target }) => {
  for (const name of ["password", "again"]) byPassword.elements[name].type = target.checked ? "text" : "password";
});
