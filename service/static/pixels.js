// Strokes and pictures as the numbers a model reads, fitted the way its data set was made.
const FINE = 8;
/** Up to this many pixels a digit fills the whole image, as in the 8×8 digits; above, a margin is left, as in MNIST. */
const SMALL = 16;
const MARGIN = 4 / 28;

/** `{channels, height, width}` of an input that can be drawn, or null; a flat square counts. */
export function drawable({ kind, shape }) {
  if (kind !== "image" && kind !== "tensor") return null;
  const side = Math.sqrt(shape[0]);
  if (shape.length === 1) return Number.isInteger(side) && side >= 6 ? sized(1, side, side) : null;
  if (shape.length === 2) return sized(1, ...shape);
  return shape.length === 3 && [1, 3].includes(shape[0]) ? sized(...shape) : null;
}

const sized = (channels, height, width) => (Math.min(height, width) >= 6 ? { channels, height, width } : null);

/** Draws strokes as one smooth line each; `place` maps their points to the canvas. */
export function trace(context, strokes, pen, place) {
  Object.assign(context, { lineWidth: pen, lineCap: "round", lineJoin: "round" });
  for (const stroke of strokes) {
    const points = stroke.map(place);
    context.beginPath();
    context.moveTo(points[0].x, points[0].y);
    for (let index = 1; index < points.length - 1; index += 1) {
      const [here, next] = [points[index], points[index + 1]];
      context.quadraticCurveTo(here.x, here.y, (here.x + next.x) / 2, (here.y + next.y) / 2);
    }
    const last = points[points.length - 1];
    context.lineTo(last.x, last.y + (points.length === 1 ? 0.01 : 0));
    context.stroke();
  }
}

function bounds(strokes) {
  const points = strokes.flat();
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
  const [left, top] = [Math.min(...xs), Math.min(...ys)];
  return { left, top, width: Math.max(...xs) - left, height: Math.max(...ys) - top };
}

/** A function from stroke points to fine pixels: fitted into the box, its middle in the middle. */
function fitting(strokes, { height, width }, pen) {
  const margin = Math.min(height, width) > SMALL ? MARGIN * Math.min(height, width) : 0;
  const box = bounds(strokes);
  const room = (side) => side - 2 * margin - pen;
  const scale = FINE * Math.min(room(width) / Math.max(box.width, 0.15), room(height) / Math.max(box.height, 0.15));
  const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
  return (point) => ({
    x: (point.x - x) * scale + (FINE * width) / 2,
    y: (point.y - y) * scale + (FINE * height) / 2,
  });
}

function sheet(width, height) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "#fff";
  return context;
}

const values = (context) => context.getImageData(0, 0, context.canvas.width, context.canvas.height).data;

/** Where the ink's centre of mass lies, from the middle, in fine pixels. */
function imbalance(context) {
  const { width, height } = context.canvas;
  const data = values(context);
  let [mass, x, y] = [0, 0, 0];
  for (let index = 0; index < width * height; index += 1) {
    const ink = data[4 * index];
    mass += ink;
    x += ink * (index % width);
    y += ink * Math.floor(index / width);
  }
  return mass ? { x: x / mass - width / 2, y: y / mass - height / 2 } : { x: 0, y: 0 };
}

/** The strokes as `channels` equal planes of rows of whole numbers 0…255, light on dark. */
export function fromStrokes(strokes, size) {
  const { channels, height, width } = size;
  const side = Math.min(height, width);
  const pen = side > SMALL ? 0.09 * side : Math.max(1.2, 0.14 * side);
  let place = fitting(strokes, size, pen);
  let context = sheet(FINE * width, FINE * height);
  trace(context, strokes, FINE * pen, place);
  if (side > SMALL) {
    const off = imbalance(context);
    const fitted = place;
    place = (point) => ({ x: fitted(point).x - off.x, y: fitted(point).y - off.y });
    context = sheet(FINE * width, FINE * height);
    trace(context, strokes, FINE * pen, place);
  }
  const plane = averaged(values(context), height, width);
  return Array.from({ length: channels }, () => plane);
}

function averaged(data, height, width) {
  const block = (row, column) => {
    let sum = 0;
    for (let y = 0; y < FINE; y += 1) {
      const start = (row * FINE + y) * FINE * width + column * FINE;
      for (let x = 0; x < FINE; x += 1) sum += data[4 * (start + x)];
    }
    return Math.round(sum / (FINE * FINE));
  };
  return Array.from({ length: height }, (_, row) => Array.from({ length: width }, (_, column) => block(row, column)));
}

/** A picture file as planes; one on a light ground is turned round when the model reads one channel. */
export async function fromPicture(file, { channels, height, width }) {
  const picture = await createImageBitmap(file);
  const context = sheet(width, height);
  const scale = Math.min(width / picture.width, height / picture.height);
  const [wide, high] = [picture.width * scale, picture.height * scale];
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high);
  const data = values(context);
  const colour = (index) => [data[4 * index], data[4 * index + 1], data[4 * index + 2]];
  const grey = (index) => Math.round(colour(index).reduce((sum, value, part) => sum + value * [0.299, 0.587, 0.114][part], 0));
  const rows = (value) => Array.from({ length: height }, (_, row) =>
    Array.from({ length: width }, (_, column) => value(row * width + column)));
  if (channels === 3) return [0, 1, 2].map((part) => rows((index) => colour(index)[part]));
  const plane = rows(grey);
  return [isLight(plane) ? inverted(plane) : plane];
}

function isLight(plane) {
  const edge = [...plane[0], ...plane[plane.length - 1], ...plane.flatMap((row) => [row[0], row[row.length - 1]])];
  return edge.reduce((sum, value) => sum + value, 0) / edge.length > 127;
}

export const inverted = (plane) => plane.map((row) => row.map((value) => 255 - value));

/** Planes as the JSON instance of the configured shape; a tensor's numbers go from 0 to `top`. */
export function toInstance(planes, { kind, shape }, top) {
  const number = (value) => (kind === "image" ? value : Number(((value / 255) * top).toFixed(4)));
  const numbers = planes.map((plane) => plane.map((row) => row.map(number)));
  if (shape.length === 1) return numbers[0].flat();
  return shape.length === 2 ? numbers[0] : numbers;
}

/** Paints planes pixel by pixel onto a canvas of their own size. */
export function paint(canvas, planes) {
  const [height, width] = [planes[0].length, planes[0][0].length];
  Object.assign(canvas, { height, width });
  const image = new ImageData(width, height);
  for (let index = 0; index < width * height; index += 1) {
    const [row, column] = [Math.floor(index / width), index % width];
    for (let part = 0; part < 3; part += 1) image.data[4 * index + part] = (planes[part] || planes[0])[row][column];
    image.data[4 * index + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
