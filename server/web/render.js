// Answers as they stream in: a small Markdown made of DOM nodes.  What is finished is never touched again, so an
// answer of any length costs the same for each token.  Known: paragraphs, headings, lists, quotes, rules, fenced
// code, `code`, **bold**, *italic*.  Everything else, HTML and links included, stays the text that it is.

import { copyButton, el } from "./dom.js";
import { appendText, parseInline } from "./inline.js";

const HELD_LINE_MAX = 64; // a line's beginning that could still become a marker is held back no longer than this
const PIECE = 400; // characters of a line that are read in one go
const PARAGRAPH_MAX = 8000; // longer ones are cut at a blank: one box this long would be laid out again for each token
const LIST_DEPTH_MAX = 8;

const FENCE = /^(\s*)(`{3,}|~{3,})(.*)$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+)/;
const HEADING = /^ {0,3}(#{1,6})\s+/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const MAYBE_MARKER = /^\s*(?:[-*+_]|\d{1,9}[.)]?|#{1,6}|[-*_\s]+)?\s*$/;

/** Text as it is, for plain completions. */
export class PlainText {
  constructor(parent) {
    this.box = el("p", { class: "verbatim" });
    parent.append(this.box);
  }

  write(text) {
    for (let at = 0; at < text.length; at += PARAGRAPH_MAX) {
      const piece = text.slice(at, at + PARAGRAPH_MAX);
      if (this.box.textLength > PARAGRAPH_MAX && piece.startsWith("\n")) this.split();
      appendText(this.box, piece);
    }
  }

  split() {
    const next = el("p", { class: "verbatim" });
    this.box.after(next);
    this.box = next;
  }

  end() {}
}

export class Markdown {
  constructor(parent) {
    this.parent = parent;
    this.quote = null; // the open quote, a block that holds others
    this.lists = []; // open lists, outermost first: {list, item, indent}
    this.block = null; // the open paragraph, heading or item, to which text goes
    this.code = null; // the open fence: {text, mark, indent, midLine}
    this.rest = ""; // not yet decided, at the beginning of a line
    this.inLine = false; // whether the current line's marker was read
    this.tail = ""; // of the line: an opened ** or ` whose end is not there yet, shown as text
    this.tailNode = null;
    this.blank = true; // whether the last line was empty
  }

  write(text) {
    this.rest += text;
    this.run(false);
  }

  end() {
    this.run(true);
    if (this.inLine) this.endLine();
  }

  /** Takes from this.rest what can be decided. */
  run(final) {
    while (this.rest !== "") {
      const newline = this.rest.indexOf("\n");
      const line = newline < 0 ? this.rest : this.rest.slice(0, newline);
      const whole = newline >= 0 || final;
      if (this.code) {
        if (!this.codeLine(line, newline >= 0, whole)) return;
      } else if (this.inLine) {
        this.inlineText(line, false);
        if (newline >= 0) this.endLine();
      } else {
        const used = this.beginLine(line, whole);
        if (used < 0) return; // more has to be seen
        if (used < line.length || (!this.inLine && !this.code && newline < 0)) {
          this.rest = this.rest.slice(used);
          if (!this.inLine) return;
          continue;
        }
        if (this.inLine && newline >= 0) this.endLine();
      }
      this.rest = newline < 0 ? "" : this.rest.slice(newline + 1);
    }
  }

  /** Reads the marker of a line; how many characters it took, or -1 when it cannot be told yet. */
  beginLine(line, whole) {
    if (!whole && line.length < HELD_LINE_MAX && (MAYBE_MARKER.test(line) || /^\s*(`{1,}|~{1,})/.test(line))) return -1;
    if (line.trim() === "") {
      if (!whole) return -1;
      this.closeBlock();
      this.blank = true;
      return line.length;
    }
    const fence = FENCE.exec(line);
    if (fence && (whole || line.length >= HELD_LINE_MAX) && !fence[3].includes("`")) {
      this.openCode(fence);
      return line.length;
    }
    if (RULE.test(line) && whole) {
      this.leave();
      this.parent.append(el("hr"));
      this.blank = true;
      return line.length;
    }
    const used = this.openBlock(line);
    this.blank = false;
    this.inLine = true;
    return used;
  }

  openBlock(line) {
    const heading = HEADING.exec(line), item = ITEM.exec(line), quote = QUOTE.exec(line);
    if (heading) {
      this.leave();
      // The page has an h1 and the sections h2: an answer's headings stand below.
      this.open(el(`h${Math.min(6, heading[1].length + 2)}`));
      return heading[0].length;
    }
    if (item) {
      this.openItem(item);
      return item[0].length;
    }
    if (quote) {
      if (!this.quote) {
        this.leave();
        this.quote = el("blockquote");
        this.parent.append(this.quote);
        this.block = null;
      }
      if (this.block) appendText(this.block, "\n");
      else this.open(el("p"));
      return quote[0].length;
    }
    const indent = /^\s*/.exec(line)[0].length;
    if (this.block && !this.blank && !/^H/.test(this.block.tagName)) {
      appendText(this.block, "\n"); // a line that goes on; breaks are kept, models mean them
    } else if (this.lists.length > 0 && indent >= 2) {
      while (this.lists.length > 1 && this.lists.at(-1).indent >= indent) this.lists.pop();
      this.open(el("p"));
    } else {
      this.leave();
      this.open(el("p"));
    }
    return indent;
  }

  openItem([, space, mark]) {
    const indent = space.length, tag = /\d/.test(mark) ? "ol" : "ul";
    this.closeQuote();
    while (this.lists.length > 0 && this.lists.at(-1).indent > indent) this.lists.pop();
    let top = this.lists.at(-1);
    const deeper = top && indent >= top.indent + 2 && this.lists.length < LIST_DEPTH_MAX;
    if (top && !deeper && top.list.tagName !== tag.toUpperCase()) {
      this.lists.pop();
      top = this.lists.at(-1);
    }
    if (!top || deeper || top.indent < indent - 1) {
      const list = el(tag);
      if (tag === "ol" && Number.parseInt(mark, 10) !== 1) list.start = Number.parseInt(mark, 10);
      (top?.item ?? this.parent).append(list);
      top = { list, item: null, indent };
      this.lists.push(top);
    }
    top.item = el("li");
    top.list.append(top.item);
    this.block = top.item;
  }

  openCode([, space, mark, info]) {
    const inItem = this.lists.length > 0 && space.length >= 2;
    if (!inItem) this.leave();
    const text = el("code"), language = info.trim().split(/\s+/)[0].slice(0, 30);
    const box = el("div", { class: "code" },
      el("div", { class: "code-head" }, el("span", {}, language), copyButton("Copy the code", () => text.textContent)),
      el("pre", { tabindex: "0" }, text));
    (inItem ? this.lists.at(-1).item : this.parent).append(box);
    this.block = null;
    this.code = { text, mark, indent: space.length, midLine: false };
  }

  /** One line of a fence, or what is there of it; false when more has to be seen. */
  codeLine(line, newline, whole) {
    const { text, mark, indent, midLine } = this.code;
    if (!midLine) {
      const end = /^\s*(`{3,}|~{3,})\s*$/.exec(line);
      if (whole && end && end[1][0] === mark[0] && end[1].length >= mark.length) {
        this.code = null;
        this.blank = true;
        return true;
      }
      if (!whole && line.length < HELD_LINE_MAX && /^\s*[`~]*\s*$/.test(line)) return false;
      let skip = 0;
      while (skip < indent && line[skip] === " ") skip++;
      line = line.slice(skip);
    }
    appendText(text, newline ? `${line}\n` : line);
    this.code.midLine = !newline;
    return true;
  }

  open(block) {
    const list = this.lists.at(-1);
    (this.quote ?? list?.item ?? this.parent).append(block);
    this.block = block;
  }

  closeBlock() {
    this.block = null;
    this.closeQuote();
  }

  closeQuote() {
    if (this.quote) this.block = null;
    this.quote = null;
  }

  /** Out of all that is open. */
  leave() {
    this.closeBlock();
    this.lists = [];
  }

  /** In pieces, as if it had streamed in: from each mark the line is searched for its end, and a line may be long. */
  inlineText(text, final) {
    for (let at = 0; at < text.length;) {
      let end = at + PIECE;
      if (/[\ud800-\udbff]/.test(text[end - 1])) end++; // the halves of a character stay together
      this.inlinePiece(text.slice(at, end), false);
      at = end;
    }
    if (final) this.inlinePiece("", true);
  }

  inlinePiece(text, final) {
    this.tail += text;
    const nodes = document.createDocumentFragment();
    const used = parseInline(this.tail, final, nodes);
    this.tailNode?.remove();
    this.tailNode = null;
    appendText(this.block, nodes);
    this.tail = this.tail.slice(used);
    if (this.tail !== "") {
      this.tailNode = document.createTextNode(this.tail);
      this.block.append(this.tailNode);
    } else if (this.block.tagName === "P" && this.block.textLength > PARAGRAPH_MAX && / $/.test(text)) {
      const next = el("p", { class: "goes-on" });
      this.block.after(next);
      this.block = next;
    }
  }

  endLine() {
    this.inlineText("", true);
    this.inLine = false;
    if (/^H/.test(this.block.tagName)) this.block = null;
  }
}

/** Gathers text and writes it once a frame. */
export class Stream {
  constructor(writer, onwrite) {
    Object.assign(this, { writer, onwrite, pending: "", frame: 0 });
  }

  push(text) {
    if (text === "") return;
    this.pending += text;
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.pending === "") return;
    const text = this.pending;
    this.pending = "";
    this.writer.write(text);
    this.onwrite();
  }

  end() {
    this.flush();
    this.writer.end();
    this.onwrite();
  }
}
