// The console: one model at a time, from question to answer to correction to proof.
import { json, Problem } from "./api.js";
import { Asking } from "./ask.js";
import { showNothing, showPixels } from "./answer.js";
import { prepareChart, showChart } from "./chart.js";
import { at, h } from "./dom.js";
import { Explaining } from "./explain.js";
import { inputFor } from "./inputs.js";
import { showMatrix, showTasks } from "./matrix.js";
import { clearNews, tell } from "./news.js";
import { showNotices } from "./notices.js";
import { closeTask, rollBack } from "./operate.js";
import { showParts } from "./parts.js";
import { Store } from "./store.js";
import { showLedger, showSummary } from "./summary.js";
import { Teaching } from "./teach.js";
import { prepareToken } from "./token.js";
import { showVersions, unfoldVersions } from "./versions.js";

const RETRY_MS = 2000;
const BELONGS = [
  "headline", "subline", "status", "input", "answer", "answer-tools", "attribution", "chips", "known-labels", "teach-tools", "trails",
  "matrix", "chart", "tasks", "versions", "versions-empty", "ledger", "parts",
];
let page = null;

/** Everything that belongs to the chosen model. */
class Page {
  constructor(model) {
    this.store = new Store(model);
    clearNews();
    this.store.addEventListener("change", () => this.show());
    this.store.addEventListener("news", ({ detail }) => tell(detail));
    prepareChart(() => showChart(this.store));
    this.show();
  }

  close() {
    this.store.close();
    this.asking?.close();
    this.explaining?.close();
    this.teaching?.close();
  }

  show() {
    const { store } = this;
    if (store.status && !this.asking) this.prepareAsking();
    showNotices(store);
    showSummary(store);
    showMatrix(store);
    showTasks(store, (task) => closeTask(store, task));
    showChart(store);
    showVersions(store, (version) => rollBack(store, version));
    showLedger(store);
    showParts(store);
  }

  prepareAsking() {
    const { specification } = this.store;
    this.input = inputFor(specification, () => this.asking.changed());
    this.asking = new Asking(this.store, this.input);
    this.explaining = new Explaining(this.asking);
    this.teaching = new Teaching(this.store, this.asking);
    at("ask-title").textContent = this.input.title;
    at("input").replaceChildren(this.input.element);
    at("ask-task-box").hidden = specification?.labels?.scenario !== "task";
    at("ask-task").value = "";
    at("teach-task").value = "";
    showPixels(null);
    showNothing();
  }
}

/** Nothing of one model may stand on the page of another. */
function blank() {
  for (const id of BELONGS) {
    delete at(id).dataset.key;
    at(id).replaceChildren();
  }
  at("headline").textContent = "Asking the service …";
}

function open(model) {
  page?.close();
  blank();
  page = new Page(model);
  document.title = `${model} · lifelong`;
}

/** What is known while no model is there to be shown. */
const nothingYet = (connection, problem) => ({ connection, problem, heardAt: null, status: null });

function prepare() {
  prepareToken(() => showNotices(page?.store || nothingYet("connecting", null)));
  at("model").addEventListener("change", () => open(at("model").value));
  at("ask-form").addEventListener("submit", (event) => { event.preventDefault(); page?.asking?.ask(); });
  at("by-version").addEventListener("change", () => page && showMatrix(page.store));
  at("by-task").addEventListener("change", () => page && showMatrix(page.store));
  at("ask-task").addEventListener("input", () => page?.asking?.changed());
  at("all-versions").addEventListener("click", () => { unfoldVersions(); page?.show(); });
  at("older").addEventListener("click", () => page.store.loadOlder().catch(() => page.store.refresh()));
  document.addEventListener("paste", (event) => {
    const [file] = [...(event.clipboardData?.files || [])].filter(({ type }) => type.startsWith("image/"));
    if (file) page?.input?.show?.(file);
  });
}

async function begin() {
  try {
    const { models } = await json("v1/models");
    at("model").replaceChildren(...models.map(({ model }) => h("option", { value: model }, model)));
    at("model-box").classList.toggle("is-single", models.length === 1);
    open(models[0].model);
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    showNotices(nothingYet(problem.code === "offline" ? "offline" : "refused", problem));
    setTimeout(begin, RETRY_MS);
  }
}

prepare();
begin();
