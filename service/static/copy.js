// Copying to the clipboard; where the browser forbids it, the text is shown to be copied by hand.
import { announce, at, h } from "./dom.js";

export function copyButton(name, text) {
  const button = h("button", { type: "button", class: "copy quiet", onclick: () => copy(button, name, text()) }, name);
  return button;
}

async function copy(button, name, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    at("copy-text").value = text;
    at("copy-dialog").showModal();
    at("copy-text").select();
    return;
  }
  button.textContent = "Copied";
  announce("Copied");
  setTimeout(() => { button.textContent = name; }, 1500);
}
