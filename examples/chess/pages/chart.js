/** A line over the last two minutes, by seconds before the newest sample: a pause in between shows as a pause. */

const SVG = "http://www.w3.org/2000/svg";
const SPAN_S = 120;
const HEIGHT = 40;
/** Samples come each second. More than this apart, the line is broken. */
const BREAK_S = 3.5;

/**
 * @param {SVGSVGElement} svg
 * @param {{at: number, value: number}[]} points `at` in milliseconds, rising
 * @param {number} top the value at the upper edge
 * @param {string} label what it shows, in words
 */
export function draw(svg, points, top, label) {
  svg.setAttribute("viewBox", `0 0 ${SPAN_S} ${HEIGHT}`);
  svg.setAttribute("aria-label", label);
  const end = points.at(-1)?.at ?? 0;
  const runs = [];
  let before = -Infinity;
  for (const { at, value } of points) {
    const x = SPAN_S - (end - at) / 1000;
    if (x < 0) continue;
    if (x - before > BREAK_S) runs.push([]);
    // A little below the edge and above the ground, so that the line is whole.
    runs.at(-1).push([x, HEIGHT - 1 - (HEIGHT - 3) * Math.min(1, value / top)]);
    before = x;
  }
  const parts = [30, 60, 90].map((x) => shape("path", "grid", `M${x} 0 V${HEIGHT}`));
  for (const run of runs) {
    const line = run.map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`).join(" L");
    const [first, last] = [run[0][0].toFixed(2), run.at(-1)[0].toFixed(2)];
    parts.push(shape("path", "area", `M${first} ${HEIGHT} L${line} L${last} ${HEIGHT} Z`), shape("path", "line", `M${line}`));
  }
  svg.replaceChildren(...parts);
}

/** A round number at or above the largest value: the scale does not tremble with each sample. */
export function round_top(values, least) {
  const most = Math.max(least, ...values);
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most);
}

function shape(tag, kind, d) {
  const made = document.createElementNS(SVG, tag);
  made.setAttribute("class", kind);
  made.setAttribute("d", d);
  return made;
}
