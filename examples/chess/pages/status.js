/** The status page: what the server measured of itself, each second. */

import { insist } from "/assets/api.js";
import { draw, round_top } from "/assets/chart.js";
import { poll } from "/assets/longpoll.js";

const part = (id) => document.getElementById(id);
const KEPT = 120;
/** More workers than this are shown in less room each. */
const MANY = 12;
const HOT = 0.8;

let samples = [];

async function live() {
  for (;;) {
    try {
      const state = await insist("/api/status", {}, () => link_state("reconnecting"));
      samples = state.samples;
      show();
      await follow(state.cursor);
    } catch (failure) {
      console.error(failure);
      link_state("reconnecting");
      await new Promise((done) => setTimeout(done, 3_000));
    }
  }
}

/** Until something was missed: a restarted server has other samples. */
async function follow(cursor) {
  for await (const event of poll("/events", { channels: ["status"], cursor, onstate: link_state })) {
    if (event.gap) return;
    samples.push(event.data);
    samples.splice(0, samples.length - KEPT);
    show();
  }
}

function show() {
  const now = samples.at(-1);
  part("status").dataset.samples = samples.length;
  if (!now) return;
  const busy = mean(now.busy);
  part("summary").textContent = summary(now, busy);
  write("parked", count(now.parked));
  write("channels", `on ${counted(now.channels, "channel")}`);
  write("events", rate(now.events_per_s));
  write("answers", rate(now.answers_per_s));
  write("p50", ...microseconds(now.wake_us?.p50));
  write("p99", ...microseconds(now.wake_us?.p99));
  write("memory", ...bytes(now.rss_bytes));
  write("files", now.open_files == null ? "–" : count(now.open_files));
  write("uptime", ...duration(now.uptime_s));
  write("games", counted(now.games, "game"));
  show_workers(now.busy);
  chart("parked", (sample) => sample.parked, 10, count);
  chart("busy", (sample) => mean(sample.busy) * 100, 100, (value) => percent(value / 100), 100);
  chart("events", (sample) => sample.events_per_s, 10, rate);
}

function summary(now, busy) {
  const threads = counted(now.threads, "thread");
  const waiting = now.parked === 0 ? "Nobody waits right now." : `${counted(now.parked, "poll")} ${now.parked === 1 ? "is" : "are"} parked.`;
  return `${waiting} ${threads} ${now.threads === 1 ? "is" : "are"} ${percent(busy)} busy: ${percent(1 - busy)} of their time is free.`;
}

function show_workers(busy) {
  const list = part("workers");
  list.classList.toggle("many", busy.length > MANY);
  while (list.children.length > busy.length) list.lastChild.remove();
  while (list.children.length < busy.length) list.append(worker());
  busy.forEach((share, at) => {
    const item = list.children[at];
    item.children[0].textContent = busy.length > MANY ? at + 1 : `Thread ${at + 1}`;
    item.children[1].textContent = percent(share);
    const fill = item.querySelector("i");
    fill.style.transform = `scaleX(${share})`;
    fill.classList.toggle("hot", share > HOT);
  });
}

function worker() {
  const item = document.createElement("li");
  const [name, share, bar] = [document.createElement("span"), document.createElement("span"), document.createElement("span")];
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  bar.append(document.createElement("i"));
  item.append(name, share, bar);
  return item;
}

function chart(name, value, least, words, top) {
  const points = samples.map((sample) => ({ at: sample.at, value: value(sample) }));
  const values = points.map((point) => point.value);
  const [now, most] = [words(values.at(-1)), words(Math.max(...values))];
  const edge = top ?? round_top(values, least);
  part(`chart-${name}-now`).textContent = `${now} now, ${most} at most, scale to ${words(edge)}`;
  draw(part(`chart-${name}`), points, edge, `${now} now, at most ${most} in the last two minutes`);
}

function link_state(state) {
  const element = part("link-state");
  element.dataset.state = state;
  element.textContent = { connected: "live", reconnecting: "reconnecting" }[state] ?? state;
  part("status").classList.toggle("stale", state === "reconnecting" || state === "offline");
}

/** A number with its unit in smaller type. */
function write(id, number, unit) {
  const parts = [number];
  if (unit) {
    const small = document.createElement("small");
    small.textContent = ` ${unit}`;
    parts.push(small);
  }
  part(id).replaceChildren(...parts);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (value) => whole.format(value);
const counted = (value, what) => `${count(value)} ${what}${value === 1 ? "" : "s"}`;
const rate = (value) => (value === 0 || value >= 10 ? count(value) : value.toFixed(1));

function percent(share) {
  const value = share * 100;
  if (value === 0 || value === 100) return `${value} %`;
  return value < 10 || value > 90 ? `${value.toFixed(1)} %` : `${value.toFixed(0)} %`;
}

function microseconds(value) {
  if (value == null) return ["–"];
  if (value < 1_000) return [value < 10 ? value.toFixed(1) : count(value), "µs"];
  return [(value / 1_000).toFixed(value < 100_000 ? 1 : 0), "ms"];
}

function bytes(value) {
  if (value == null) return ["–"];
  const [unit, size] = value < 2 ** 30 ? ["MB", 2 ** 20] : ["GB", 2 ** 30];
  const amount = value / size;
  return [amount < 10 ? amount.toFixed(1) : count(amount), unit];
}

function duration(seconds) {
  if (seconds < 60) return [String(seconds), "s"];
  if (seconds < 3_600) return [String(Math.floor(seconds / 60)), "min"];
  const hours = Math.floor(seconds / 3_600);
  return hours < 48 ? [String(hours), "h"] : [String(Math.floor(hours / 24)), "days"];
}

void live();
