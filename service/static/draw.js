// The pad: strokes by pointer, or by keyboard as with a plotter; example digits; a picture from a file or the clipboard.
import { announce, h } from "./dom.js";
import { handwritten } from "./digits.js";
import { drawable, fromPicture, fromStrokes, paint, toInstance, trace } from "./pixels.js";

const SIDE = 560;
const PEN = 0.075;
const HINT = "Draw with the mouse or a finger. By keyboard: arrows move the pen, space lowers and lifts it, backspace takes a stroke back.";
const MOVES = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** A drawing or a picture of the model's shape; calls `onChange` when it is worth asking about. */
export class Pad {
  constructor(input, onChange) {
    Object.assign(this, { input, onChange, size: drawable(input), strokes: [], planes: null, top: 1 });
    Object.assign(this, { pen: { x: 0.5, y: 0.5, isDown: false }, stroke: null });
    this.canvas = this.board();
    this.prompt = h("p", { class: "ghost", "aria-hidden": "true" }, "draw here");
    this.file = h("input", {
      type: "file", accept: "image/*", class: "spoken", id: "picture", tabindex: "-1", "aria-label": "Picture file",
    });
    this.file.addEventListener("change", () => { if (this.file.files[0]) this.show(this.file.files[0]); });
    this.hint = h("p", { class: "hint", id: "pad-hint" }, HINT);
    const board = h("div", { class: "board" }, this.canvas, this.prompt);
    this.element = h("div", { class: "pad" }, board, this.tools(), this.examples(), this.range(), this.hint);
    this.paintSoon();
  }

  board() {
    const { width, height } = this.size;
    const scale = SIDE / Math.max(width, height);
    return h("canvas", {
      width: Math.round(width * scale), height: Math.round(height * scale), tabindex: "0", id: "canvas",
      role: "application", "aria-label": "Drawing pad", "aria-describedby": "pad-hint",
      onpointerdown: (event) => this.start(event), onpointermove: (event) => this.move(event),
      onpointerup: () => this.end(), onpointercancel: () => this.end(), onkeydown: (event) => this.key(event),
      onfocus: () => this.paintSoon(), onblur: () => this.paintSoon(),
    });
  }

  tools() {
    const tool = (text, onclick) => h("button", { type: "button", class: "quiet", onclick }, text);
    return h("div", { class: "tools" }, tool("Undo", () => this.undo()), tool("Clear", () => this.clear()),
      tool("Picture…", () => this.file.click()), this.file);
  }

  examples() {
    const take = (digit) => ({ "aria-label": `Example ${digit}`, onclick: () => this.example(digit) });
    const example = (digit) => h("button", { type: "button", class: "digit", ...take(digit) }, digit);
    return h("div", { class: "examples", role: "group", "aria-label": "Example digits" },
      h("span", { class: "hint" }, "or take an example"), h("span", { class: "digits" }, Array.from("0123456789", example)));
  }

  range() {
    if (this.input.kind === "image") return null;
    const choice = h("select", { onchange: () => { this.top = Number(choice.value); this.changed(); } },
      h("option", { value: "1" }, "0 to 1"), h("option", { value: "255" }, "0 to 255"));
    return h("label", { class: "hint" }, "Ink as numbers from ", choice);
  }

  /** The instance to send, or null while there is nothing. */
  read() {
    const planes = this.pixels();
    return planes && toInstance(planes, this.input, this.top);
  }

  /** What the model sees: planes of 0…255, or null. */
  pixels() {
    if (this.planes) return this.planes;
    return this.strokes.length ? fromStrokes(this.strokes, this.size) : null;
  }

  clear() {
    Object.assign(this, { strokes: [], planes: null, stroke: null });
    this.pen.isDown = false;
    this.changed();
  }

  undo() {
    this.planes = null;
    this.strokes.pop();
    this.stroke = null;
    this.pen.isDown = false;
    this.changed();
  }

  example(digit) {
    this.planes = null;
    this.strokes = handwritten(digit);
    this.changed();
  }

  async show(file) {
    try {
      this.planes = await fromPicture(file, this.size);
      this.strokes = [];
      this.changed();
    } catch {
      announce("This file is not a picture that the browser can read.");
      this.hint.textContent = "This file is not a picture that the browser can read.";
    }
    this.file.value = "";
  }

  changed() {
    this.paintSoon();
    this.onChange();
  }

  place(event) {
    const { left, top, width } = this.canvas.getBoundingClientRect();
    const unit = (width * SIDE) / this.canvas.width;
    return { x: (event.clientX - left) / unit, y: (event.clientY - top) / unit };
  }

  start(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.planes = null;
    this.pen.isDown = false;
    this.stroke = [this.place(event)];
    this.strokes.push(this.stroke);
    this.paintSoon();
  }

  move(event) {
    if (!this.stroke || !this.canvas.hasPointerCapture(event.pointerId)) return;
    for (const each of event.getCoalescedEvents?.() || [event]) this.stroke.push(this.place(each));
    this.paintSoon();
  }

  end() {
    if (!this.stroke) return;
    this.stroke = null;
    this.onChange();
  }

  key(event) {
    const move = MOVES[event.key];
    if (move) this.step(...move);
    else if (event.key === " ") this.lower();
    else if (event.key === "Backspace") this.undo();
    else return;
    event.preventDefault();
  }

  step(right, down) {
    const cell = 1 / Math.min(14, Math.max(this.size.height, this.size.width));
    const limit = (value) => Math.min(1 - cell / 2, Math.max(cell / 2, value));
    Object.assign(this.pen, { x: limit(this.pen.x + right * cell), y: limit(this.pen.y + down * cell) });
    if (this.pen.isDown && this.stroke) {
      this.stroke.push({ x: this.pen.x, y: this.pen.y });
      this.onChange();
    }
    this.paintSoon();
  }

  lower() {
    this.pen.isDown = !this.pen.isDown;
    this.planes = null;
    this.stroke = this.pen.isDown ? [{ x: this.pen.x, y: this.pen.y }] : null;
    if (this.stroke) this.strokes.push(this.stroke);
    announce(this.pen.isDown ? "Pen down" : "Pen up");
    this.changed();
  }

  paintSoon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => { this.frame = null; this.paint(); });
  }

  paint() {
    const context = this.canvas.getContext("2d");
    const style = getComputedStyle(this.canvas);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.prompt.hidden = this.strokes.length > 0 || Boolean(this.planes);
    if (this.planes) this.paintPicture(context);
    context.strokeStyle = style.color;
    trace(context, this.strokes, PEN * SIDE, ({ x, y }) => ({ x: x * SIDE, y: y * SIDE }));
    if (document.activeElement === this.canvas && this.canvas.matches(":focus-visible")) this.paintPen(context, style);
  }

  paintPicture(context) {
    const small = document.createElement("canvas");
    paint(small, this.planes);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
  }

  paintPen(context, style) {
    context.strokeStyle = style.getPropertyValue("--accent");
    context.lineWidth = 4;
    context.beginPath();
    context.arc(this.pen.x * SIDE, this.pen.y * SIDE, this.pen.isDown ? 12 : 22, 0, 2 * Math.PI);
    context.stroke();
  }
}
