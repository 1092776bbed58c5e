/**
 * Draws a piece of the sprite. The sprite becomes part of the page: a piece that referred to the file would ask for it
 * again when it is drawn, and be invisible if the server is away at that moment.
 */

import { insist } from "/assets/api.js";
import { color_of, kind_of } from "/assets/position.js";

const SVG = "http://www.w3.org/2000/svg";

void insist("/assets/pieces.svg").then((text) => {
  const sprite = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  sprite.setAttribute("class", "unseen");
  sprite.setAttribute("aria-hidden", "true");
  document.body.append(sprite);
});

/** @param {string} piece as in FEN @returns {SVGSVGElement} */
export function draw(piece) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `piece ${color_of(piece)}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#${kind_of(piece)}`);
  svg.append(use);
  return svg;
}
