// Becoming an owner with passkeys and device keys: at least two ways to open one's share, made in this page.

import { privateKey } from "./hpke.js";
import { finish, invitation, sentence } from "./invitation.js";
import { available } from "./passkey.js";
import { publicText } from "./slots.js";
import { enrol, makeDevice, makePasskey, missing, newOwner, saveFile } from "./ways.js";

const form = document.getElementById("by-ways");
const rpId = document.getElementById("enrol").dataset.rpId;
const made = document.getElementById("made");
let owner = null;

const make = {
  passkey: (name, label) => {
    const known = owner.ways.filter(({ credential }) => credential.kind === "passkey").map(({ credential }) => credential.handle);
    return makePasskey({ owner: name, label: label || "Passkey", rpId, known });
  },
  device: async (name, label) => {
    const way = await makeDevice({ owner: name, label: label || "Device key" });
    saveFile(`${name}-${way.credential.id}.key`, way.file);
    return way;
  },
};

function list({ credential, unlock }) {
  const [row, what, does] = ["li", "span", "span"].map((tag) => document.createElement(tag));
  row.className = "row between wrap";
  what.textContent = credential.label;
  does.className = unlock ? "pill live" : "pill wait";
  does.textContent = unlock ? "Opens and signs" : "Signs only: this authenticator cannot open";
  row.append(what, does);
  made.append(row);
}

function showMissing() {
  const [why, place] = [owner ? missing(owner) : "", form.querySelector("[data-missing]")];
  place.hidden = !why || !owner?.ways.length;
  place.textContent = why ? sentence(why) : "";
  form.elements.enrol.disabled = !owner || Boolean(why);
}

async function press(button) {
  const { code, name } = invitation();
  owner ??= newOwner(name);
  if (button.name === "enrol") {
    const own = await publicText(await privateKey(owner.key)); // what is compared is what was made here
    return finish({ ...(await enrol(owner, code)), public: own });
  }
  const { label } = form.elements;
  const way = await make[button.value](name, label.value.trim());
  owner.ways.push(way);
  list(way);
  label.value = "";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = form.querySelector("[data-problem]");
  const buttons = form.querySelectorAll("button");
  problem.hidden = true;
  for (const each of buttons) each.disabled = true;
  try {
    await press(event.submitter);
  } catch (error) {
    problem.textContent = sentence(error.message);
    problem.hidden = false;
  }
  for (const each of buttons) each.disabled = each.value === "passkey" && !available().ok;
  showMissing();
});

const { ok, why } = available();
if (!ok) {
  form.querySelector('[value="passkey"]').disabled = true;
  form.querySelector(".hint").textContent = sentence(why);
}
