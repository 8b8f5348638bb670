// Why: how much each pixel, word or column mattered for the answer, or spoke for it (warm) or against it (cold).
import { Problem } from "./api.js";
import { announce, at, h } from "./dom.js";

const FOR = [255, 176, 32];
const AGAINST = [64, 156, 255];
/** How much of the picture shows below the map. */
const DIMMED = 0.45;
const deepest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-12);

/** Explains each answer of `asking` while the switch is on. */
export class Explaining {
  constructor(asking) {
    this.asking = asking;
    this.methods = at("why-method");
    this.onChange = () => this.show();
    at("why").addEventListener("change", this.onChange);
    this.methods.addEventListener("change", this.onChange);
    asking.addEventListener("answered", () => this.show());
    asking.addEventListener("cleared", () => this.clear());
    this.clear();
    this.enable(true);
  }

  close() {
    at("why").removeEventListener("change", this.onChange);
    this.methods.removeEventListener("change", this.onChange);
  }

  enable(isThere) {
    at("why-box").hidden = !isThere;
  }

  clear() {
    at("attribution").replaceChildren();
    at("seen-why").hidden = true;
    this.methods.hidden = !at("why").checked;
  }

  async show() {
    this.clear();
    const { last } = this.asking;
    if (!at("why").checked || !last?.label) return;
    try {
      const answer = await this.asking.explain(this.methods.value);
      if (last === this.asking.last) this.draw(answer);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.refused(problem);
    }
  }

  refused(problem) {
    const isMissing = problem.code === "unknown_route" || problem.status === 405;
    const text = isMissing ? "This service does not explain its answers." : problem.message;
    at("attribution").replaceChildren(h("p", { class: "hint" }, text));
  }

  draw({ attribution, tokens, target, method }) {
    const { instance } = this.asking.last;
    if (tokens) at("attribution").replaceChildren(words(tokens, attribution));
    else if (instance.story) at("attribution").replaceChildren(columns(lines(instance, attribution)));
    else if (!Array.isArray(attribution)) at("attribution").replaceChildren(columns(Object.entries(attribution)));
    else if (this.asking.last.pixels) overlay(attribution, this.asking.last.pixels[0]);
    else at("attribution").replaceChildren(columns(attribution.flat(Infinity).map((value, index) => [`number ${index + 1}`, value])));
    at("attribution").append(legend(target ?? "the answer", method === "integrated_gradients"));
    announce("The explanation is shown.");
  }
}

/** Only integrated gradients have a sign; the other methods say how much a part matters, not which way. */
function legend(target, isSigned) {
  const parts = [h("span", { class: "swatch is-for" }), isSigned ? `for ${target}` : `matters for ${target}`];
  if (isSigned) parts.push(h("span", { class: "swatch is-against" }), "against it");
  return h("p", { class: "hint legend" }, parts);
}

/** One map over the picture, channels added up. */
function overlay(attribution, plane) {
  const [height, width] = [plane.length, plane[0].length];
  const [flat, grounds] = [attribution.flat(Infinity), plane.flat()];
  const values = grounds.map((_, index) => {
    let sum = 0;
    for (let place = index; place < flat.length; place += height * width) sum += flat[place];
    return sum;
  });
  const canvas = Object.assign(at("seen-overlay"), { width, height });
  at("seen-why").hidden = false;
  const most = deepest(values);
  const image = new ImageData(width, height);
  values.forEach((value, index) => {
    const weight = Math.abs(value) / most;
    const tint = value >= 0 ? FOR : AGAINST;
    const ground = DIMMED * grounds[index];
    image.data.set([...tint.map((part) => weight * part + (1 - weight) * ground), 255], 4 * index);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The words in their order; what a pair of words adds counts half for each of them. */
function words(tokens, weights) {
  const texts = tokens.filter((token) => !token.includes(" "));
  const values = texts.map((_, index) => weights[index]);
  tokens.slice(texts.length).forEach((_, index) => {
    for (const place of [index, index + 1]) values[place] += weights[texts.length + index] / 2;
  });
  const most = deepest(values);
  return h("p", { class: "words" }, texts.flatMap((text, index) => [
    h("mark", { class: values[index] >= 0 ? "is-for" : "is-against", "--weight": Math.abs(values[index]) / most }, text), " "]));
}

/** Row 0 speaks of the question, the others of the sentences from the last on. */
function lines({ story, question }, attribution) {
  const sum = (row) => row.reduce((total, value) => total + value, 0);
  return [question, ...story.toReversed()].slice(0, attribution.length).map((line, index) => [line, sum(attribution[index])]);
}

function columns(entries) {
  const most = deepest(entries.map(([, value]) => value));
  const shown = entries.sort(([, a], [, b]) => Math.abs(b) - Math.abs(a)).slice(0, 12);
  return h("ol", { class: "bars is-signed" }, shown.map(([name, value]) => h("li", { class: "bar" }, h("span", { class: "bar-name" }, name),
    h("span", { class: `bar-track ${value >= 0 ? "is-for" : "is-against"}`, "--share": Math.abs(value) / most }),
    h("span", { class: "bar-value" }, `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(2)}`))));
}
