// The form that answers a request: it keeps its promise sentence true, lends, declines.
//
// The page may be taken afresh at any time, so nothing here keeps hold of an element.

import { basic, call } from "./api.js";
import { lend } from "./lending.js";
import { now, refresh, sentence } from "./live.js";

const place = () => document.getElementById("lend");
const asked = () => JSON.parse(place().dataset.wish);
const UNITS = [[86_400, "day"], [3_600, "hour"], [60, "minute"], [1, "second"]];

/** What would be lent, as the form stands; null where a field is not filled in. */
function wish() {
  const { elements } = document.getElementById("terms");
  const number = (name, unit) => (/^[1-9][0-9]{0,6}$/.test(elements[name].value) ? Number(elements[name].value) * unit : null);
  const chosen = (name, other) => (elements[name].value === "other" ? other() : Number(elements[name].value));
  const uses = chosen("uses", () => number("uses-number", 1));
  const seconds = chosen("time", () => number("time-number", Number(elements["time-unit"].value)));
  return { ...asked(), uses, seconds };
}

// --- the promise

function promise() {
  if (!place()) return;
  const { uses, seconds } = wish();
  say("uses", uses === null ? "…" : uses === 1 ? "one signature" : `up to ${uses.toLocaleString("en")} signatures`);
  say("time", seconds === null ? "…" : inWords(seconds));
  say("until", seconds === null ? "" : `, until ${until(seconds)}`);
  const more = uses > asked().uses || seconds > asked().seconds;
  say("more", more ? " That is more than was asked for." : "");
  if (uses !== null && seconds !== null) showCommand(uses, seconds);
}

function say(name, text) {
  const element = place().querySelector(`[data-say="${name}"]`);
  if (element.textContent !== text) element.textContent = text;
}

function showCommand(uses, seconds) {
  const line = place().querySelector("[data-command]");
  const letters = parts(seconds).map(([amount, name]) => `${amount}${name[0]}`).join("");
  line.textContent = line.dataset.command.replace(/--uses [0-9]+/, `--uses ${uses}`).replace(/--for [0-9dhms]+/, `--for ${letters}`);
}

function inWords(seconds) {
  return parts(seconds).slice(0, 2).map(([amount, name]) => `${amount} ${name}${amount === 1 ? "" : "s"}`).join(" ");
}

function parts(seconds) {
  const found = [];
  for (const [unit, name] of UNITS) {
    const amount = Math.floor(seconds / unit);
    seconds -= amount * unit;
    if (amount) found.push([amount, name]);
  }
  return found;
}

function until(seconds) {
  const end = new Date(now() + seconds * 1000);
  const today = end.toDateString() === new Date(now()).toDateString();
  const day = today ? {} : { weekday: "short", day: "numeric", month: "short" };
  return end.toLocaleString("en-GB", { ...day, hour: "2-digit", minute: "2-digit" });
}

// --- sending

const SENDS = {
  terms: () => (document.querySelector("#terms [type=submit]") ? lend({ wish: checked(), me: me() }) : null),
  "by-password": lendByPassword,
  "by-device": async (form) => lend({ wish: checked(), me: me(), device: await textOf(form.elements.device) }),
  decline: (form, button) => {
    const reason = form.elements.reason.value.trim();
    return call("POST", `/requests/${form.closest("[data-answers]").dataset.answers}/${button.value}`, { reason });
  },
};

const me = () => ({ name: document.body.dataset.me });

function lendByPassword(form) {
  const { seconds, ...rest } = checked();
  const password = form.elements.password.value;
  if (!password) throw new Error("type your password");
  const body = { ...rest, duration: `${seconds}s` };
  return call("POST", "/delegations", body, { authorization: basic(me().name, password) });
}

function checked() {
  const wanted = wish();
  if (wanted.seconds === null) throw new Error("say for how long, in figures");
  if (wanted.uses === null) throw new Error("say for how many signatures, in figures");
  return wanted;
}

async function textOf(field) {
  if (!field.files.length) throw new Error("choose your device key file");
  return field.files[0].text();
}

async function send(form, button) {
  const region = form.closest("[data-answers]");
  const problem = region.querySelector("[data-problem]");
  problem.hidden = true;
  button?.setAttribute("aria-busy", "true");
  try {
    await SENDS[form.id](form, button);
    for (const each of region.querySelectorAll("form")) each.removeAttribute("data-touched");
    refresh();
  } catch (error) {
    problem.textContent = sentence(error.message);
    problem.hidden = false;
    problem.scrollIntoView({ block: "nearest" });
  } finally {
    button?.removeAttribute("aria-busy");
    if (form.elements.password) form.elements.password.value = "";
  }
}

document.addEventListener("submit", (event) => {
  if (!(event.target.id in SENDS)) return;
  event.preventDefault();
  if (event.submitter?.getAttribute("aria-busy") !== "true") send(event.target, event.submitter);
});
document.addEventListener("input", promise);
document.addEventListener("renewed", promise);
promise();
