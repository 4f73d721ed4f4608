// Keeps a page true while it is open.
//
// The custodian sends its whole small state when something changes. What can be said at once is said at once
// (revoked, uses left, arcs); then the regions marked data-live are taken afresh from the same address.
// Clocks count from the custodian's time and this browser's monotonic clock, never from its wall clock.
// When the stream is lost the page says so: a page that is old and looks true is the worst one.

import { brief, clock } from "./clock.js";

const SILENCE = 25_000; // ms without a word, where a ping comes every ten seconds, mean that the stream is lost
const AGAIN = 3_000; // ms until a stream that was refused is asked for anew
const SPREAD = 2_000; // ms over which all viewers take their fresh copy
const PACE = 3_000; // ms between two fresh copies, where one change follows the other

let base = Number(document.body.dataset.now) - responseStart(); // the custodian's time when performance.now() was 0
let size = Number(document.body.dataset.size); // entries in the history that this page shows
let source = null;
let silence = 0;
let refreshing = 0;
let refreshed = -PACE; // when the last fresh copy was asked for

/** The custodian's time in ms. */
export const now = () => base + performance.now();

function responseStart() {
  return performance.getEntriesByType("navigation")[0]?.responseStart ?? performance.now();
}

// --- clocks

function tick() {
  for (const element of document.querySelectorAll("[data-end]")) {
    const left = Math.max(0, Math.floor((Date.parse(element.dataset.end) - now()) / 1000));
    if (element.dataset.start) showShare(element, left);
    else say(element, (element.dataset.brief === undefined ? clock : brief)(left));
  }
}

/** A ring, a bar or the circle of a dial: how much of the time is left. */
function showShare(element, left) {
  const whole = (Date.parse(element.dataset.end) - Date.parse(element.dataset.start)) / 1000;
  const percent = Math.min(100, Math.round((100 * left) / whole));
  const drawn = element.querySelector(".fg, .on") ?? element;
  if (drawn.matches("rect")) drawn.setAttribute("width", percent);
  else drawn.setAttribute("stroke-dasharray", `${percent} 100`);
  element.classList.toggle("low", percent < 20);
  element.classList.toggle("over", left === 0);
  const text = element.querySelector("text");
  if (text) {
    say(text, brief(left));
    element.setAttribute("aria-label", `${clock(left)} left`);
  }
}

/** What a page that just came needs: clocks that run, times in the reader's own zone, buttons that do something. */
function settle() {
  tick();
  localize();
  for (const button of document.querySelectorAll("[data-ready]")) button.disabled = false;
}

function localize() {
  for (const element of document.querySelectorAll("time[data-local]")) {
    const moment = new Date(element.dateTime);
    const today = moment.toDateString() === new Date(now()).toDateString();
    const date = today ? {} : { day: "numeric", month: "long" };
    element.textContent = moment.toLocaleString("en-GB", { ...date, hour: "2-digit", minute: "2-digit" });
  }
}

// --- what can be said at once

function apply(state) {
  for (const each of state.delegations) showDelegation(each);
  for (const each of state.keys) showKey(each);
  for (const each of state.requests) showRequest(each);
}

function showDelegation({ id, left, uses, state }) {
  for (const element of document.querySelectorAll(`[data-delegation="${CSS.escape(id)}"]`)) {
    say(element.querySelector("[data-left]"), String(left));
    element.querySelectorAll("[data-pips] i").forEach((pip, n) => pip.classList.toggle("used", n >= left));
    element.classList.toggle("gone", state !== "live" && state !== "pending");
    if (!element.classList.contains("gone")) continue;
    for (const part of element.querySelectorAll(".ring, .bar")) part.classList.add("over");
    for (const button of element.querySelectorAll("[data-revoke]")) button.disabled = true;
    const pill = element.querySelector("[data-state]");
    if (pill) [pill.className, pill.textContent] = ["pill", state[0].toUpperCase() + state.slice(1)];
  }
}

function showKey({ key, signer, needed, open }) {
  const place = `[data-key="${CSS.escape(key)}"][data-signer="${CSS.escape(signer)}"]`;
  for (const element of document.querySelectorAll(place)) {
    const arcs = [...element.querySelectorAll(".arc")];
    const have = Math.max(0, arcs.length - needed);
    arcs.forEach((arc, n) => {
      arc.classList.toggle("held", n < have);
      arc.classList.toggle("slot", n >= have);
    });
    say(element.querySelector("[data-have]"), `${have} of ${arcs.length}`);
    const pill = element.querySelector("[data-open]");
    if (pill && pill.classList.contains("live") !== open) {
      pill.classList.toggle("live", open);
      pill.textContent = open ? "Can open" : "Sealed";
    }
  }
}

/** What answers a request that has ended sends nothing any more. */
function showRequest({ id, state }) {
  if (state === "waiting") return;
  for (const place of document.querySelectorAll(`[data-answers="${CSS.escape(id)}"]`)) {
    for (const button of place.querySelectorAll("button")) button.disabled = true;
    const problem = place.querySelector("[data-problem]");
    if (problem?.hidden) [problem.hidden, problem.textContent] = [false, `This request has ended: ${state}.`];
  }
}

function say(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

// --- a fresh copy

function refreshSoon() {
  const rest = Math.max(0, refreshed + PACE - performance.now());
  refreshing ||= setTimeout(refresh, rest + Math.random() * SPREAD);
}

/** Take the regions anew. Nothing that somebody is typing in is touched. */
export function refresh() {
  clearTimeout(refreshing);
  refreshing = 0;
  refreshed = performance.now();
  const request = new XMLHttpRequest();
  request.open("GET", location.href);
  request.responseType = "document";
  request.onload = () => {
    const fresh = request.responseXML;
    if (new URL(request.responseURL).pathname === "/sign-in") location.reload(); // the session is over
    else if (fresh && request.status < 500) renew(fresh);
  };
  request.send();
}

function renew(fresh) {
  document.title = fresh.title;
  size = Math.max(size, Number(fresh.body.dataset.size));
  for (const region of document.querySelectorAll("[data-live]")) {
    const other = fresh.querySelector(`[data-live="${CSS.escape(region.dataset.live)}"]`);
    if (region.querySelector("form[data-touched]")) continue;
    if (other) replace(region, document.adoptNode(other));
    else region.remove();
  }
  settle();
  document.dispatchEvent(new CustomEvent("renewed"));
}

function replace(region, other) {
  for (const open of region.querySelectorAll("details[id][open]")) {
    other.querySelector(`#${CSS.escape(open.id)}`)?.setAttribute("open", "");
  }
  const trail = region.contains(document.activeElement) ? trailOf(document.activeElement) : null;
  region.replaceWith(other);
  if (trail) other.querySelector(trail)?.focus({ preventScroll: true });
}

/** Something that finds the focused element again in the fresh copy. */
function trailOf(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  for (const name of ["data-revoke", "data-post", "href", "name"]) {
    const value = element.getAttribute(name);
    if (value) return `${element.localName}[${name}="${CSS.escape(value)}"]`;
  }
  return null;
}

// --- the stream

function follow() {
  if (source || document.hidden) return;
  source = new EventSource("/api/v1/live");
  source.addEventListener("state", (event) => {
    const state = JSON.parse(event.data);
    base = Date.parse(state.time) - performance.now();
    found();
    apply(state);
    if (state.size > size) refreshSoon();
    size = Math.max(size, state.size);
  });
  source.addEventListener("ping", () => {
    found();
    if (document.querySelector("[data-poll]")) refreshSoon(); // shows more than the stream tells of
  });
  source.addEventListener("error", lost);
  watch();
}

function leave() {
  clearTimeout(silence);
  source?.close();
  source = null;
}

function watch() {
  clearTimeout(silence);
  silence = setTimeout(lost, SILENCE);
}

function found() {
  document.getElementById("connection").hidden = true;
  watch();
}

function lost() {
  document.getElementById("connection").hidden = false;
  if (source?.readyState === EventSource.CONNECTING) return watch(); // it tries by itself
  leave();
  setTimeout(() => {
    follow();
    refresh();
  }, AGAIN);
}

// --- buttons that need no proof

async function press(button) {
  const { call } = await import("./api.js");
  const { revoke, post, done } = button.dataset;
  button.disabled = true;
  try {
    if (revoke) await call("DELETE", `/delegations/${encodeURIComponent(revoke)}`);
    else await call("POST", post, {});
    tell(revoke ? "Revoked." : done);
    refresh();
  } catch (error) {
    button.disabled = false;
    tell(sentence(error.message));
  }
}

/** Say it where the page says such things, to screen readers too. */
function tell(text) {
  const place = document.querySelector("[data-said]");
  if (!place) return;
  place.classList.remove("unseen");
  place.textContent = text;
}

export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-revoke], button[data-post]");
  if (button) press(button);
});
document.addEventListener("input", (event) => event.target.form?.setAttribute("data-touched", ""));
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return leave();
  follow();
  refresh();
});
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => {
  if (event.persisted) refresh();
  follow();
});
settle();
setInterval(tick, 1000);
follow();
