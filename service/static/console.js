"use strict";
// Status and matrix of one model; the event stream says when to ask for them again.
const at = (id) => document.getElementById(id);
const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));
const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });
const json = async (path) => (await fetch(path)).json();
let stream = null;
let pending = null;

function showStatus(status) {
  const ledger = status.ledger;
  const facts = {
    "Version served": status.version || "none yet",
    "Average accuracy": number(status.average_accuracy),
    "Backward transfer": number(status.backward_transfer),
    "Forward transfer": number(status.forward_transfer),
    "Labels": status.labels.length,
    "Events received": ledger.received,
    "Events not yet accounted for": status.lag,
    "Learned through": status.processed_through,
    "Served through": status.served_through,
    "Replicas serving it": `${status.replicas.serving} of ${status.replicas.serving + status.replicas.behind}`,
    "Trainer": status.trainer,
  };
  at("status").replaceChildren(...Object.entries(facts).flatMap(([k, v]) => [element("dt", k), element("dd", v)]));
}

function showMatrix(matrix) {
  const head = document.createElement("tr");
  head.append(element("th", "after"), ...matrix.tasks.map((task) => element("th", task)));
  const rows = matrix.R.map((values, index) => {
    const row = document.createElement("tr");
    const cells = matrix.tasks.map((_, column) => element("td", number(values[column])));
    row.append(element("th", matrix.tasks[index]), ...cells);
    return row;
  });
  at("matrix").replaceChildren(head, ...rows);
}

async function refresh(base) {
  const [status, matrix] = await Promise.all([json(base), json(`${base}/matrix`)]);
  if (status.model === at("model").value) {
    showStatus(status);
    showMatrix(matrix);
  }
}

function refreshSoon(base) {
  pending = pending || setTimeout(() => { pending = null; refresh(base); }, 200);
}

function follow() {
  const base = `v1/models/${at("model").value}`;
  if (stream) stream.close();
  at("news").replaceChildren();
  stream = new EventSource(`${base}/stream`);
  for (const kind of ["round", "task", "decision", "promotion", "rollback", "events", "training"]) {
    stream.addEventListener(kind, (message) => {
      const news = JSON.parse(message.data);
      const time = new Date(news.time * 1000).toLocaleTimeString();
      at("news").prepend(element("li", `${time} ${kind} ${JSON.stringify(news.data)}`));
      while (at("news").children.length > 50) at("news").lastChild.remove();
      refreshSoon(base);
    });
  }
  refresh(base);
}

json("v1/models").then(({ models }) => {
  at("model").replaceChildren(...models.map(({ model }) => element("option", model)));
  at("model").addEventListener("change", follow);
  follow();
});
