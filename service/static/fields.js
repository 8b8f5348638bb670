// Inputs that are typed: a text, a row of numbers, labelled columns, a story with a question, or plain JSON.
import { h } from "./dom.js";

/** A field that is not filled in properly, said in words. */
export class Unfinished extends Error {}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const size = (shape) => shape.reduce((product, side) => product * side, 1);

function area(id, label, rows, placeholder, onChange) {
  const field = h("textarea", { id, rows, placeholder, spellcheck: "false", oninput: onChange });
  return { field, element: h("div", { class: "field" }, h("label", { for: id }, label), field) };
}

export function textInput(_, onChange) {
  const { field, element } = area("text", "Text", 6, "Write or paste a text", onChange);
  return { element, read: () => field.value.trim() || null, clear: () => { field.value = ""; onChange(); } };
}

export function storyInput(_, onChange) {
  const story = area("story", "Story, one sentence a line", 6, "Mary went to the kitchen.\nJohn went to the garden.", onChange);
  const question = h("input", { id: "question", type: "text", placeholder: "Where is Mary?", autocomplete: "off", oninput: onChange });
  const asked = h("div", { class: "field" }, h("label", { for: "question" }, "Question"), question);
  return {
    element: h("div", {}, story.element, asked),
    read: () => (lines(story.field.value).length && question.value.trim()
      ? { story: lines(story.field.value), question: question.value.trim() } : null),
    clear: () => { story.field.value = ""; question.value = ""; onChange(); },
  };
}

/** Numbers in their order, however they are separated; nested brackets are kept when they are given. */
export function rowInput({ shape }, onChange) {
  const { field, element } = area("row", `${size(shape)} numbers, of shape ${shape.join(" × ")}`, 5, "0.1, 2.5, …", onChange);
  const read = () => {
    const text = field.value.trim();
    if (!text) return null;
    const numbers = text.replace(/[[\]]/g, " ").split(/[\s,;]+/).filter(Boolean).map(Number);
    if (numbers.some((value) => !Number.isFinite(value))) throw new Unfinished("Something here is not a number.");
    if (numbers.length !== size(shape)) throw new Unfinished(`${numbers.length} of ${size(shape)} numbers are there.`);
    return nested(numbers, shape);
  };
  return { element, read, clear: () => { field.value = ""; onChange(); } };
}

function nested(numbers, shape) {
  if (shape.length === 1) return numbers;
  const step = numbers.length / shape[0];
  return Array.from({ length: shape[0] }, (_, index) => nested(numbers.slice(index * step, (index + 1) * step), shape.slice(1)));
}

export function columnsInput({ columns }, onChange) {
  const fields = Object.entries(columns).map(([name, kind], index) => column(name, kind, `column-${index}`, onChange));
  const read = () => {
    if (fields.every(({ control }) => control.tagName === "SELECT" || !control.value.trim())) return null;
    return Object.fromEntries(fields.map(({ name, value }) => [name, value()]));
  };
  const clear = () => { for (const { control } of fields) if (control.tagName !== "SELECT") control.value = ""; onChange(); };
  return { element: h("div", { class: "columns" }, fields.map(({ element }) => element)), read, clear };
}

function column(name, kind, id, onChange) {
  const isList = Array.isArray(kind);
  const control = isList
    ? h("select", { id, onchange: onChange }, kind.map((category) => h("option", {}, category)))
    : h("input", { id, type: "text", inputmode: "decimal", autocomplete: "off", placeholder: kind.mean ?? "number", oninput: onChange });
  const value = () => {
    if (isList) return control.value;
    const number = Number(control.value.trim() || NaN);
    if (!Number.isFinite(number)) throw new Unfinished(`“${name}” needs a number.`);
    return number;
  };
  return { name, control, value, element: h("div", { class: "field" }, h("label", { for: id }, name), control) };
}

/** When the service does not say what its model reads: the instance as JSON. */
export function jsonInput(_, onChange) {
  const { field, element } = area("instance", "Instance, as JSON", 6, "[[0, 12, 255], …], a \"text\" or {\"column\": 1}", onChange);
  const read = () => {
    if (!field.value.trim()) return null;
    try {
      return JSON.parse(field.value);
    } catch {
      throw new Unfinished("This is not JSON yet.");
    }
  };
  return { element, read, clear: () => { field.value = ""; onChange(); } };
}
