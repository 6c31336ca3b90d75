// What our pages do more with JavaScript than without: keys, a selection that survives paging, live logs.
// Every one of these has a link, a button or a page of its own beside it.

const SELECTION = "contimg-selection";
const MOST_GROUPS = 2000;
const PLACES = { t: "/", g: "/groups", c: "/calibration", a: "/antennas", o: "/sources", j: "/jobs", s: "/system" };
const TOGETHER_MS = 1000;

const one = (selector) => document.querySelector(selector);
const isWriting = (target) => target.closest("input:not([type=checkbox]), textarea, select, [contenteditable]");

// -- keys ---------------------------------------------------------------------------------------

let before = { key: "", at: 0 };

function follow(relation) {
  const link = one(`link[rel=${relation}]`);
  if (link) location.assign(link.href);
  return Boolean(link);
}

function press(selector) {
  const found = one(selector);
  if (found) found.click();
  return Boolean(found);
}

function focus(selector) {
  const found = one(selector);
  if (found) found.focus();
  return Boolean(found);
}

const rows = () => [...document.querySelectorAll(".groups tbody tr")];

function step(by) {
  const all = rows();
  if (!all.length) return follow(by > 0 ? "next" : "prev");
  const now = all.findIndex((row) => row.classList.contains("here"));
  const next = Math.min(all.length - 1, Math.max(0, now + by));
  all[now]?.classList.remove("here");
  all[next].classList.add("here");
  all[next].querySelector("th a").focus();
  all[next].scrollIntoView({ block: "nearest" });
  return true;
}

const review = (verdict) => () => press(`#review-form button[value=${verdict}]`);

const KEYS = {
  "/": () => focus("#search"),
  "?": () => location.assign("/keys") ?? true,
  ArrowLeft: () => follow("prev"),
  ArrowRight: () => follow("next"),
  j: () => step(1),
  k: () => step(-1),
  x: () => press(".groups tr.here input[type=checkbox]"),
  p: review("PASS"),
  w: review("WARN"),
  e: review("ERROR"),
  n: () => focus("#note"),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && isWriting(event.target)) event.target.blur();
  // An arrow scrolls what can be scrolled sideways.
  if (isWriting(event.target) || (event.key.startsWith("Arrow") && event.target.closest(".wide, .scroll"))) return;
  const place = before.key === "g" && performance.now() - before.at < TOGETHER_MS && PLACES[event.key];
  before = { key: event.key, at: performance.now() };
  if (place) {
    event.preventDefault();
    location.assign(place);
  } else if (Object.hasOwn(KEYS, event.key) && KEYS[event.key]()) {
    event.preventDefault();
  }
});

// -- a selection that survives paging -----------------------------------------------------------

function kept() {
  try {
    return new Set(JSON.parse(sessionStorage.getItem(SELECTION) ?? "[]"));
  } catch {
    return new Set();
  }
}

function selecting(form) {
  const boxes = [...form.querySelectorAll("input[type=checkbox][name=group]")];
  const told = one("#selected");
  if (!told) return;
  let last = null;

  function tell(selected) {
    told.textContent = selected.size ? `${selected.size} selected, on this page and others. ` : "None selected.";
    if (!selected.size) return;
    const clear = document.createElement("button");
    clear.type = "button";
    clear.textContent = "Clear";
    clear.addEventListener("click", () => change(boxes, false, true));
    told.append(clear);
  }

  function change(which, checked, all = false) {
    const selected = all ? new Set() : kept();
    for (const box of which) {
      box.checked = checked;
      if (checked && selected.size < MOST_GROUPS) selected.add(box.value);
      else selected.delete(box.value);
    }
    sessionStorage.setItem(SELECTION, JSON.stringify([...selected]));
    tell(selected);
  }

  const selected = kept();
  for (const box of boxes) box.checked = selected.has(box.value);
  tell(selected);
  form.addEventListener("click", (event) => {
    const box = event.target;
    if (!boxes.includes(box)) return;
    const [a, b] = [boxes.indexOf(last ?? box), boxes.indexOf(box)].sort((p, q) => p - q);
    change(event.shiftKey ? boxes.slice(a, b + 1) : [box], box.checked);
    last = box;
  });
  form.addEventListener("submit", (event) => {
    if (event.submitter?.value !== "selected") return;
    const here = new Set(boxes.map((box) => box.value));
    for (const key of kept()) {
      if (here.has(key)) continue;
      const field = Object.assign(document.createElement("input"), { type: "hidden", name: "group", value: key });
      form.append(field);
    }
  });
}

const batch = one("#batch");
if (batch) selecting(batch);
if (one("[data-selection=done]")) sessionStorage.removeItem(SELECTION);

// -- live logs ----------------------------------------------------------------------------------

function following(log) {
  const state = one("#log-state");
  let source = null;
  let place = null;

  function show(text) {
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    log.append(document.createTextNode(text));
    if (atEnd) log.scrollTop = log.scrollHeight;
  }

  function open() {
    source = new EventSource(log.dataset.stream + (place === null ? "" : `&after=${encodeURIComponent(place)}`));
    source.addEventListener("log", (event) => {
      // What the page came with is the same as what a stream begins with.
      if (place === null) log.textContent = "";
      place = event.lastEventId;
      show(JSON.parse(event.data).text);
    });
    source.addEventListener("status", (event) => {
      state.textContent = JSON.parse(event.data).status;
    });
    source.addEventListener("end", (event) => {
      source.close();
      source = null;
      state.textContent = `ended: ${JSON.parse(event.data).status}`;
      log.dataset.ended = "true";
    });
    source.addEventListener("error", () => {
      const refused = source.readyState === EventSource.CLOSED;
      state.textContent = refused
        ? "not live: too many logs are open, or the server is away; load the page again for more"
        : "the connection was lost; it is tried again";
    });
  }

  open();
  // Browsers keep six connections to a server: a page that nobody looks at gives its own back.
  document.addEventListener("visibilitychange", () => {
    if (log.dataset.ended) return;
    if (document.hidden) {
      source?.close();
      source = null;
    } else if (!source) {
      open();
    }
  });
}

const log = one("[data-stream]");
if (log) following(log);
