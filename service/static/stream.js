// Server-sent events over fetch, because an EventSource cannot send a token.
import { send } from "./api.js";

const LONGEST_WAIT_MS = 8000;
/** The service writes at least every ten seconds; a connection silent for longer is dead. */
const SILENT_MS = 25000;

/** Splits a stream of text into events `{id, event, data}`. */
export class Parser {
  constructor() {
    this.rest = "";
    this.retry = 1000;
  }

  take(text) {
    const blocks = (this.rest + text).split("\n\n");
    this.rest = blocks.pop();
    return blocks.map((block) => this.read(block)).filter((event) => event.data !== undefined);
  }

  read(block) {
    const event = { event: "message" };
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      const [field, value] = [line.slice(0, colon), line.slice(colon + 1).trimStart()];
      if (field === "retry") this.retry = Number(value) || this.retry;
      else if (field) event[field] = value;
    }
    return event;
  }
}

/** Follows one model's news until `stop`, across every break; tells `onState` whether what is shown is live. */
export class Follower {
  constructor(path, { onNews, onState }) {
    Object.assign(this, { path, onNews, onState, lastId: "0", isStopped: false, waited: 0 });
    this.cut = () => { this.say("offline"); this.connection?.abort(); };
    this.hurry = () => { this.waited = 0; this.wake?.(); };
    window.addEventListener("offline", this.cut);
    window.addEventListener("online", this.hurry);
    this.run();
  }

  stop() {
    this.isStopped = true;
    window.removeEventListener("offline", this.cut);
    window.removeEventListener("online", this.hurry);
    this.connection?.abort();
    this.wake?.();
  }

  say(state) {
    if (!this.isStopped) this.onState(state);
  }

  async run() {
    while (!this.isStopped) {
      await this.follow().catch((problem) => this.say(problem.status ? "refused" : "offline"));
      if (!this.isStopped) await this.pause();
    }
  }

  async follow() {
    this.connection = new AbortController();
    // From 0 on: what the service still remembers of the time before this page.
    const headers = { "last-event-id": this.lastId };
    const answer = await send(this.path, { headers, signal: this.connection.signal });
    const [reader, decoder] = [answer.body.getReader(), new TextDecoder()];
    this.parser = new Parser();
    this.waited = 0;
    this.say("live");
    for (;;) {
      const { done, value } = await this.orSilence(reader.read());
      if (done) return;
      for (const event of this.parser.take(decoder.decode(value, { stream: true }))) this.hear(event);
    }
  }

  hear({ id, event, data }) {
    if (id !== undefined) this.lastId = id;
    if (!this.isStopped) this.onNews({ ...JSON.parse(data), kind: event });
  }

  orSilence(reading) {
    const alarm = setTimeout(() => this.connection.abort(), SILENT_MS);
    return reading.finally(() => clearTimeout(alarm));
  }

  pause() {
    this.waited = Math.min(LONGEST_WAIT_MS, this.waited ? 2 * this.waited : this.parser?.retry || 1000);
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.waited);
      this.wake = () => { clearTimeout(timer); resolve(); };
    });
  }
}
