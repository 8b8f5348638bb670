// Copying to the clipboard; where the browser forbids it, the text is shown to be copied by hand.
import { announce, h } from "./dom.js";

export function copyButton(name, text) {
  const button = h("button", { type: "button", class: "copy quiet", onclick: () => copy(button, name, text()) }, name);
  return button;
}

async function copy(button, name, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    showToCopy(text);
    return;
  }
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = name; }, 1500);
}

function showToCopy(text) {
  const area = h("textarea", { rows: "8", readonly: true, "aria-labelledby": "copy-title" }, text);
  const done = h("button", { type: "button", onclick: () => dialog.close() }, "Done");
  const dialog = h("dialog", { "aria-labelledby": "copy-title", onclose: () => dialog.remove() },
    h("h2", { id: "copy-title" }, "Copy this"), area, h("div", { class: "row is-end" }, done));
  document.body.append(dialog);
  dialog.showModal();
  area.select();
}
