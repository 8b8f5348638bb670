// What is not as it should be, at the top of the page; and whether what is shown is live.
import { at, h, renderOnce } from "./dom.js";
import { clock } from "./format.js";
import { isTokenWanted, reconsider } from "./token.js";

const RETURN = "The page reconnects by itself.";
const LIVE = { live: "live", connecting: "connecting …", offline: "offline", refused: "not live", locked: "waiting for a token" };

export function showNotices(store) {
  const { connection, heardAt, problem } = store;
  const isOffline = connection === "offline" || problem?.code === "offline";
  const state = isOffline ? "offline" : isTokenWanted() ? "locked" : connection;
  const since = heardAt ? clock(heardAt) : null;
  document.body.dataset.connection = state;
  const words = ["live", "locked"].includes(state) || !since ? LIVE[state] : `${LIVE[state]}, as of ${since}`;
  renderOnce(at("live"), words, () => words);
  const shown = notices(store, isOffline, since);
  renderOnce(at("notices"), shown.map(({ key }) => key), () => shown.map(({ element }) => element));
}

function notices({ status, problem }, isOffline, since) {
  const shown = [];
  const add = (kind, title, text, more = null) => {
    const element = h("div", { class: `notice is-${kind}` }, h("p", {}, h("strong", {}, title), ` ${text}`), more);
    shown.push({ key: [title, text], element });
  };
  if (isOffline) add("bad", "Offline.", since ? `This is what was known at ${since}; nothing here is live. ${RETURN}` : RETURN);
  else if (problem) add("bad", `${problem.title}.`, problem.message, problem.status === 401 ? signIn() : null);
  if (isOffline || !status) return shown;
  const { serving, behind } = status.replicas;
  const kept = "Predictions go on. Corrections are kept on disk and are learned when it is back.";
  if (status.trainer === "silent") add("warn", "The trainer is silent.", kept);
  const refused = status.refused && `and serves the one before: ${status.refused.detail}.`;
  if (refused) add("warn", "A replica could not load the newest version", refused);
  else if (status.version && behind) add("info", "A new version is on its way:", `${behind} of ${behind + serving} replicas still load it.`);
  if (status.registry_lag > 5) add("warn", "The registry is behind", `by ${status.registry_lag} versions; serving does not wait for it.`);
  return shown;
}

const signIn = () => h("button", { type: "button", onclick: () => { reconsider(); location.reload(); } }, "Give a token");
