// Signing in with a passkey: it signs a statement of the custodian, and the form takes that in place of a password.

import { call } from "./api.js";
import { sha256, utf8 } from "./bytes.js";
import { assertion, available } from "./passkey.js";

const form = document.getElementById("sign-in");
const button = document.getElementById("by-passkey");
const problem = form.querySelector("[data-problem]");

async function sign() {
  const { statement } = await call("GET", "/sessions/statement");
  const { evidence } = await assertion({ challenge: await sha256(utf8(statement)) });
  form.elements.statement.value = statement;
  form.elements.evidence.value = JSON.stringify(evidence);
  form.elements.password.value = "";
  form.submit();
}

button.hidden = !available().ok;
button.addEventListener("click", async () => {
  if (!form.elements.name.reportValidity()) return;
  problem.hidden = true;
  button.disabled = true;
  try {
    await sign();
  } catch (error) {
    problem.textContent = `${error.message[0].toUpperCase()}${error.message.slice(1)}.`;
    problem.hidden = false;
    button.disabled = false;
  }
});
