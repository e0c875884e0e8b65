// Live pages. While a page is visible it asks every two seconds for what its URL shows; an answer
// 304 changes nothing. Otherwise the elements with `data-live` are patched in place: nodes that
// stay keep their focus, scroll, selection, checked boxes and open menus.
// A page's own script polls other URLs with `poll(url, handle)`.

const PERIOD_MS = 2000;

// Attributes that people change by using an element, and what they mean only at first.
const OF_PEOPLE = new Set(["checked", "value", "open", "selected"]);
const USED = new Set(["INPUT", "SELECT", "OPTION", "TEXTAREA", "DETAILS", "DIALOG"]);

const banner = document.getElementById("banner");

function say(sentence) {
  banner.hidden = !sentence;
  if (banner.textContent !== sentence) banner.textContent = sentence;
}

// Calls `handle(response)` with every answer that differs from the one before, until `stop` is
// called, which `poll` returns. `url` is a URL, or a function that gives the one to ask next; it is
// asked for the first time after a period, or at once.
export function poll(url, handle, atOnce = false) {
  let etag = null;
  let timer = null;
  let stopped = false;

  async function look() {
    timer = null;
    try {
      const headers = etag ? { "If-None-Match": etag } : {};
      const target = typeof url === "function" ? url() : url;
      const response = await fetch(target, { headers, cache: "no-store", redirect: "manual" });
      if (response.type === "opaqueredirect") {
        location.reload();  // the session is over
        return;
      }
      if (response.status === 200) {
        await handle(response);
        etag = response.headers.get("ETag");
        say("");
      } else if (response.status === 304) {
        say("");
      } else {
        say(`${await sentenceOf(response)} Trying again.`);
      }
    } catch {
      say("The web page does not answer; it may have been stopped. Trying again.");
    }
    plan();
  }

  function plan() {
    if (!stopped && !document.hidden && timer === null) timer = setTimeout(look, PERIOD_MS);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && timer === null && !stopped) look();
    else if (timer !== null) { clearTimeout(timer); timer = null; }
  });
  if (atOnce) look();
  else plan();
  return () => { stopped = true; clearTimeout(timer); };
}

async function sentenceOf(response) {
  const text = await response.text();
  if ((response.headers.get("Content-Type") || "").includes("json")) return JSON.parse(text).detail;
  const problem = parse(text).querySelector("[data-problem]");
  return problem ? problem.textContent : `The web page answers ${response.status}.`;
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

const problem = document.querySelector("[data-problem]");
if (document.querySelector("[data-live]")) poll(location.href, patchPage);
else if (problem && problem.dataset.problem === "passing") poll(location.href, () => location.reload());
