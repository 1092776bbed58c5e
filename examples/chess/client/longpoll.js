/**
 * Events of a server of tower-longpoll in a browser, as an async iterator. No dependencies, no
 * build step: this file, and `shared.js` beside it. The server answers with `Reply::Json`, and takes
 * channels from the query (`PathRoute::new("/events")`), unless the URL says the channel.
 *
 *     import { poll } from "./longpoll.js";
 *     for await (const event of poll("/events", { channels: ["news"], cursor, signal })) {
 *       if (event.gap) await readTheStateAnew(); // events were missed for good
 *       else show(event.channel, event.data);
 *       cursor = event.cursor; // whoever goes on from here misses nothing and hears nothing twice
 *     }
 *
 * - Each event comes once, in the order of publishing. Without a cursor they begin now; with
 *   "oldest", with all that is held. A gap is told before the events that are left after it.
 * - It ends when the signal is aborted or the loop is left. It throws an error with a `status` for
 *   what repeating does not help (400, 403, 404, 410: the channel was deleted).
 * - All else it passes over: a lost network, 5xx, 429, what is no answer of a long poll, an answer
 *   that never comes. It asks again after a pause that grows and is random, no sooner than
 *   `retry-after` says, and at once when the network is back or the tab is looked at again.
 * - All tabs of a browser share one poll of a URL, where there are BroadcastChannel and Web Locks.
 *   `shared.js` tells how. The tabs must be the same to the server: with `headers` none is shared.
 *   Nor is one whose answers have other names than were asked for, but for the `prefix`.
 *
 * @typedef {object} Event
 * @property {string} channel
 * @property {string} id
 * @property {string} [type] its content type
 * @property {any} data the JSON value or text that was published; a Uint8Array if it was neither
 * @property {string} cursor
 * @property {false} [gap]
 * @typedef {{ gap: true, cursor: string }} Gap
 * @typedef {object} Options
 * @property {string[]} [channels] may be left out if the URL says it
 * @property {string} [prefix] what the server puts before each of them (`PathRoute::prefix`); events
 *   have it in their `channel`
 * @property {string} [cursor] where to go on
 * @property {AbortSignal} [signal]
 * @property {number} [wait] seconds that the server may hold a poll, rounded; 25 by default
 * @property {Record<string, string>} [headers] sent with each poll
 * @property {(state: "connecting" | "connected" | "reconnecting" | "offline") => void} [onstate]
 * @property {boolean} [share] whether tabs share a poll; by default they do, without `headers`
 */

import { MOST_CHANNELS, together } from "./shared.js";

const MARGIN = 10; // seconds that an answer may be late, or stand still
const MOST_PAUSE = 30; // seconds
const MOST_REST = 300; // seconds, if the server asks for them

/**
 * @param {string | URL} url
 * @param {Options} [options]
 * @returns {AsyncGenerator<Event | Gap, void, void>}
 */
export async function* poll(url, options = {}) {
  const { channels = [], prefix = "", cursor, headers, share = !headers, onstate } = options;
  const wait = Math.max(1, Math.round(options.wait ?? 25));
  const [stop, target] = [new AbortController(), new URL(url, globalThis.location?.href)];
  const signal = options.signal ? AbortSignal.any([stop.signal, options.signal]) : stop.signal;
  /** @type {string} */ let state;
  const tell = (next) => next !== state && onstate?.((state = next));
  const pace = { hasty: 0, last: 0 };
  const me = { target, headers, channels, prefix, cursor, wait, signal, tell, pace };
  const canShare = share && channels.length > 0 && channels.length <= MOST_CHANNELS
    && globalThis.BroadcastChannel && globalThis.navigator?.locks;
  globalThis.addEventListener?.("offline", () => tell("offline"), { signal });
  tell("connecting");
  try {
    const tools = { alone, ask, isEmpty, onWake, sleep, take, MARGIN, MOST_PAUSE, MOST_REST };
    for await (const event of canShare ? together(me, tools) : alone(me)) {
      if (signal.aborted) return;
      yield event;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stop.abort();
  }
}

/** Polls for this caller only: for ever, or until an answer is enough. */
async function* alone(me, wait = me.wait, isEnough = (answer) => false) {
  // The first answer is not waited for: it shows whether there is a connection.
  for (let answer, hold = 0; !answer || !isEnough(answer); hold = wait) {
    answer = await ask({ ...me, wait: hold });
    // From the gap's cursor events are left that were not yielded yet.
    const before = answer.events.length ? me.cursor : undefined;
    if (answer.gap) yield { gap: true, cursor: before ?? answer.cursor };
    yield* take(me, answer.events);
    me.cursor = answer.cursor;
  }
}

/** Yields events; the caller's cursor goes with them. */
function* take(me, events) {
  for (const event of events) {
    me.cursor = event.id;
    yield { ...event, cursor: event.id };
  }
}

const isEmpty = ({ gap, events }) => !gap && !events.length;

/**
 * One answer, however often it must be asked for. Throws only what repeating does not help.
 * @param {any} request
 */
async function ask({ wait, signal, tell, pace, isHopeless, ...request }) {
  for (let failures = 0, hold = wait; ; hold = 0) {
    const [attempt, begun] = [new AbortController(), Date.now()];
    const end = AbortSignal.any([signal, attempt.signal]);
    onWake(() => attempt.abort(), end);
    try {
      const answer = await once(request, hold, end);
      tell("connected");
      await keepPace(pace, answer, hold, Date.now() - begun, end);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      if (error.isFinal || isHopeless?.(error)) throw error;
      if (attempt.signal.aborted) continue; // the connection may have slept with the tab
      const isOffline = globalThis.navigator?.onLine === false;
      tell(isOffline ? "offline" : "reconnecting", error.retryAfter);
      if (error.retryAfter) await sleep(error.retryAfter, signal);
      else await sleep(backoff(++failures), end);
      signal.throwIfAborted();
    } finally {
      attempt.abort();
    }
  }
}

/** Pauses where a server answers at once, again and again, and holds nothing or knows no cursor. */
async function keepPace(pace, { gap, events }, hold, milliseconds, signal) {
  const isHeld = milliseconds >= 500, isNews = !gap && events.length > 0;
  if (isHeld || isNews || Date.now() - pace.last > 5_000) pace.hasty = 0;
  // What was not to be held may be empty: a tab has caught up.
  if (isHeld || isNews || (!gap && hold === 0)) return;
  const over = ++pace.hasty - 3;
  // Who cannot keep up with events hears of gaps, too, and must not fall back further.
  if (over > 0) await sleep(backoff(events.length ? Math.min(over, 2) : over), signal);
  pace.last = Date.now();
}

/** One request, and its answer or an error. */
async function once({ target, headers, channels, cursor, onprogress }, wait, signal) {
  const [url, clock] = [new URL(target), deadline(wait + MARGIN)];
  for (const channel of channels) url.searchParams.append("channel", channel);
  if (cursor) url.searchParams.set("cursor", cursor);
  url.searchParams.set("wait", String(wait));
  try {
    const either = AbortSignal.any([signal, clock.signal]);
    const response = await fetch(url, { headers, cache: "no-store", signal: either });
    let parts = 0;
    const text = await textOf(response, () => {
      clock.extend(MARGIN);
      if (parts++) onprogress?.(); // what comes in one part is not slow
    });
    const body = parsed(text);
    if (response.ok && isAnswer(body, cursor)) return { ...body, events: body.events.map(decoded) };
    const { status } = response;
    const isFinal = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
    const after = response.headers.get("retry-after") ?? "";
    const seconds = Number(after) || (Date.parse(after) - Date.now()) / 1_000;
    const retryAfter = seconds > 0 ? Math.min(seconds, MOST_REST) : undefined;
    const message = body?.detail ?? `${url} is answered with ${status}, not as a long poll`;
    const channel = unescaped(response.headers.get("longpoll-channel") ?? "");
    throw Object.assign(new Error(message), { status, channel, isFinal, retryAfter });
  } finally {
    clock.stop();
  }
}

/** A signal that is aborted after so many seconds, unless they are extended. */
function deadline(seconds) {
  const late = new AbortController();
  let [ticks, end] = [0, 0];
  const extend = (seconds) => {
    ticks = Math.max(ticks, seconds);
    end = Math.max(end, Date.now() + seconds * 1_000);
  };
  extend(seconds);
  // By two clocks: one stands still while the computer sleeps, the other may be set.
  const tick = () => (--ticks < 0 || Date.now() > end) && late.abort();
  const timer = setInterval(tick, 1_000);
  return { signal: late.signal, extend, stop: () => clearInterval(timer) };
}

/** All of a body; tells when some of it came, since over a slow link that may take long. */
async function textOf({ body }, onprogress) {
  const [reader, decoder] = [body?.getReader(), new TextDecoder()];
  let text = "";
  for (let part; (part = await reader?.read()) && !part.done; ) {
    if (part.value.length) onprogress();
    text += decoder.decode(part.value, { stream: true });
  }
  return text + decoder.decode();
}

/** The value of a text, or nothing if it is no JSON. */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The text that is percent-encoded; as it is if it is not. */
function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether it answers a long poll that asked from this cursor. */
function isAnswer(body, asked) {
  const isText = (value) => typeof value === "string" && value !== "";
  const isEvent = (one) => isText(one?.channel) && isText(one.id);
  if (!isText(body?.cursor) || !Array.isArray(body.events)) return false;
  // Events lead on from where they were asked for; if not, a cache has repeated itself.
  return body.events.every(isEvent) && !(body.events.length && body.cursor === asked);
}

/** An event with its data as they were published; throws if they are not what they say. */
function decoded({ encoding, data, ...event }) {
  if (encoding !== "base64") return { ...event, data };
  return { ...event, data: Uint8Array.from(atob(data), (one) => one.charCodeAt(0)) };
}

/** Seconds of a pause, at random, so that many clients do not come back together. */
const backoff = (failures) => Math.random() * Math.min(MOST_PAUSE, 2 ** failures / 4);

/** Until the time is over or the signal aborted. */
function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = seconds < Infinity ? setTimeout(end, seconds * 1_000) : undefined;
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

/** Calls back when the tab or the network may have slept, until the signal is aborted. */
function onWake(callback, signal) {
  const wake = (/** @type {any} */ { type, persisted }) => {
    const isSleep = type === "visibilitychange" && document.hidden;
    const isStart = type === "pageshow" && !persisted;
    if (!isSleep && !isStart) callback();
  };
  for (const type of ["online", "pageshow"]) globalThis.addEventListener?.(type, wake, { signal });
  for (const type of ["visibilitychange", "resume"])
    globalThis.document?.addEventListener(type, wake, { signal });
}
