// Making elements.  Content always goes in as text: nothing in this page parses HTML.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

/** el("button", {class: "icon", onclick: f, "aria-label": "Copy"}, "text", node, ...) */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** One of the symbols of index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export function iconButton(name, label, onclick) {
  return el("button", { type: "button", class: "icon small-icon", "aria-label": label, title: label, onclick }, icon(name));
}

/** Sets text only where it differs: an unchanged live value costs no layout. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A word to those who listen instead of looking. */
export function announce(text) {
  const region = $("announce");
  region.textContent = "";
  requestAnimationFrame(() => { region.textContent = text; });
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Outside of a secure context (plain HTTP on a network) there is no clipboard object.
    const area = el("textarea", { class: "hidden-text", "aria-hidden": "true" });
    area.value = text;
    const dialog = document.querySelector("dialog[open]");
    (dialog ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/** A copy button that says that it did. */
export function copyButton(label, text) {
  const button = iconButton("copy", label, async () => {
    await copyText(text());
    button.replaceChildren(icon("check"));
    announce("Copied");
    setTimeout(() => button.replaceChildren(icon("copy")), 1500);
  });
  return button;
}
