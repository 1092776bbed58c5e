/** Two short notes, made by the browser: no file, and silent until somebody turns it on. */

import { setting } from "/assets/seats.js";

let on = setting("sound") === true;
let context = null;

export const is_on = () => on;

export function toggle() {
  on = !on;
  setting("sound", on);
  if (on) blip("move");
  return on;
}

/** @param {"move" | "capture" | "check" | "end" | "chat"} kind */
export function blip(kind) {
  if (!on) return;
  // Made late: browsers allow it only after the person touched the page.
  context ??= new AudioContext();
  void context.resume().catch(() => {});
  const notes = { move: [330], capture: [220, 330], check: [440, 660], end: [523, 415, 330], chat: [880] }[kind];
  notes.forEach((pitch, place) => note(pitch, context.currentTime + place * 0.09));
}

function note(pitch, at) {
  const [tone, volume] = [context.createOscillator(), context.createGain()];
  tone.type = "triangle";
  tone.frequency.value = pitch;
  volume.gain.setValueAtTime(0.0001, at);
  volume.gain.exponentialRampToValueAtTime(0.18, at + 0.008);
  volume.gain.exponentialRampToValueAtTime(0.0001, at + 0.12);
  tone.connect(volume).connect(context.destination);
  tone.start(at);
  tone.stop(at + 0.14);
}
