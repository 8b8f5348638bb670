// The reference: every operation of the OpenAPI document beside this page, with its fields, answers and a command.
import { curl, json } from "./api.js";
import { problemBox } from "./answer.js";
import { copyButton } from "./copy.js";
import { at, h, headings } from "./dom.js";
import { exampleOf, fieldsOf, typeOf } from "./schema.js";
import { prepareToken } from "./token.js";

const idOf = (method, path) => `${method}-${path}`.replace(/[^a-z0-9]+/gi, "-").replace(/-$/, "").toLowerCase();
const isSuccess = (status) => status.startsWith("2");

function contents(operations) {
  const groups = Map.groupBy(operations, ({ path }) => groupOf(path));
  const link = ({ method, path }) =>
    h("li", {}, h("a", { href: `#${idOf(method, path)}` }, methodName(method), shortened(path)));
  return [...groups].map(([group, members]) => h("div", {}, h("h2", {}, group), h("ul", {}, members.map(link))));
}

const methodName = (method) => h("span", { class: `method is-${method}` }, method.toUpperCase());

/** A path that may go on in the next line after each slash. */
const breakable = (path) => path.split("/").flatMap((part, index) => (index ? ["/", h("wbr"), part] : [part]));

function groupOf(path) {
  if (path.startsWith("/v2")) return "Open Inference Protocol";
  return path.startsWith("/v1") ? "Models" : "Operations";
}

const shortened = (path) => path.replace("/v1/models/{model}/", "…/").replace(/^\/v2\/models\/\{[^}]+\}\//, "…/");

function operation({ method, path, facts }, document) {
  const content = facts.requestBody?.content?.["application/json"];
  const body = content && exampleOf(content.schema, document);
  return h("section", { class: "card", id: idOf(method, path), "aria-labelledby": `${idOf(method, path)}-title` },
    h("div", { class: "operation-head" },
      h("h2", { id: `${idOf(method, path)}-title` }, methodName(method), " ", h("code", {}, breakable(path))),
      copyButton("Copy as curl", () => command(method, path, body))),
    facts.description ? h("p", {}, facts.description) : null,
    parameters(facts.parameters || [], `${method} ${path}`, document),
    content && h("h3", {}, facts.requestBody.required ? "Body" : "Body, optional"),
    content && fieldTable(content.schema, `Body of ${method} ${path}`, document),
    content && h("pre", {}, JSON.stringify(body, null, 2)),
    h("h3", {}, "Answers"), answers(facts.responses, `${method} ${path}`, document));
}

function command(method, path, body) {
  return curl(path.slice(1), body, method.toUpperCase()).replaceAll("%7B", "{").replaceAll("%7D", "}");
}

function parameters(all, operation, document) {
  if (!all.length) return null;
  const inPath = all.filter((parameter) => parameter.in === "path").map(({ name }) => h("code", {}, name));
  const rows = all.filter((parameter) => parameter.in !== "path").map((parameter) =>
    row(parameter.name, parameter.schema, parameter.required, parameter.description || `in the ${parameter.in}`, document));
  return [
    inPath.length ? h("p", { class: "hint" }, "In the path: ", inPath.flatMap((name, index) => (index ? [", ", name] : [name]))) : null,
    rows.length ? [h("h3", {}, "Parameters"), table(`Parameters of ${operation}`, rows)] : null,
  ];
}

function fieldTable(schema, name, document) {
  const rows = fieldsOf(schema, document).map(({ name: field, schema: own, isRequired }) =>
    row(field, own, isRequired, own.description || "", document));
  return rows.length ? table(name, rows) : h("p", { class: "hint" }, typeOf(schema, document));
}

function row(name, schema, isRequired, meaning, document) {
  const head = h("th", { scope: "row" }, h("code", {}, name), isRequired && h("span", { class: "needed" }, " required"));
  return h("tr", {}, head, h("td", {}, typeOf(schema, document)), h("td", {}, meaning));
}

const table = (name, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name },
  h("table", { class: "plain is-text" }, headings(["name", "type", "meaning"]), h("tbody", {}, rows)));

function answers(responses, operation, document) {
  const all = Object.entries(responses);
  const refusals = all.filter(([status]) => !isSuccess(status)).map(([status]) => status);
  return [
    ...all.filter(([status]) => isSuccess(status)).map(([status, answer]) => success(status, answer, operation, document)),
    refusals.length ? h("p", { class: "hint" }, `Refused with a problem document: ${refusals.join(", ")}.`) : null,
  ];
}

function success(status, { description, content = {} }, operation, document) {
  const [[type, { schema }] = ["", {}]] = Object.entries(content);
  const fields = schema ? fieldsOf(schema, document) : [];
  const line = h("p", {}, h("span", { class: "badge is-good" }, status), ` ${description || ""}`,
    type && h("span", { class: "hint" }, ` · ${type}`));
  if (!fields.length) return line;
  const name = `Answer ${status} of ${operation}`;
  return h("details", { class: "answer-fields" }, h("summary", {}, line), fieldTable(schema, name, document));
}

async function show() {
  try {
    const document = await json("openapi.json");
    const all = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, facts]) => ({ method, path, facts })));
    const operations = [...Map.groupBy(all, ({ path }) => groupOf(path)).values()].flat();
    at("contents").replaceChildren(...contents(operations));
    at("operations").replaceChildren(...operations.map((each) => operation(each, document)));
    at("fault").replaceChildren();
    if (location.hash) at(location.hash.slice(1))?.scrollIntoView();
  } catch (problem) {
    at("fault").replaceChildren(problemBox(problem, show));
    at("operations").replaceChildren();
  }
}

prepareToken();
show();
