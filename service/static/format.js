// How numbers and times are written; a value that is not known is a dash.
export const DASH = "–";
const isKnown = (value) => value !== null && value !== undefined && Number.isFinite(value);

export const count = (value) => (isKnown(value) ? value.toLocaleString("en") : DASH);
export const percent = (share, digits = 1) => (isKnown(share) ? `${(100 * share).toFixed(digits)} %` : DASH);
/** Without the sign of percent: for cells of a table that says so once. */
export const cell = (share) => (isKnown(share) ? (100 * share).toFixed(share === 1 || share === 0 ? 0 : 1) : DASH);

/** A difference of two shares, in points and with its sign. */
export function points(difference) {
  if (!isKnown(difference)) return DASH;
  const value = (100 * difference).toFixed(1);
  if (Number(value) === 0) return "0.0";
  return value.startsWith("-") ? `−${value.slice(1)}` : `+${value}`;
}

export function duration(seconds) {
  if (!isKnown(seconds)) return DASH;
  if (seconds < 1) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.round(seconds / 60)} min`;
}

export const clock = (seconds) =>
  new Date(1000 * seconds).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const moment = (iso) =>
  new Date(iso).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

export const plural = (number, word, many = `${word}s`) => `${count(number)} ${number === 1 ? word : many}`;
/** “a, b and c”. */
export const list = (words) => new Intl.ListFormat("en").format(words);
/** The mean of what is known, or null. */
export function mean(values) {
  const known = values.filter(isKnown);
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
