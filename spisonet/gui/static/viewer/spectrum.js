// Axes of a power spectrum: Nyquist frequency, resolution rings and the missing wedge.

import { s } from "../dom.js";

/** @typedef {import("./volume.js").Axis} Axis */

const ROUND_RESOLUTIONS = [200, 100, 50, 30, 20, 15, 10, 8, 6, 5, 4, 3.5, 3, 2.5, 2, 1.5, 1.2, 1]; // Å
const RING_DISTANCE = 0.17; // of Nyquist, at least
const LABEL_PIXELS = 24; // between rings, at least
const LARGEST_RING = 0.93;
const WEDGE_COLOUR = "#ffd166";
const FONT = { "font-size": 11.5, fill: "#fff", "paint-order": "stroke", stroke: "#000", "stroke-width": 3 };

/**
 * Resolutions in Å of the rings to draw, from the centre to the edge.
 *
 * @param {number} voxelSize in Å
 * @param {number} [distance] between rings, of Nyquist
 */
export function ringResolutions(voxelSize, distance = RING_DISTANCE) {
  const nyquist = 2 * voxelSize;
  /** @type {number[]} */
  const rings = [];
  let last = 0;
  for (const resolution of ROUND_RESOLUTIONS) {
    const radius = nyquist / resolution; // of Nyquist
    if (radius - last < distance || radius > LARGEST_RING) continue;
    rings.push(resolution);
    last = radius;
  }
  return rings;
}

/**
 * Ends of the lines that bound the missing wedge in the plane of x and z, in units of Nyquist. A tilt t measures the
 * direction (cos t, sin t).
 *
 * @param {[number, number]} tiltRange in degrees
 * @returns {[number, number][]}
 */
export function wedgeEnds(tiltRange) {
  return tiltRange.map((tilt) => {
    const [x, z] = [Math.cos((tilt * Math.PI) / 180), Math.sin((tilt * Math.PI) / 180)];
    const longest = Math.max(Math.abs(x), Math.abs(z));
    return [x / longest, z / longest];
  });
}

/**
 * Resolution in Å, or null at the centre.
 *
 * @param {[number, number]} frequency in units of Nyquist
 * @param {number} voxelSize in Å
 */
export function resolutionAt(frequency, voxelSize) {
  const radius = Math.hypot(...frequency);
  return radius ? (2 * voxelSize) / radius : null;
}

/**
 * Marks on a power spectrum, in pixels of its square pane.
 *
 * @param {{ edge: number, right: Axis, up: Axis, pixels: [number, number], voxelSize: number | null, tiltRange: [number, number] | null }} pane
 *   `pixels`: of the transform along the two axes, whose zero frequency is half a pixel off the centre if they are even
 */
export function spectrumMarks({ edge, right, up, pixels, voxelSize, tiltRange }) {
  const offset = pixels.map((n) => (n % 2 ? 0 : (0.5 / n) * edge));
  const centre = [edge / 2 + offset[0], edge / 2 + offset[1]];
  const radius = edge / 2;
  const line = { fill: "none", stroke: "#fff", "stroke-opacity": 0.55, "stroke-width": 1 };
  const text = (/** @type {number} */ x, /** @type {number} */ y, /** @type {string} */ words, anchor = "middle") =>
    s("text", { x, y, ...FONT, "text-anchor": anchor }, words);
  const ring = (/** @type {number} */ r, /** @type {string} */ dash) =>
    s("circle", { cx: centre[0], cy: centre[1], r, ...line, "stroke-dasharray": dash });
  const marks = [
    s("line", { x1: 0, x2: edge, y1: centre[1], y2: centre[1], ...line, "stroke-opacity": 0.3 }),
    s("line", { x1: centre[0], x2: centre[0], y1: 0, y2: edge, ...line, "stroke-opacity": 0.3 }),
    ring(radius, ""),
    text(edge - 6, centre[1] - 5, `k${right}`, "end"),
    text(centre[0] + 6, 30, `k${up}`, "start"),
  ];
  if (voxelSize) {
    const diagonal = radius * Math.SQRT1_2;
    marks.push(text(centre[0] - diagonal + 4, centre[1] + diagonal + 14, `Nyquist ${(2 * voxelSize).toPrecision(3)} Å`, "start"));
    for (const resolution of ringResolutions(voxelSize, Math.max(RING_DISTANCE, LABEL_PIXELS / radius))) {
      const r = (radius * 2 * voxelSize) / resolution;
      marks.push(ring(r, "3 4"), text(centre[0] + r * Math.SQRT1_2, centre[1] + r * Math.SQRT1_2 + 4, `${resolution} Å`));
    }
  }
  if (tiltRange && right === "x" && up === "z") {
    for (const [x, z] of wedgeEnds(tiltRange)) {
      const [dx, dy] = [x * radius, -z * radius];
      const ends = { x1: centre[0] - dx, x2: centre[0] + dx, y1: centre[1] - dy, y2: centre[1] + dy };
      marks.push(s("line", { ...ends, class: "wedge", stroke: WEDGE_COLOUR, "stroke-width": 1.5, "stroke-dasharray": "7 4" }));
    }
  }
  return marks;
}
