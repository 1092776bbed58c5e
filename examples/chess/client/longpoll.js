/**
 * Events of a server of tower-longpoll, as an async iterator. No dependencies, no build step.
 *
 *     import { poll } from "./longpoll.js";
 *     for await (const event of poll("/events", { channels: ["news"], cursor, signal })) {
 *       if (event.gap) await readTheStateAnew(); // events were missed for good
 *       else show(event.channel, event.data);
 *       cursor = event.cursor;                   // whoever goes on from here misses nothing
 *     }
 *
 * - Each event is yielded once, in the order of publishing. Without a cursor they begin now; "oldest"
 *   begins with all that is held. A gap is told before the events that are left.
 * - It ends when its signal is aborted or its loop is left. It throws an error with a `status` when
 *   repeating does not help (400, 403, 404, 410: the channel was deleted), and passes over anything
 *   else: a lost network, 5xx, 429 (no sooner than `retry-after`), an answer that never comes.
 * - All tabs of a browser share one poll for each URL, where BroadcastChannel and Web Locks exist and
 *   no `headers` are given. One tab, the leader, polls for the channels of all and hands its answers
 *   round. Cursors cannot be compared, so a tab joins as follows, also after it slept, after the
 *   leader went, or if a message is missing. It asks the leader, who polls at once from where it is,
 *   until nothing is left, for the new channels too; what comes after that answer is new to the tab.
 *   Then the tab catches up by itself and drops from what the leader sent meanwhile what it had.
 * - A 410 of the shared poll does not say of which channel: only tabs that want all of them throw.
 *
 * @typedef {{ channel: string, id: string, type?: string, data: any, cursor: string, gap?: false }} Event
 *   `data` is the JSON value or the text that was published, or a Uint8Array if it was neither.
 * @typedef {{ gap: true, cursor: string }} Gap
 * @typedef {"connecting" | "connected" | "reconnecting" | "offline"} State
 * @typedef {object} Options
 * @property {string[]} [channels] what to listen to; may be left out if the URL says it
 * @property {string} [cursor] where to go on
 * @property {AbortSignal} [signal] ends it
 * @property {number} [wait] seconds that the server may hold a poll, 25 by default
 * @property {Record<string, string>} [headers] sent with each poll
 * @property {(state: State) => void} [onstate] told of each change of the connection's state
 * @property {boolean} [share] whether tabs share a poll; by default they do without `headers`
 * @typedef {{ cursor: string, gap?: boolean, events: any[] }} Answer
 * @typedef {(channels: string[], cursor: string | undefined, wait: number, signal: AbortSignal) => Promise<Answer>} Ask
 */

const MARGIN = 10; // seconds that an answer may be late
const MOST_PAUSE = 30; // seconds between two attempts
const APART = 60; // seconds that tabs poll by themselves after the shared poll was refused
const MOST_CHANNELS = 64; // of one poll, by the server's default
const MOST_QUEUED = 1_000; // messages that a tab has not come to yet

/**
 * @param {string | URL} url
 * @param {Options} [options]
 * @returns {AsyncGenerator<Event | Gap, void, void>}
 */
export async function* poll(url, options = {}) {
  const { channels = [], wait = 25, headers, share = !headers } = options;
  const [target, stop] = [new URL(url, globalThis.location?.href), new AbortController()];
  const signal = options.signal ? AbortSignal.any([stop.signal, options.signal]) : stop.signal;
  /** @type {State} */ let state;
  const tell = (next) => next !== state && options.onstate?.((state = next));
  const asker = (tell) => /** @type {Ask} */ (ask.bind(undefined, { target, headers, tell, hasty: 0 }));
  const me = { channels, cursor: options.cursor, wait, signal, tell, asker, ask: asker(tell) };
  globalThis.addEventListener?.("offline", () => tell("offline"), { signal });
  tell("connecting");
  try {
    const shares = share && channels.length > 0 && channels.length <= MOST_CHANNELS;
    const source = shares && globalThis.BroadcastChannel && globalThis.navigator?.locks
      ? together(me, `longpoll 1 ${target}`) : alone(me);
    for await (const event of source) {
      if (signal.aborted) return;
      yield event;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stop.abort();
  }
}

/** Polls for this caller only: for ever, or until `done` says of an answer that it is enough. */
async function* alone(me, wait = me.wait, done = (answer) => false) {
  // The first answer is not waited for: it shows whether there is a connection.
  for (let answer, hold = 0; !answer || !done(answer); hold = wait) {
    answer = await me.ask(me.channels, me.cursor, hold, me.signal);
    yield* take(me, answer.gap, answer.events, answer.cursor);
  }
}

/** Yields the events of an answer. The caller's cursor is `after` when all are taken. */
function* take(me, gap, events, after) {
  if (gap) yield { gap: true, cursor: events.length ? me.cursor ?? after : after };
  for (const { encoding, data, ...event } of events) {
    me.cursor = event.id;
    const bytes = encoding === "base64" && Uint8Array.from(atob(data), (byte) => byte.charCodeAt(0));
    yield { ...event, data: bytes || data, cursor: event.id };
  }
  me.cursor = after;
}

const isEmpty = ({ gap, events }) => !gap && !events.length;

/** Yields what the leader hands round; becomes the leader when there is none. */
async function* together(me, name) {
  const { signal, channels } = me;
  const [id, bus] = [crypto.randomUUID(), new BroadcastChannel(name)];
  let queue = [], bell = new AbortController(), beat = 0, apart = 0;
  const push = (message) => {
    if (queue.push(message) > MOST_QUEUED) queue = [{ kind: "wake" }];
    bell.abort();
  };
  const join = () => bus.postMessage({ kind: "join", id, channels, beat: ++beat });
  const elect = (request) => {
    const lost = new AbortController();
    const stop = AbortSignal.any([signal, lost.signal]);
    navigator.locks.request(name, request, () => lead(me, name, stop)).catch((error) => {
      lost.abort(); // a frozen leader may come back
      if (!signal.aborted && error.name === "AbortError") elect({ signal });
    });
  };
  /** The next message of use; undefined when it is time to join anew. */
  const receive = async (seconds) => {
    bell = new AbortController();
    if (!queue.length) await sleep(seconds, AbortSignal.any([signal, bell.signal]));
    signal.throwIfAborted();
    const message = queue.shift();
    if (!message) return elect({ steal: true }); // the leader is silent: it may be frozen
    if (message.error?.status === 410 && message.channels.every((name) => channels.includes(name)))
      throw Object.assign(new Error(message.error.detail), message.error);
    if (message.kind === "apart") apart = Date.now() + APART * 1_000;
    if (message.state) me.tell(message.state);
    return message.kind ? undefined : message;
  };

  // Held as long as this caller listens, so that the leader notices when it goes, however it goes.
  await new Promise((held, failed) => {
    const until = () => new Promise((release) => (held(), signal.addEventListener("abort", release)));
    navigator.locks.request(`${name} ${id}`, until).catch(failed);
  });
  signal.addEventListener("abort", () => bus.close());
  bus.onmessage = ({ data }) => data.leader && (data.to ?? id) === id && push(data);
  onWake(() => push({ kind: "wake" }), signal);
  elect({ signal });
  const silence = Math.max(me.wait, MOST_PAUSE) + MARGIN + 5;
  rounds: for (;;) {
    // By oneself first: this is quick, and an error is this caller's own.
    yield* alone(me, 0, isEmpty);
    if (Date.now() < apart) yield* alone(me, me.wait, () => Date.now() >= apart);
    queue = [];
    join();
    let joined, isSettled = false;
    for (let patience = 4 + 2 * Math.random(); !joined; patience = silence) {
      const message = await receive(patience);
      if (!message) continue rounds;
      if (message.beats?.[id] === beat && isEmpty(message)) joined = message;
    }
    const seen = new Set();
    for await (const event of alone(me, 0, isEmpty)) {
      seen.add(event.id);
      yield event;
    }
    join();
    for (let { leader, number } = joined; ; ) {
      const message = await receive(silence);
      if (message?.leader !== leader) continue rounds;
      if (!message.events) continue;
      if (message.number !== ++number) continue rounds;
      // An empty answer to a poll sent after the catching up is not behind this caller.
      if (message.beats[id] === beat && isEmpty(message)) isSettled = true;
      const events = message.events.filter((event) => channels.includes(event.channel) && !seen.has(event.id));
      yield* take(me, message.gap, events, isSettled ? message.cursor : events.at(-1)?.id ?? me.cursor);
      if (isSettled) seen.clear();
    }
  }
}

/** Polls for all callers, as long as this one holds the lock. */
async function lead(me, name, stop) {
  const [leader, bus, members] = [crypto.randomUUID(), new BroadcastChannel(name), new Map()];
  const post = (message) => bus.postMessage({ leader, ...message });
  const ask = me.asker((state) => state !== "connected" && post({ state }));
  const union = (all) => [...new Set(all.flatMap(({ channels }) => channels))];
  let round = new AbortController(), hurry = false, number = 0, cursor;
  bus.onmessage = ({ data }) => {
    if (data.kind !== "join") return;
    const { id } = data;
    if (union([...members.values(), data]).length > MOST_CHANNELS) return post({ kind: "apart", to: id });
    const gone = () => void members.delete(id);
    if (!members.has(id)) navigator.locks.request(`${name} ${id}`, { signal: stop }, gone).catch(() => {});
    members.set(id, data);
    post({}); // a sign of life
    round.abort();
  };
  post({ kind: "hello" });
  while (!stop.aborted) {
    round = new AbortController();
    const [all, signal] = [[...members.values()], AbortSignal.any([stop, round.signal])];
    const [channels, beats] = [union(all), Object.fromEntries(all.map(({ id, beat }) => [id, beat]))];
    try {
      if (!all.length) await sleep(Infinity, signal);
      const answer = all.length && (await ask(channels, cursor, hurry ? 0 : me.wait, signal));
      if (answer) {
        post({ ...answer, state: "connected", number: ++number, beats });
        hurry &&= !isEmpty(answer);
        cursor = answer.cursor;
      }
    } catch (error) {
      // Refused, maybe for one caller's channel. Each asks by itself, and one finds that it is its own.
      if (!signal.aborted) {
        post({ kind: "apart", channels, error: { status: error.status, detail: error.message } });
        members.clear();
        cursor = undefined;
      }
    }
    hurry ||= round.signal.aborted;
  }
  post({ kind: "bye" });
  bus.close();
}

/** One answer, however often it has to be asked for. Throws only what repeating does not help. */
async function ask(connection, channels, cursor, wait, signal) {
  const { tell } = connection;
  for (let failures = 0, hold = wait; ; hold = 0) {
    const [attempt, begun] = [new AbortController(), Date.now()];
    const end = AbortSignal.any([signal, attempt.signal]);
    onWake(() => attempt.abort(), end);
    try {
      const answer = await once(connection, channels, cursor, hold, end);
      tell("connected");
      // A server that holds nothing is not asked without pause.
      const isHasty = hold > 0 && isEmpty(answer) && Date.now() - begun < 500;
      connection.hasty = isHasty ? connection.hasty + 1 : 0;
      if (connection.hasty > 3) await sleep(backoff(connection.hasty - 3), signal);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      if (error.isFinal) throw error;
      if (attempt.signal.aborted) continue; // awake: maybe the connection is not, so ask anew
      tell(globalThis.navigator?.onLine === false ? "offline" : "reconnecting");
      if (error.retryAfter) await sleep(error.retryAfter, signal);
      else await sleep(backoff(++failures), end);
      signal.throwIfAborted();
    } finally {
      attempt.abort();
    }
  }
}

/** One request and its answer. */
async function once({ target, headers }, channels, cursor, wait, signal) {
  const late = new AbortController(), url = new URL(target);
  for (const channel of channels) url.searchParams.append("channel", channel);
  if (cursor) url.searchParams.set("cursor", cursor);
  url.searchParams.set("wait", String(wait));
  // By two clocks: one stands still while the computer sleeps, the other may be set.
  let ticks = wait + MARGIN;
  const end = Date.now() + ticks * 1_000;
  const timer = setInterval(() => (--ticks < 0 || Date.now() > end) && late.abort(), 1_000);
  try {
    const either = AbortSignal.any([signal, late.signal]);
    const response = await fetch(url, { headers, cache: "no-store", signal: either });
    if (response.ok) {
      const answer = await response.json();
      if (answer && typeof answer.cursor === "string" && Array.isArray(answer.events)) return answer;
      throw new TypeError(`${url} did not answer as a long poll`);
    }
    const { status } = response;
    const problem = await response.json().catch(() => undefined);
    const isFinal = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
    const after = response.headers.get("retry-after");
    const seconds = after && (Number(after) || (Date.parse(after) - Date.now()) / 1_000);
    const retryAfter = seconds > 0 ? Math.min(seconds, MOST_PAUSE) : undefined;
    throw Object.assign(new Error(problem?.detail ?? `${url} answered ${status}`), { status, isFinal, retryAfter });
  } finally {
    clearInterval(timer);
  }
}

/** Seconds of pause: at random, so that many clients do not come back at once. */
const backoff = (failures) => Math.random() * Math.min(MOST_PAUSE, 2 ** failures / 4);

/** Until the time is over or the signal aborted. */
const sleep = (seconds, signal) => new Promise((resolve) => {
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    resolve(undefined);
  };
  const timer = seconds < Infinity ? setTimeout(end, seconds * 1_000) : undefined;
  signal.addEventListener("abort", end);
  if (signal.aborted) end();
});

/** Calls back when the tab or the network may have slept, until the signal is aborted. */
function onWake(callback, signal) {
  const wake = ({ type, persisted }) => {
    if (type === "pageshow" ? persisted : type !== "visibilitychange" || !document.hidden) callback();
  };
  for (const type of ["online", "pageshow"]) globalThis.addEventListener?.(type, wake, { signal });
  for (const type of ["visibilitychange", "resume"]) globalThis.document?.addEventListener(type, wake, { signal });
}
