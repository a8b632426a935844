// The page's frame: views, theme, dialogs, keys, the state banner.  The chat is chat.js, the engine's view live.js.

import { getJson, onKeyNeeded, requestKey, setKey } from "./api.js";
import { initChat } from "./chat.js";
import { $, el, setText } from "./dom.js";
import { initLive } from "./live.js";
import { initParams, setDefaults, summary } from "./params.js";

const VIEWS = ["chat", "split", "live"], VIEW = "inferd.view"; // in sessionStorage
const THEMES = [["", "as the system"], ["light", "light"], ["dark", "dark"]];
const BOTH_MIN_WIDTH = 1100; // below this the two views do not fit beside each other (live.css)
const STATES = {
  connecting: { word: "connecting" },
  ready: { word: "ready" },
  loading: { word: "loading", banner: "The model is being loaded. Answers begin as soon as it is there." },
  draining: { word: "shutting down", banner: "The server is shutting down: running answers are finished, new ones are refused." },
  engine_failed: { word: "failed", banner: "The engine failed. The server's log says why; it has to be started again." },
  engine_hangs: { word: "hangs", banner: "The engine does not answer at the moment." },
  locked: { word: "locked", banner: "This server needs an API key.", act: "Enter the key" },
  lost: { word: "not connected" },
};
const KEYS = [
  ["/", "to the message field"], ["Enter", "send"], ["Shift Enter", "new line"], ["Esc", "stop the answer; leave a field or dialog"],
  ["↑", "in an empty field: edit your last message"], ["Alt N", "new chat"], ["Alt P", "parameters"],
  ["Alt V", "chat, both, live"], ["?", "this list"],
];

const TERMS = [
  ["Running", "answers that are being computed, of the most that run at one time"],
  ["Waiting", "requests in the queue; a preemption takes a running one out again, for a while, where memory is short"],
  ["Output, Prompt", "tokens written and tokens read, in the last second"],
  ["First token", "how long it took from a request to its first token: half of the requests had it by the median, 99 of 100 by p99"],
  ["KV in use", "the part of the KV pool that requests hold"],
  ["Requests", "a bar each. Left of the line its prompt: from the cache, computed, and pale what is still to be read. Right of it its output, and pale what it may still write"],
  ["KV pool", "the memory for what the model has read, in blocks. In use: in the colours of the requests that hold them. In use by several: requests that begin alike hold the same blocks. "
    + "Cached: left by requests that have ended, for one that begins alike. Free: the rest"],
];

let live = null;
const chat = initChat({ failed: () => live?.review() }); // the server may be in another state

function initParamsPanel() {
  const show = () => {
    const { text, bad } = summary();
    setText($("params-chip"), text);
    $("params-chip").classList.toggle("bad", bad);
  };
  initParams(show);
  show();
}

// --- views and theme

/** The chat alone to begin with: the live view belongs to who asks for it, in this tab from then on. */
function setView(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll(".views button")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
  live?.review();
}

function chooseView(view) {
  setView(view);
  try {
    sessionStorage.setItem(VIEW, view);
  } catch {
    // It then lasts as long as the page.
  }
}

function chosenView() {
  try {
    return sessionStorage.getItem(VIEW);
  } catch {
    return null;
  }
}

function initViews() {
  const wide = matchMedia(`(min-width: ${BOTH_MIN_WIDTH}px)`);
  for (const button of document.querySelectorAll(".views button")) button.addEventListener("click", () => chooseView(button.dataset.view));
  wide.addEventListener("change", () => {
    if (!wide.matches && document.body.dataset.view === "split") setView("chat");
  });
  const chosen = chosenView();
  setView(VIEWS.includes(chosen) && (wide.matches || chosen !== "split") ? chosen : "chat");
}

function nextView() {
  const shown = VIEWS.filter((view) => document.querySelector(`.views [data-view=${view}]`).offsetWidth > 0);
  chooseView(shown[(shown.indexOf(document.body.dataset.view) + 1) % shown.length]);
}

function initTheme() {
  const html = document.documentElement, button = $("theme");
  const show = () => {
    const [, word] = THEMES.find(([name]) => name === (html.dataset.theme ?? ""));
    button.setAttribute("aria-label", `Theme: ${word}`);
    button.title = `Theme: ${word}`;
    live?.recolour();
  };
  button.addEventListener("click", () => {
    const at = THEMES.findIndex(([name]) => name === (html.dataset.theme ?? ""));
    const [name] = THEMES[(at + 1) % THEMES.length];
    if (name) html.dataset.theme = name;
    else delete html.dataset.theme;
    try {
      localStorage.setItem("inferd.theme", name);
    } catch {
      // The choice then lasts as long as the page.
    }
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  show();
}

// --- dialogs

function initKeyDialog() {
  const dialog = $("key-dialog"), input = $("key-input");
  let answer = null;
  onKeyNeeded((why) => new Promise((resolve) => {
    answer = resolve;
    $("key-why").textContent = why;
    input.value = "";
    dialog.showModal();
    input.focus();
  }));
  $("key-form").addEventListener("submit", (e) => {
    e.preventDefault();
    setKey(input.value.trim());
    dialog.close("key");
  });
  $("key-cancel").addEventListener("click", () => dialog.close(""));
  dialog.addEventListener("close", () => {
    input.value = "";
    answer?.(dialog.returnValue === "key");
    answer = null;
    dialog.returnValue = "";
  });
}

function initHelp() {
  for (const [key, what] of KEYS) {
    $("key-list").append(el("dt", {}, ...key.split(" ").map((k) => el("kbd", {}, k))), el("dd", {}, what));
  }
  for (const [term, what] of TERMS) $("term-list").append(el("dt", {}, term), el("dd", {}, what));
  $("open-help").addEventListener("click", () => $("help").showModal());
}

function onKey(e) {
  if (document.querySelector("dialog[open]")) return;
  const typing = e.target.matches?.("input, textarea, select");
  if (e.key === "Escape" && !document.querySelector(":popover-open")) {
    if (chat.stop()) e.preventDefault();
    else if (typing && !e.defaultPrevented) e.target.blur();
  } else if (e.altKey && !e.ctrlKey && !e.metaKey) {
    // By the key's place: with Alt some layouts type another letter.
    const act = { KeyN: chat.startNew, KeyP: () => $("params").togglePopover(), KeyV: nextView }[e.code];
    if (act) {
      e.preventDefault();
      act();
    }
  } else if (!typing && !e.ctrlKey && !e.metaKey) {
    if (e.key === "/") {
      e.preventDefault();
      if (document.body.dataset.view === "live") chooseView("chat");
      $("composer-text").focus();
    } else if (e.key === "?") {
      e.preventDefault();
      $("help").showModal();
    }
  }
}

// --- state of the server

function showState(name, more) {
  const state = STATES[name] ?? { word: name };
  $("state").dataset.state = name;
  setText($("state-text"), state.word);
  const text = more ?? state.banner;
  $("banner").hidden = !text;
  setText($("banner-text"), text ?? "");
  $("banner-act").hidden = !state.act;
  setText($("banner-act"), state.act ?? "");
}

function showModel(name) {
  setText($("model"), name);
  $("model").title = name;
  chat.setModel(name);
  document.title = name ? `${name} – inferd` : "inferd";
}

async function loadModel() {
  const entry = (await getJson("v1/models")).data?.[0];
  if (!entry) return;
  showModel(entry.id);
  setDefaults(entry.default_sampling_params);
}

initParamsPanel();
initHelp();
initKeyDialog();
live = initLive({ state: showState, model: showModel, ready: loadModel });
initViews();
initTheme();
document.addEventListener("keydown", onKey);
$("banner-act").addEventListener("click", async () => {
  if (await requestKey("This server needs an API key.")) live.start();
});
live.start();
