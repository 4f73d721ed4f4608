// One's own page: more ways to open one's share, and fewer.

import { call } from "./api.js";
import { refresh, sentence } from "./live.js";
import { addWay, makeDevice, makePasskey, removeWay, saveFile } from "./ways.js";

const form = document.getElementById("change");

async function change(button) {
  const me = await call("GET", "/me");
  const proof = await proofOf();
  if (button.name === "remove") {
    await removeWay({ me, id: button.value, proof });
    return `${button.value} is removed.`;
  }
  const way = await make[button.value](me);
  await addWay({ me, way, proof });
  if (!way.unlock) return "It signs for you, but this authenticator cannot open your share: keep another way to do that.";
  return "It opens your share from now on.";
}

async function proofOf() {
  const { proof, password, device } = form.elements;
  if (proof.value === "passkey") return {};
  if (proof.value === "password") {
    if (!password.value) throw new Error("type your password, which proves that it is you");
    return { password: password.value };
  }
  if (!device.files.length) throw new Error("choose your device key file, which proves that it is you");
  return { device: await device.files[0].text() };
}

const make = {
  passkey: (me) => {
    const known = me.credentials.filter(({ kind }) => kind === "passkey").map(({ handle }) => handle);
    return makePasskey({ owner: me.name, label: label("passkey"), rpId: form.dataset.rpId, known });
  },
  device: async (me) => {
    const way = await makeDevice({ owner: me.name, label: label("device") });
    saveFile(`${way.credential.id}.key`, way.file);
    return way;
  },
};

const label = (usual) => form.elements.label.value.trim() || usual;

async function send(button) {
  const said = { done: form.querySelector("[data-done]"), problem: form.querySelector("[data-problem]") };
  const say = (how, text) => [said[how].textContent, said[how].hidden] = [text, false];
  said.done.hidden = said.problem.hidden = true;
  button.setAttribute("aria-busy", "true");
  try {
    say("done", await change(button));
    form.reset();
    refresh();
  } catch (error) {
    say("problem", sentence(error.message));
  } finally {
    button.removeAttribute("aria-busy");
    if (form.elements.password) form.elements.password.value = "";
    showProof();
  }
}

function showProof() {
  for (const field of form.querySelectorAll("[data-proof]")) field.hidden = field.dataset.proof !== form.elements.proof.value;
}

form.addEventListener("input", showProof);
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (event.submitter.getAttribute("aria-busy") !== "true") send(event.submitter);
});
showProof();
