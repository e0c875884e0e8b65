// Live pages. While a page is visible it asks every two seconds for what its URL shows; an answer
// 304 changes nothing. Otherwise the elements with `data-live` are patched in place: nodes that
// stay keep their focus, scroll, selection, checked boxes and open menus. A page that answers a form
// names in `data-address` the URL that is asked instead of its own.
// A page's own script polls other URLs with `poll(url, handle)`.

const PERIOD_MS = 2000;

// What does not answer is asked less and less often, up to this period.
const LONGEST_PERIOD_MS = 16000;

// An answer that takes longer is none.
const LONGEST_ANSWER_MS = 30000;

// Attributes that people change by using an element, and what they mean only at first.
const OF_PEOPLE = new Set(["checked", "value", "open", "selected"]);
const USED = new Set(["INPUT", "SELECT", "OPTION", "TEXTAREA", "DETAILS", "DIALOG"]);

const DATABASE = "The database does not answer";
const SERVER = "The web page's server does not answer; it may have been stopped";
const LOGGED_OUT = "You are not logged in any more";

const banner = document.getElementById("banner");
const given = document.body.dataset.address;
const address = given || location.href;
const problem = document.querySelector("[data-problem]");

// What is wrong, by the function that found it; the banner shows the first.
const troubles = new Map();

function tell(finder, trouble) {
  if (trouble) troubles.set(finder, trouble);
  else troubles.delete(finder);
  const [first = ""] = troubles.values();
  banner.hidden = !first;
  if (banner.textContent.startsWith(first) && first) return;
  banner.textContent = first;
  if (first.startsWith(LOGGED_OUT)) banner.append(" ", loginLink());
}

function loginLink() {
  const link = document.createElement("a");
  const { pathname, search } = new URL(address, location.href);
  link.href = `/login?next=${encodeURIComponent(pathname + search)}`;
  link.textContent = "Log in";
  return link;
}

// The sentence of the banner; a page that shows nothing but a problem has nothing of an earlier time.
function describe(trouble, shownAt) {
  if (problem) return `${trouble}. Trying again.`;
  return `${trouble}; what is shown is of ${shownAt.toISOString().slice(11, 19)} UTC. Trying again.`;
}

// Calls `handle(response)` with every answer that differs from the one before, until `stop` is
// called, which `poll` returns. `url` is a URL, or a function that gives the one to ask next; it is
// asked for the first time after a period, or at once.
export function poll(url, handle, atOnce = false) {
  let etag = null;
  let timer = null;
  let stopped = false;
  let failures = 0;
  let shownAt = new Date();

  // Returns what is wrong, or nothing.
  async function ask() {
    const response = await request(typeof url === "function" ? url() : url, etag);
    if (!response) return SERVER;
    if (response.status === 200) {
      await handle(response);
      etag = response.headers.get("ETag");
    } else if (response.status !== 304) {
      return troubleOf(response);
    }
    return "";
  }

  async function look() {
    timer = null;
    const trouble = await ask().catch(() => "The web page's answer cannot be shown");
    if (stopped) return tell(look, "");
    failures = trouble ? failures + 1 : 0;
    if (!trouble) shownAt = new Date();
    tell(look, trouble && describe(trouble, shownAt));
    plan();
  }

  function plan() {
    if (stopped || document.hidden || timer !== null) return;
    timer = setTimeout(look, Math.min(PERIOD_MS * 2 ** failures, LONGEST_PERIOD_MS));
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && timer === null && !stopped) look();
    else if (timer !== null) { clearTimeout(timer); timer = null; }
  });
  if (atOnce) look();
  else plan();
  return () => { stopped = true; clearTimeout(timer); tell(look, ""); };
}

// The answer, or null where there is none.
function request(url, etag) {
  const headers = etag ? { "If-None-Match": etag } : {};
  const signal = AbortSignal.timeout(LONGEST_ANSWER_MS);
  return fetch(url, { headers, signal, cache: "no-store", redirect: "manual" }).catch(() => null);
}

async function troubleOf(response) {
  if (response.type === "opaqueredirect" || response.status === 401) return LOGGED_OUT;
  const found = parse(await response.text()).querySelector("[data-problem]");
  if (!found) return `The web page answers ${response.status}`;
  return found.dataset.problem === "outage" ? DATABASE : found.textContent.replace(/\.$/, "");
}

function parse(text) {
  return new DOMParser().parseFromString(text, "text/html");
}

// Makes `old` like `fresh`, an element of the same kind, and keeps every node that stays.
export function patch(old, fresh) {
  patchAttributes(old, fresh);
  patchChildren(old, fresh);
}

function patchAttributes(old, fresh) {
  const skipped = (name) => OF_PEOPLE.has(name) && USED.has(old.tagName);
  for (const { name, value } of [...fresh.attributes]) {
    if (!skipped(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!skipped(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || null : null;
}

function fits(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName &&
    keyOf(old) === keyOf(fresh);
}

function patchChildren(old, fresh) {
  const keyed = new Map([...old.children].filter(keyOf).map((node) => [keyOf(node), node]));
  const staying = new Set([...fresh.children].map(keyOf).filter(Boolean));
  let place = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    while (place && keyOf(place) && !staying.has(keyOf(place))) place = drop(place);
    const known = keyed.get(keyOf(wanted));
    if (known && fits(known, wanted)) {
      if (known !== place) old.insertBefore(known, place);
      else place = place.nextSibling;
      patch(known, wanted);
    } else if (place && !keyOf(wanted) && fits(place, wanted)) {
      patchNode(place, wanted);
      place = place.nextSibling;
    } else {
      old.insertBefore(document.importNode(wanted, true), place);
    }
  }
  while (place) place = drop(place);
}

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function patchNode(old, fresh) {
  if (old.nodeType === Node.ELEMENT_NODE) patch(old, fresh);
  else if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
}

async function patchPage(response) {
  const page = parse(await response.text());
  const stay = hold();
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = page.getElementById(old.id);
    if (fresh) patch(old, fresh);
  }
  stay();
}

// The row that is used or read stays where it is on the screen, whatever appears above it. At the
// top of a page that nobody uses, new rows are what people wait for.
function hold() {
  const rows = [...document.querySelectorAll("[data-live] :is(tr, li)[data-key]")];
  const isRead = (row) => row.getBoundingClientRect().top >= 0;
  const row = rows.find((one) => one.matches(":hover, :focus-within")) ||
    (scrollY > 0 && rows.find(isRead));
  const before = row && row.getBoundingClientRect().top;
  return () => {
    if (row && row.isConnected) scrollBy(0, row.getBoundingClientRect().top - before);
  };
}

// Returns the token of a printed link, which stands behind its #: no browser sends that anywhere. It
// leaves the address, which people copy for others.
export function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  const isEmpty = location.href.endsWith("#"); // as a redirect leaves it
  if (token !== null || isEmpty) history.replaceState(null, "", location.pathname + location.search);
  return token;
}

if (!document.getElementById("login")) {
  takeToken();
  addEventListener("hashchange", takeToken);
}

const passes = problem && ["outage", "passing"].includes(problem.dataset.problem);
if (document.querySelector("[data-live]")) poll(address, patchPage);
else if (given) poll(address, () => location.replace(address));
else if (passes) poll(address, () => location.reload());
