// What this tab keeps: its chats and the parameters, in sessionStorage, within bounds.

const CHATS = "inferd.chats", PARAMS = "inferd.params";
const CHATS_MAX = 20;
const CHATS_SIZE_MAX = 2_000_000; // UTF-16 units; browsers give a site about 5 million

/**
 * chat: {id, title, created, plain, turns: [{role: "user"|"assistant", content, note?, fault?}]}
 * note: the line of measurements under an answer; fault: {text, template, field} where it failed.
 */
let chats = load(CHATS, []);
if (!Array.isArray(chats)) chats = [];

function load(name, otherwise) {
  try {
    return JSON.parse(sessionStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function newChat(plain) {
  return { id: `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`, title: "", created: Date.now(), plain, turns: [] };
}

export const listChats = () => chats;
export const latestChat = () => chats[0] ?? null;

/**
 * Puts the chat in front and writes all of them; the oldest leave where there is no room.  False when not even this
 * one fits: it then lives as long as the page.
 */
export function saveChat(chat) {
  if (chat.turns.length === 0) return true;
  const first = chat.turns.find((turn) => turn.role === "user");
  chat.title = (first?.content ?? "").trim().replace(/\s+/g, " ").slice(0, 60) || "Untitled";
  chats = [chat, ...chats.filter((other) => other.id !== chat.id)].slice(0, CHATS_MAX);
  return write();
}

export function deleteChat(id) {
  chats = chats.filter((chat) => chat.id !== id);
  write();
}

function write() {
  for (let n = chats.length; n >= 0; n--) {
    const text = JSON.stringify(chats.slice(0, n));
    if (text.length > CHATS_SIZE_MAX && n > 0) continue;
    try {
      sessionStorage.setItem(CHATS, text);
      if (n > 0) chats = chats.slice(0, n);
      return n > 0 || chats.length === 0;
    } catch {
      // Full, or forbidden: one chat less.
    }
  }
  return false;
}

export const loadParams = () => load(PARAMS, {});

export function saveParams(params) {
  try {
    sessionStorage.setItem(PARAMS, JSON.stringify(params));
  } catch {
    // They then live as long as the page.
  }
}

/** Hands the browser a file with the chat. */
export function exportChat(chat, model) {
  const turns = chat.turns.map(({ role, content, note, fault }) => ({ role, content, ...(note && { note }), ...(fault && { error: fault.text }) }));
  const text = JSON.stringify({ server: "inferd", model, mode: chat.plain ? "completion" : "chat",
    created: new Date(chat.created).toISOString(), title: chat.title, messages: turns }, null, 2);
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `inferd-${new Date(chat.created).toISOString().slice(0, 19).replace(/:/g, "")}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
