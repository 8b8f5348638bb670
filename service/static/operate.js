// What changes the service itself: rolling back and closing a task, each confirmed first.
import { curl, json } from "./api.js";
import { problemBox } from "./answer.js";
import { copyButton } from "./copy.js";
import { announce, at, h } from "./dom.js";
import { list } from "./format.js";

/** Opens the dialog; each press of its button sends the request once, and a refusal is shown inside of it. */
function confirm({ title, sentences, action, path, body, done }) {
  const dialog = at("confirm");
  at("confirm-title").textContent = title;
  at("confirm-text").replaceChildren(...sentences.map((sentence) => h("p", {}, sentence)));
  at("confirm-fault").replaceChildren();
  const go = h("button", { type: "button", class: "primary", id: "confirm-go" }, action);
  const cancel = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
  go.addEventListener("click", async () => {
    go.disabled = true;
    try {
      done(await json(path, { method: "POST", body }));
      dialog.close();
    } catch (problem) {
      at("confirm-fault").replaceChildren(problemBox(problem, null));
      go.disabled = false;
    }
  });
  at("confirm-tools").replaceChildren(copyButton("Copy as curl", () => curl(path, body, "POST")), cancel, go);
  dialog.showModal();
  cancel.focus();
}

export function rollBack(store, version) {
  const undone = store.versions.filter((each) => each.version > version && each.probes.decision.verdict === "promote")
    .map((each) => String(each.version)).reverse();
  const lost = `What ${undone.length === 1 ? "version" : "versions"} ${list(undone)} learned is undone: weights, optimiser, `
    + "importance and replay buffer go back to where they were.";
  confirm({
    title: `Serve version ${version} again?`,
    sentences: [
      undone.length ? lost : "The whole learner moves to where it was then.",
      "The events learned since stay known by their ids and are not learned again. Requests in flight are answered.",
    ],
    action: `Roll back to version ${version}`,
    path: `${store.base}/rollback`,
    body: { version },
    done: (answer) => { announce(`Version ${answer.version} is served again.`); store.versionsKey = null; store.refresh(); },
  });
}

export function closeTask(store, task) {
  confirm({
    title: `Close task “${task}”?`,
    sentences: [
      "It is learned to its end, consolidated and measured; its row joins the accuracy matrix.",
      "Feedback that comes for it later is still learned, and counted as late.",
    ],
    action: "Close the task",
    path: `${store.base}/tasks/${encodeURIComponent(task)}/close`,
    body: undefined,
    done: () => { announce(`Task ${task} is closed.`); store.refresh(); },
  });
}
