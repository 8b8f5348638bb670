// The bearer token: asked for when the service wants one, kept for this tab alone, never part of an address.
import { at, h } from "./dom.js";

const KEY = "lifelong-token";
let asking = null;
let declined = false;
let onWanted = () => {};

export const token = () => sessionStorage.getItem(KEY);
export const authorization = () => (token() ? { authorization: `Bearer ${token()}` } : {});

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  location.reload();
}

/** Resolves to true once there is a token to try, to false if the person wants to give none. */
export function wantToken(isRefused) {
  if (asking) return asking;
  if (declined) return Promise.resolve(false);
  asking = opened(isRefused).finally(() => { asking = null; onWanted(); });
  onWanted();
  return asking;
}

/** Whether the service wants a token that it has not been given. */
export const isTokenWanted = () => Boolean(asking) || declined;

function opened(isRefused) {
  const input = h("input", { id: "token-input", type: "password", autocomplete: "off", spellcheck: "false" });
  const dialog = dialogWith(input, isRefused);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = input.value.trim();
      declined = dialog.returnValue !== "give" || !given;
      if (!declined) sessionStorage.setItem(KEY, given);
      dialog.remove();
      showWhatIsOpen();
      resolve(!declined);
    });
  });
}

function dialogWith(input, isRefused) {
  const refuse = h("button", { type: "button", onclick: () => dialog.close() }, "Not now");
  const give = h("button", { type: "submit", class: "primary", value: "give" }, "Use the token");
  const dialog = h("dialog", { id: "token-dialog", "aria-labelledby": "token-title" }, h("form", { method: "dialog" },
    h("h2", { id: "token-title" }, "This service asks for a token"),
    isRefused && h("p", { class: "problem" }, "The token given was not accepted."),
    h("div", { class: "field" }, h("label", { for: "token-input" }, "Bearer token"), input),
    h("p", { class: "hint" }, "It is kept for this tab alone and is gone when the tab is closed."),
    h("div", { class: "row is-end" }, refuse, give)));
  return dialog;
}

/** A person asks to give a token after having declined once. */
export function reconsider() {
  declined = false;
}

/** A link cannot carry a token: what needs one is not offered as a link then. */
function showWhatIsOpen() {
  at("sign-out").hidden = !token();
  for (const link of document.querySelectorAll("[data-guarded]")) link.hidden = Boolean(token());
}

/** Makes the page ready to ask for a token; `whenWanted` is called each time that `isTokenWanted` may have changed. */
export function prepareToken(whenWanted = () => {}) {
  onWanted = whenWanted;
  showWhatIsOpen();
  at("sign-out").addEventListener("click", forgetToken);
}
