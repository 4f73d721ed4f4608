// The form that asks for a key.

import { call } from "./api.js";
import { sentence } from "./live.js";

const form = document.getElementById("ask");

function need() {
  const { pair, uses, duration, reason, profile, names, ca, expires_in } = form.elements;
  const [key, signer] = pair.value.split(" ");
  const lines = (text) => text.split(/\s+/).filter(Boolean);
  const constraints = { profiles: profile.value.trim() ? [profile.value.trim()] : [], names: lines(names.value), ca: ca.checked };
  return { key, signer, uses: Number(uses.value), duration: duration.value, constraints, reason: reason.value.trim(), expires_in: expires_in.value };
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = form.querySelector("[data-problem]");
  const button = event.submitter;
  problem.hidden = true;
  button.disabled = true;
  try {
    const { id } = await call("POST", "/requests", need());
    location.assign(`/requests/${id}`);
  } catch (error) {
    button.disabled = false;
    problem.textContent = sentence(error.message);
    problem.hidden = false;
  }
});
