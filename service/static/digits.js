// Ten handwritten digits as strokes in a square of 100, for those who would rather not draw.
const STROKES = {
  0: ["56,9 44,9 31,16 22,36 22,64 31,84 50,92 69,84 78,64 78,36 69,16 56,9 48,8"],
  1: ["36,26 52,8 52,8 51,50 51,92"],
  2: ["24,28 32,12 50,8 70,14 75,32 62,54 40,76 22,90 22,90 50,90 80,90"],
  3: ["24,14 48,8 70,16 71,34 46,47 46,47 73,55 77,74 58,92 24,86"],
  4: ["56,8 36,38 18,62 18,62 50,62 84,62", "64,36 62,64 61,92"],
  5: ["76,9 54,9 33,9 33,9 30,28 27,46 27,46 52,39 74,50 76,72 58,90 24,88"],
  6: ["64,8 42,24 26,52 28,80 50,92 70,84 74,66 58,54 34,60 27,72"],
  7: ["20,10 50,10 80,10 80,10 62,48 46,92"],
  8: ["51,49 30,36 30,16 50,8 70,16 70,35 51,49 28,65 29,86 50,92 71,86 73,65 51,49"],
  9: ["73,30 56,48 34,43 26,26 40,10 60,9 73,24 73,30 72,58 62,92"],
};

/** The digit's strokes with points in 0…1, each time slightly another hand. */
export function handwritten(digit) {
  const wobble = (size) => (Math.random() - 0.5) * size;
  const [lean, width, height] = [wobble(0.16), 1 + wobble(0.16), 1 + wobble(0.08)];
  const point = (pair) => {
    const [x, y] = pair.split(",").map((value) => Number(value) / 100 - 0.5);
    return { x: 0.5 + 0.8 * (width * x - lean * y) + wobble(0.012), y: 0.5 + 0.8 * height * y + wobble(0.012) };
  };
  return STROKES[digit].map((stroke) => {
    const points = stroke.split(" ").map(point);
    // A point given twice is a corner: it stays one.
    return points.map((each, index) => (stroke.split(" ")[index] === stroke.split(" ")[index - 1] ? points[index - 1] : each));
  });
}
