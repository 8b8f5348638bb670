// Every request of the page: the token goes with it, and what is refused becomes a `Problem` in words.
import { authorization, token, wantToken } from "./token.js";

const MOST_TRIES = 4;
const TITLES = {
  offline: "The service cannot be reached",
  unauthenticated: "A token is needed",
  forbidden: "This token may not do that",
  overloaded: "The service is busy",
  starting: "The service is starting",
  untrained: "Nothing has been learned yet",
  trainer_unavailable: "The trainer does not answer",
  trainer_busy: "The trainer is busy",
  log_unavailable: "Feedback cannot be stored right now",
};

/** A refusal: `code` for programs, `title` and `message` for people. */
export class Problem extends Error {
  constructor(status, code, detail, retryAfter = null) {
    super(detail);
    Object.assign(this, { status, code, retryAfter, title: TITLES[code] || "That did not work" });
  }

  /** Whether the same request may go well later. */
  get isPassing() {
    return this.code === "offline" || [429, 500, 503].includes(this.status);
  }
}

const wait = (seconds) => new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });

export async function send(path, { method = "GET", body, headers = {}, signal } = {}) {
  const content = body === undefined ? {} : { "content-type": "application/json" };
  const request = { method, signal, cache: "no-store", headers: { ...content, ...headers, ...authorization() } };
  if (body !== undefined) request.body = JSON.stringify(body);
  const used = token();
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "offline", "Check the network, or whether the service still runs.");
  }
  if (answer.status === 401) return secondTry(answer, used, path, { method, body, headers, signal });
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

async function secondTry(answer, used, path, options) {
  if (used === token() && !(await wantToken(Boolean(used)))) throw await problemOf(answer);
  return send(path, options);
}

async function problemOf(answer) {
  const document = await answer.json().catch(() => ({}));
  const reasons = (document.rejected || []).map(({ detail }) => detail);
  const detail = [document.detail || `The service answered ${answer.status}.`, ...reasons].join("; ");
  return new Problem(answer.status, document.error || "unknown", detail, Number(answer.headers.get("retry-after")) || null);
}

/** The JSON that a request is answered with. */
export const json = async (path, options) => (await send(path, options)).json();

/** The same, asked again after 429 and 503 as the service wishes; `onWait` hears for how many seconds. */
export async function patient(path, options, onWait = () => {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await json(path, options);
    } catch (problem) {
      if (![429, 503].includes(problem.status) || attempt === MOST_TRIES) throw problem;
      const seconds = (problem.retryAfter || 1) * attempt;
      onWait(problem, seconds);
      await wait(seconds);
    }
  }
}

/** The command that asks the same; a token stays a variable of the shell. */
export function curl(path, body, method = "GET") {
  const how = method !== "GET" && body === undefined ? `-X ${method} ` : "";
  const parts = [`curl ${how}${new URL(path, document.baseURI)}`];
  if (token()) parts.push("-H \"authorization: Bearer $LIFELONG_TOKEN\"");
  if (body !== undefined) {
    parts.push("-H 'content-type: application/json'", `-d '${JSON.stringify(body).replaceAll("'", "'\\''")}'`);
  }
  return parts.join(" \\\n  ");
}
