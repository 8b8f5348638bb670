// The bearer token: asked for when the service wants one, kept for this tab alone, never part of an address.
import { at } from "./dom.js";

const KEY = "lifelong-token";
let asking = null;
let declined = false;

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
  asking = opened(isRefused).finally(() => { asking = null; });
  return asking;
}

function opened(isRefused) {
  const dialog = at("token-dialog");
  at("token-refused").hidden = !isRefused;
  at("token-input").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = at("token-input").value.trim();
      at("token-input").value = "";
      declined = dialog.returnValue !== "give" || !given;
      if (!declined) sessionStorage.setItem(KEY, given);
      showWhatIsOpen();
      resolve(!declined);
    }, { once: true });
  });
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

export function prepareToken() {
  showWhatIsOpen();
  at("sign-out").addEventListener("click", forgetToken);
  for (const button of document.querySelectorAll("dialog [data-close]")) {
    button.addEventListener("click", () => button.closest("dialog").close());
  }
}
