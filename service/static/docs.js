"use strict";
// Lists the operations of the OpenAPI document beside this page.
const element = (name, text) => Object.assign(document.createElement(name), { textContent: text });

function operation(method, path, facts) {
  const section = document.createElement("section");
  section.append(element("h2", `${method.toUpperCase()} ${path}`), element("p", facts.description || ""));
  const content = facts.requestBody && facts.requestBody.content["application/json"];
  if (content) {
    section.append(element("h3", "Body"), element("pre", JSON.stringify(content.schema, null, 1)));
  }
  section.append(element("h3", "Answers"));
  const answers = Object.entries(facts.responses).map(([status, { description }]) => `${status} ${description}`);
  section.append(element("p", answers.join(" · ")));
  return section;
}

fetch("openapi.json")
  .then((answer) => answer.json())
  .then(({ paths }) => {
    for (const [path, methods] of Object.entries(paths)) {
      for (const [method, facts] of Object.entries(methods)) {
        document.getElementById("operations").append(operation(method, path, facts));
      }
    }
  });
