// Elements by calls, never by markup: what users or models say can only ever become text.
const SVG = "http://www.w3.org/2000/svg";

function dress(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An HTML element; a property `onclick` is a listener, `--share` a CSS variable, the rest are attributes. */
export const h = (name, properties = {}, ...children) => dress(document.createElement(name), properties, children);

/** The same for SVG. */
export const s = (name, properties = {}, ...children) =>
  dress(document.createElementNS(SVG, name), properties, children);

/** The head of a table: one heading a column. */
export const headings = (names) => h("thead", {}, h("tr", {}, names.map((name) => h("th", { scope: "col" }, name))));

export const at = (id) => document.getElementById(id);

/** Text that only screen readers meet. */
export const spoken = (text) => h("span", { class: "spoken" }, text);

/** Replaces the content of `element` when `key` says that it would differ; so focus and open details survive. */
export function renderOnce(element, key, build) {
  const wanted = JSON.stringify(key);
  if (element.dataset.key === wanted) return;
  element.dataset.key = wanted;
  element.replaceChildren(...[build()].flat().filter(Boolean));
}

/** Says a sentence politely to those who cannot see the page change. */
export function announce(sentence) {
  const line = at("announcer");
  line.textContent = "";
  requestAnimationFrame(() => { line.textContent = sentence; });
}
