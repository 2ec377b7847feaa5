// Distribution of views on a hemisphere, in Lambert's equal-area projection.

import { s } from "./dom.js";

const RADIUS = 100;
const EMPTY = "#f4b860";
const HIGHEST = 3; // relative density of the darkest colour

/**
 * Colour of a density relative to that of uniform views.
 *
 * @param {number} density
 */
export function colourOf(density) {
  if (density === 0) return EMPTY;
  const depth = Math.min(1, density / HIGHEST);
  return `hsl(174 81% ${Math.round(94 - 68 * depth)}%)`;
}

/**
 * Corners of a cell between two radii and two angles, as the path of its outline.
 *
 * @param {[number, number]} radii
 * @param {[number, number]} angles
 */
function outline([inner, outer], [begin, end]) {
  /** @param {number} radius @param {number} angle */
  const point = (radius, angle) => `${(radius * Math.cos(angle)).toFixed(2)},${(-radius * Math.sin(angle)).toFixed(2)}`;
  return `M${point(inner, begin)} L${point(outer, begin)} A${outer},${outer} 0 0 0 ${point(outer, end)} L${point(inner, end)} A${inner},${inner} 0 0 1 ${point(inner, begin)} Z`;
}

/**
 * @param {number[][]} histogram rings from the pole to the equator, each of sectors; all cells have the same area
 */
export function viewsDisc(histogram) {
  const cells = histogram.flatMap((ring, row) =>
    ring.map((density, sector) => {
      const angle = (2 * Math.PI) / ring.length;
      const radii = /** @type {[number, number]} */ ([row, row + 1].map((edge) => RADIUS * Math.sqrt(edge / histogram.length)));
      return s("path", { d: outline(radii, [sector * angle, (sector + 1) * angle]), fill: colourOf(density) });
    }),
  );
  const n = histogram.flat().length;
  const empty = histogram.flat().filter((density) => density === 0).length;
  const label = `Distribution of views: ${Math.round((100 * empty) / n)} % of the directions have none`;
  return s("svg", { class: "views", viewBox: "-103 -103 206 206", role: "img", "aria-label": label }, cells, s("circle", { r: RADIUS, fill: "none", stroke: "#5b6c74" }));
}
