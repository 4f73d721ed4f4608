// What administrators change on the page of the setup. Each change carries their password, typed for it;
// it is not kept, not even in the field.

import { basic, call } from "./api.js";
import { refresh, sentence } from "./live.js";

/** Send a form's change with the password in it; say in the form what went wrong. Returns the answer, or null. */
async function change(form, verb, path, body = null) {
  const { password } = form.elements;
  const problem = form.querySelector("[data-problem]");
  const button = form.querySelector("button:not([type=button])");
  const authorization = basic(form.dataset.name, password.value);
  password.value = "";
  problem.hidden = true;
  button.disabled = true;
  try {
    return { answer: await call(verb, path, body, { authorization }) };
  } catch (error) {
    problem.textContent = sentence(error.message);
    problem.hidden = false;
    password.focus();
    return null;
  } finally {
    button.disabled = false;
  }
}

/** What to send to somebody who is invited; a signer's goes to who runs it. */
function message({ role, name, code, expires }) {
  const until = new Date(expires).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short", timeZone: "UTC" });
  if (role === "signer") {
    return `signer enrol --name ${name} --url ${location.origin} --ca tls.pem\n\nIt asks for this code, once, until ${until} UTC:\n\n${code}`;
  }
  return `You are invited as ${role} ${name}. Open ${location.origin}/enrol and type this code, once, until ${until} UTC:\n\n${code}`;
}

const invite = document.getElementById("invite");
const shown = document.getElementById("code");

invite.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { role, name } = invite.elements;
  shown.hidden = true;
  const done = await change(invite, "POST", "/invitations", { role: role.value, name: name.value.trim() });
  if (!done) return;
  shown.querySelector("[data-who]").textContent = done.answer.name;
  shown.querySelector("[data-message]").textContent = message(done.answer);
  shown.hidden = false;
  const again = role.value;
  invite.reset(); // keeps nothing, and marks nothing as missing
  invite.removeAttribute("data-touched");
  role.value = again;
  shown.scrollIntoView({ block: "nearest" });
  refresh();
});

shown.querySelector("[data-copy]").addEventListener("click", async ({ target }) => {
  await navigator.clipboard.writeText(shown.querySelector("[data-message]").textContent);
  target.textContent = "Copied";
});

shown.querySelector("[data-hide]").addEventListener("click", () => {
  shown.querySelector("[data-message]").textContent = "";
  shown.hidden = true;
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.dataset.disable) return;
  event.preventDefault();
  if (!(await change(form, "DELETE", form.dataset.disable))) return;
  form.removeAttribute("data-touched");
  form.closest("details").open = false;
  refresh();
});
