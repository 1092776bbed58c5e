/**
 * One poll for all tabs of a browser: the part of `longpoll.js` that knows of other tabs.
 *
 * A lock elects one tab, the leader. It polls for the channels of all tabs and hands its answers
 * round, numbered; each tab takes its own channels. In a cluster any poll may be answered by a node
 * that is behind: that an answer is empty says only that nothing lies between the cursor that was
 * asked with and the one that was answered. So cursors are compared. They are opaque to clients;
 * this file alone looks into them, since it comes with the server. Where it cannot, as they have
 * another form, an empty answer must do: it comes from a server that has no nodes, or one that is
 * not behind. A tab joins as follows: at first, after it slept, when another leads, a number is
 * missing, or there is a gap.
 *
 * 1. It catches up by itself, until an answer is empty. An error is its own, and no other tab's.
 * 2. It tells the leader its channels, and a beat. The leader polls for them too, at once, from
 *    where it is, until an answer is empty. If the cursor of that reaches the tab's, the leader has
 *    passed the tab's position, and all that it hands round later is news. What it handed round
 *    before, the tab leaves alone. If it is behind, the tab begins anew.
 * 3. The tab keeps what is handed round from now on, and catches up by itself again, until an answer
 *    is empty and it reaches the leader's cursor, since it left alone what came before that. It
 *    drops from what it kept the events that it has by then, and lives on what is handed round.
 * 4. It beats again. With the next empty answer whose cursor reaches the tab's, the leader has
 *    passed the second catching up: nothing that it hands round later is known, and its cursors
 *    are not behind the tab's.
 *
 * Nothing is lost whoever fails when: a tab that has a doubt joins anew from its own cursor. A
 * leader that is closed gives its lock back. One that is frozen keeps it, but falls silent: then it
 * is stolen. If the shared poll is refused, or fails again and again, all poll by themselves for a
 * while, and whoever has the bad channel finds that out alone. Only a 410 is told once and to one
 * poll: it ends the tabs of the channel that it names. If the server wants a rest, the leader tells
 * until when, and all keep to it.
 *
 * Whose event is whose, only its channel tells. If an answer has a name that nobody has asked for,
 * all poll by themselves from then on.
 */

/** Channels of one poll, by the server's default. */
export const MOST_CHANNELS = 64;

const APART = 60; // seconds that tabs poll by themselves after the shared poll was refused
const MOST_KEPT = 1_000; // messages that a tab has not come to yet
const MOST_TRIES = 20; // of catching up with the leader, before a tab joins anew
const MOST_FAILURES = 4; // of the shared poll in a row, before each tab finds out alone

/** Yields what the leader hands round; becomes the leader when there is none. */
export async function* together(me, tools) {
  const { alone, isEmpty, onWake, sleep, take, MOST_REST } = tools;
  const { signal, channels } = me, names = named(me, channels);
  const [name, id] = [`longpoll 1 ${me.target}${me.prefix && ` ${me.prefix}`}`, crypto.randomUUID()];
  // Held as long as this caller listens, so that the leader notices when it goes, however it goes.
  await new Promise((held, failed) => {
    const listening = () => (held(), sleep(Infinity, signal));
    navigator.locks.request(`${name} ${id}`, listening).catch(failed);
  });
  signal.throwIfAborted();
  const bus = new BroadcastChannel(name);
  let kept = [], bell = new AbortController(), beat = 0, quiet = 0;
  let apart = 0, rest = 0; // until when this tab polls by itself, and until when nobody polls

  const keep = (message) => {
    if (kept.push(message) > MOST_KEPT) kept = [{ kind: "wake" }];
    bell.abort();
  };
  const join = (step) => bus.postMessage({ kind: "join", step, id, channels, beat: ++beat });
  const elect = (request) => {
    const lost = new AbortController(), stop = AbortSignal.any([signal, lost.signal]);
    navigator.locks.request(name, request, () => lead(me, tools, name, stop)).catch((error) => {
      lost.abort(); // it was stolen
      if (!signal.aborted && error.name === "AbortError") elect({ signal });
    });
  };
  const pause = () => sleep(Math.random() / 2, signal); // for a node that is behind
  /** The next message, or nothing if it is time to join anew. */
  const receive = async () => {
    bell = new AbortController();
    if (!kept.length) await sleep(quiet, AbortSignal.any([signal, bell.signal]));
    signal.throwIfAborted();
    const message = kept.shift();
    if (!message) return elect({ steal: true }); // the leader is silent: it may be frozen
    quiet = message.quiet;
    if (message.state) me.tell(message.state);
    rest = message.rest ?? rest;
    if (message.kind === "refused") {
      const { status, channel, asked, isStrange } = message;
      apart = isStrange ? Infinity : Date.now() + APART * 1_000;
      if (isStrange) bus.close(); // what others hand round is of no more use
      if (status === 410 && channels.includes(asked))
        throw Object.assign(new Error(message.detail), { status, channel });
    }
    return message.kind || message.gap ? undefined : message;
  };

  signal.addEventListener("abort", () => bus.close());
  bus.onmessage = ({ data }) => data.leader && (data.to ?? id) === id && keep(data);
  onWake(() => keep({ kind: "wake" }), signal);
  elect({ signal });

  rounds: for (;;) {
    const seconds = Math.min((rest - Date.now()) / 1_000, MOST_REST);
    if (seconds > 0) await sleep(seconds, signal);
    yield* alone(me, 0, isEmpty);
    if (Date.now() < apart) yield* alone(me, me.wait, () => Date.now() >= apart);
    [kept, quiet] = [[], 4 + 2 * Math.random()];
    join(2);
    const hasPassed = (message) => message.beats?.[id] === beat && isEmpty(message);
    let message;
    do {
      message = await receive();
      if (!message) continue rounds;
    } while (!hasPassed(message));
    if (!reaches(message.cursor, me.cursor)) {
      await pause();
      continue;
    }
    let { leader, number } = message;
    const known = new Set();
    for (let tries = 1; ; tries++) {
      for await (const event of alone(me, 0, isEmpty)) {
        known.add(event.id);
        yield event;
      }
      if (reaches(me.cursor, message.cursor)) break;
      if (tries === MOST_TRIES) continue rounds;
      await pause();
    }
    join(4);
    for (let isSettled = false; ; ) {
      message = await receive();
      if (message?.leader !== leader) continue rounds;
      if (!message.events) continue;
      if (message.number !== ++number) continue rounds;
      const isNew = ({ channel, id }) => names.includes(channel) && !known.has(id);
      yield* take(me, message.events.filter(isNew));
      const isReached = reaches(message.cursor, me.cursor);
      isSettled ||= isReached && hasPassed(message);
      if (!isSettled) continue;
      known.clear();
      if (isReached) me.cursor = message.cursor;
    }
  }
}

/**
 * Whether one cursor is not behind another. Those of different epochs have no order: false. Of what
 * has another form nothing is known: true.
 */
function reaches(one, other) {
  const [here, there] = [position(one), position(other)];
  if (!here || !there) return true;
  return here.epoch === there.epoch && here.sequence >= there.sequence;
}

/**
 * What a cursor says: "1", and in base64 an epoch of 8 bytes and a number without leading zeros,
 * both big-endian. Here they are hexadecimal, of equal length, so that they compare as text.
 */
function position(cursor) {
  if (!/^1[\w-]{11,22}$/.test(cursor ?? "")) return undefined;
  try {
    const bytes = atob(cursor.slice(1).replaceAll("-", "+").replaceAll("_", "/"));
    const digits = Array.from(bytes, (one) => one.charCodeAt(0).toString(16).padStart(2, "0"));
    const [epoch, number] = [digits.slice(0, 8), digits.slice(8)].map((part) => part.join(""));
    return { epoch, sequence: number.padStart(16, "0") };
  } catch {
    return undefined;
  }
}

/** As the server names them. */
const named = ({ prefix }, channels) => channels.map((channel) => prefix + channel);

/** Polls for all tabs, as long as this one holds the lock. */
async function lead(me, tools, name, stop) {
  const { ask, isEmpty, sleep, MARGIN, MOST_PAUSE } = tools;
  const [leader, bus, members] = [crypto.randomUUID(), new BroadcastChannel(name), new Map()];
  const union = (members) => [...new Set(members.flatMap(({ channels }) => channels))];
  let watch = new AbortController(); // of those that are members
  let round = new AbortController(), cursor, number = 0, posted = 0, failures = 0;
  let isAsked = false, isQuick = false; // for an answer at once; that the poll under way is for one
  let rest = 0; // until when the server wants no poll
  // With the seconds in which more must be heard; a pause is followed by an attempt without a hold.
  const post = (message, until = me.wait) => {
    posted = Date.now();
    bus.postMessage({ leader, quiet: until + MARGIN + 5, ...message });
  };
  const tell = (state, seconds = 0) => {
    if (state === "connected") return; // the answer says it
    isQuick = false;
    rest = Date.now() + seconds * 1_000;
    post({ state, rest }, Math.max(MOST_PAUSE, seconds));
  };
  // An answer may take long, but no part of it more than the margin.
  const onprogress = () => !stop.aborted && Date.now() - posted > 3_000 && post({}, 0);
  bus.onmessage = ({ data }) => {
    if (data.kind !== "join") return;
    const { id } = data, channels = union([...members.values(), data]);
    if (channels.length > MOST_CHANNELS) return post({ kind: "refused", to: id });
    const isGone = () => void members.delete(id);
    const signal = AbortSignal.any([stop, watch.signal]);
    if (!members.has(id))
      navigator.locks.request(`${name} ${id}`, { signal }, isGone).catch(() => {});
    members.set(id, data);
    const isRest = Date.now() < rest;
    // A sign of life; an answer that is not held follows.
    post({ rest }, isRest ? (rest - Date.now()) / 1_000 : 0);
    isAsked = true;
    if (!isQuick && !isRest) round.abort();
  };
  post({ kind: "lead" });
  while (!stop.aborted) {
    const all = [...members.values()], channels = union(all);
    const beats = Object.fromEntries(all.map(({ id, beat }) => [id, beat]));
    round = new AbortController();
    const signal = AbortSignal.any([stop, round.signal]);
    if (!all.length) {
      isQuick = false;
      await sleep(Infinity, signal);
      continue;
    }
    const wait = isAsked ? 0 : me.wait, names = named(me, channels);
    const isStrange = (channel) => !names.includes(channel);
    // One tab's channel may be what the server fails at. A server that wants a rest is waited for.
    const isMixed = all.some((one) => union([one]).length < channels.length);
    const isHopeless = ({ status, retryAfter }) => {
      const isServers = !retryAfter && (status >= 500 || status === 429);
      failures = isServers ? failures + 1 : 0;
      return isMixed && failures >= MOST_FAILURES;
    };
    [isQuick, isAsked] = [isAsked, false];
    try {
      const how = { wait, signal, tell, onprogress, isHopeless };
      const answer = await ask({ ...me, channels, cursor, ...how });
      failures = 0;
      const strange = answer.events.map(({ channel }) => channel).find(isStrange);
      if (strange !== undefined) throw Object.assign(new Error(), { channel: strange });
      post({ ...answer, state: "connected", number: ++number, beats });
      isAsked ||= wait === 0 && !isEmpty(answer);
      cursor = answer.cursor;
    } catch (error) {
      if (signal.aborted) continue;
      const { channel, status, message: detail } = error;
      // As it was asked for; behind a prefix that nobody has told, most likely the longest that fits.
      const fits = channels.filter((one) => channel?.endsWith(one));
      fits.sort((one, other) => other.length - one.length);
      const asked = channels[names.indexOf(channel)] ?? fits[0];
      const refused = { channel, asked, status, detail, isStrange: !!channel && isStrange(channel) };
      post({ kind: "refused", ...refused });
      members.clear();
      watch.abort();
      watch = new AbortController();
      [cursor, failures] = [undefined, 0];
    }
  }
  post({ kind: "gone" });
  bus.close();
}
