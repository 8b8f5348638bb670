// Which way of asking fits a model: by the kind and shape of its input.
import { Pad } from "./draw.js";
import { h } from "./dom.js";
import { columnsInput, jsonInput, rowInput, storyInput, textInput } from "./fields.js";
import { drawable } from "./pixels.js";

const TYPED = { text: textInput, story: storyInput, tabular: columnsInput };
const VERBS = { text: "Write a text", story: "Tell a story, ask a question", tabular: "Fill in a row" };

/** `{title, element, read(), clear(), pixels?()}` for a specification, which may be null. */
export function inputFor(specification, onChange) {
  const input = specification?.input;
  if (!input) return { title: "Give an instance", ...jsonInput(null, onChange) };
  if (TYPED[input.kind]) return { title: VERBS[input.kind], ...TYPED[input.kind](input, onChange) };
  if (drawable(input)) return input.kind === "tensor" ? drawnOrTyped(input, onChange) : drawn(input, onChange);
  if (input.kind === "tensor") return { title: "Type a row", ...rowInput(input, onChange) };
  return { title: "Give an instance", ...jsonInput(input, onChange) };
}

function drawn(input, onChange) {
  const pad = new Pad(input, onChange);
  const isDigit = Math.max(pad.size.height, pad.size.width) <= 32 && pad.size.channels === 1;
  return {
    title: isDigit ? "Draw a digit" : "Draw or choose a picture",
    element: pad.element, read: () => pad.read(), clear: () => pad.clear(), pixels: () => pad.pixels(), show: (file) => pad.show(file),
  };
}

/** A tensor that may be an image: drawn, unless the person would rather type its numbers. */
function drawnOrTyped(input, onChange) {
  const [pad, row] = [drawn(input, onChange), rowInput(input, onChange)];
  row.element.hidden = true;
  const typing = h("input", { type: "checkbox", onchange: () => {
    pad.element.hidden = typing.checked;
    row.element.hidden = !typing.checked;
    onChange();
  } });
  const now = () => (typing.checked ? row : pad);
  return {
    title: pad.title,
    element: h("div", {}, pad.element, row.element, h("label", { class: "hint check" }, typing, " type the numbers instead")),
    read: () => now().read(), clear: () => now().clear(), pixels: () => (typing.checked ? null : pad.pixels()),
  };
}
