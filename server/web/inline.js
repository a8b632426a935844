// The inside of a line: `code`, **bold**, *italic*, backslash escapes; and how text is appended.

import { el } from "./dom.js";

const TEXT_NODE_MAX = 2000; // appending copies a node's text: nodes stay short
const SPAN_MAX = 4000; // a longer stretch from mark to mark is text, however its pieces came: no more is held back
const DEPTH_MAX = 3; // ***both*** and code inside; deeper nesting is text

/** Appends a string or the nodes of a fragment, and keeps count of the length in box.textLength. */
export function appendText(box, what) {
  for (const piece of typeof what === "string" ? [what] : [...what.childNodes]) {
    const text = typeof piece === "string" ? piece : piece.textContent;
    box.textLength = (box.textLength ?? 0) + text.length;
    const last = box.lastChild;
    if (piece.nodeType === Node.ELEMENT_NODE) box.append(piece);
    else if (last?.nodeType === Node.TEXT_NODE && last.length < TEXT_NODE_MAX) last.appendData(text);
    else box.append(document.createTextNode(text));
  }
}

/**
 * Puts what can be decided of `text` into `into`; how many characters that were.  Less than all means: from there on
 * the end of something opened is missing and may still come.  With `final` such a beginning is text.
 */
export function parseInline(text, final, into, depth = 0) {
  const special = /[`*_\\]/g;
  let at = 0, shown = 0;
  const show = (end) => {
    if (end > shown) into.append(document.createTextNode(text.slice(shown, end)));
  };
  for (;;) {
    special.lastIndex = at;
    const found = special.exec(text);
    if (!found) {
      show(text.length);
      return text.length;
    }
    const i = found.index;
    const piece = found[0] === "\\" ? escape(text, i) : found[0] === "`" ? code(text, i) : emphasis(text, i, depth);
    if (piece === "open" && !final && text.length - i <= SPAN_MAX) {
      show(i);
      return i;
    }
    if (typeof piece === "object") {
      show(i);
      into.append(piece.node);
      at = shown = piece.end;
    } else {
      at = i + (piece === "open" ? runLength(text, i) : piece);
    }
  }
}

function runLength(text, i) {
  let end = i;
  while (end < text.length && text[end] === text[i]) end++;
  return end - i;
}

// Each of these gives {node, end}, the number of characters that are plain text, or "open" where the end is missing.

function escape(text, i) {
  if (i + 1 >= text.length) return "open";
  if (!/[!-/:-@[-`{-~]/.test(text[i + 1])) return 1;
  return { node: document.createTextNode(text[i + 1]), end: i + 2 };
}

function code(text, i) {
  const n = runLength(text, i);
  for (let j = i + n; (j = text.indexOf("`", j)) >= 0; j += runLength(text, j)) {
    if (j + n - i > SPAN_MAX) break;
    if (runLength(text, j) !== n) continue;
    const inner = text.slice(i + n, j);
    return { node: el("code", {}, /^ .*\S.* $/.test(inner) ? inner.slice(1, -1) : inner), end: j + n };
  }
  return "open";
}

function emphasis(text, i, depth) {
  const run = runLength(text, i), n = Math.min(run, 2), mark = text[i].repeat(n);
  if (i + run >= text.length) return "open";
  if (/\s/.test(text[i + run]) || run > 3 || depth >= DEPTH_MAX) return run;
  if (mark[0] === "_" && i > 0 && /\w/.test(text[i - 1])) return run; // snake_case
  for (let j = i + n; (j = text.indexOf(mark, j)) >= 0; j += Math.max(1, runLength(text, j))) {
    if (j + n - i > SPAN_MAX) break;
    let length = runLength(text, j);
    if (/\s/.test(text[j - 1]) || j === i + n) continue;
    if (n === 1 && length === 2) continue; // the beginning or end of a bold piece inside
    if (mark[0] === "_" && /\w/.test(text[j + length] ?? " ")) continue;
    j += length - n; // of ***, the inner marks belong to the inside
    const node = el(n === 2 ? "strong" : "em");
    parseInline(text.slice(i + n, j), true, node, depth + 1);
    return { node, end: j + n };
  }
  return "open";
}
