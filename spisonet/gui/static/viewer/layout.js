// Where the panes are: positions in pixels, and parts of a plane that a zoomed pane shows.

import { AXES } from "./volume.js";

/** @typedef {import("./volume.js").Axis} Axis */
/** @typedef {{ left: number, top: number, width: number, height: number }} Box */
/** @typedef {{ scale: number, boxes: Partial<Record<Axis, Box>>[] }} Layout boxes by axis, for each of the volumes side by side */

export const GAP = 6;

/**
 * @param {number} left
 * @param {number} top
 * @param {number} width
 * @param {number} height
 * @returns {Box}
 */
const box = (left, top, width, height) => ({ left, top, width, height });

/**
 * @param {number} available
 * @param {number} taken
 */
const centred = (available, taken) => GAP + Math.max(0, (available - taken) / 2);

/**
 * XY, YZ and XZ in a row.
 *
 * @param {[number, number, number]} shape
 * @param {number} scale
 * @param {number} width
 * @param {number} height
 */
function row([nz, ny, nx], scale, width, height) {
  const [x, y, z] = [scale * nx, scale * ny, scale * nz];
  const left = centred(width, 2 * x + z + 2 * GAP);
  const top = centred(height, Math.max(y, z));
  return { z: box(left, top, x, y), x: box(left + x + GAP, top, z, y), y: box(left + x + z + 2 * GAP, top, x, z) };
}

/**
 * Panes of one volume: in a square, or in a row if that makes them larger.
 *
 * @param {[number, number, number]} shape
 * @param {number} width
 * @param {number} height
 * @returns {Layout}
 */
export function paneLayout(shape, width, height) {
  const [nz, ny, nx] = shape;
  if (nz === 1) {
    const scale = Math.min(width / nx, height / ny);
    return { scale, boxes: [{ z: box(centred(width, scale * nx), centred(height, scale * ny), scale * nx, scale * ny) }] };
  }
  const square = Math.min((width - GAP) / (nx + nz), (height - GAP) / (ny + nz));
  const inRow = Math.min((width - 2 * GAP) / (2 * nx + nz), height / Math.max(ny, nz));
  if (inRow > square) return { scale: inRow, boxes: [row(shape, inRow, width, height)] };
  const [x, y, z] = [square * nx, square * ny, square * nz];
  const left = centred(width, x + z + GAP);
  const top = centred(height, y + z + GAP);
  const boxes = { z: box(left, top, x, y), y: box(left, top + y + GAP, x, z), x: box(left + x + GAP, top, z, y) };
  return { scale: square, boxes: [boxes] };
}

/**
 * Panes of two volumes: a row of three planes for each, or one plane beside the other if there is only one.
 *
 * @param {[number, number, number]} shape
 * @param {number} width
 * @param {number} height
 * @returns {Layout}
 */
export function sideBySideLayout(shape, width, height) {
  const [nz, ny, nx] = shape;
  if (nz === 1) {
    const scale = Math.min((width - GAP) / (2 * nx), height / ny);
    const left = centred(width, 2 * scale * nx + GAP);
    const top = centred(height, scale * ny);
    return { scale, boxes: [0, 1].map((n) => ({ z: box(left + n * (scale * nx + GAP), top, scale * nx, scale * ny) })) };
  }
  const rowHeight = (height - GAP) / 2;
  const scale = Math.min((width - 2 * GAP) / (2 * nx + nz), rowHeight / Math.max(ny, nz));
  const step = Math.max(ny, nz) * scale + GAP;
  const begin = centred(height, 2 * step - GAP) - GAP;
  const first = row(shape, scale, width, step - GAP);
  const shifted = (/** @type {number} */ by) =>
    Object.fromEntries(Object.entries(first).map(([axis, { left, top, width: w, height: h }]) => [axis, box(left, top + by, w, h)]));
  return { scale, boxes: [shifted(begin), shifted(begin + step)] };
}

/**
 * Power spectra are equal squares: those of one volume in a row or a square, whichever makes them larger, those of two
 * volumes in a row each. A single plane has only one.
 *
 * @param {[number, number, number]} shape
 * @param {number} width
 * @param {number} height
 * @param {number} nVolumes
 * @returns {Layout}
 */
export function spectrumLayout([nz], width, height, nVolumes) {
  /** @type {Axis[]} */
  const axes = nz === 1 ? ["z"] : AXES;
  const edgeOf = (/** @type {number} */ columns, /** @type {number} */ rows) =>
    Math.min((width - (columns - 1) * GAP) / columns, (height - (rows - 1) * GAP) / rows);
  const inSquare = nVolumes === 1 && axes.length > 2 && edgeOf(2, 2) > edgeOf(3, 1);
  const [columns, rows] = inSquare ? [2, 2] : [axes.length, nVolumes];
  const edge = edgeOf(columns, rows);
  const left = centred(width, columns * (edge + GAP) - GAP);
  const top = centred(height, rows * (edge + GAP) - GAP);
  const place = (/** @type {number} */ number) =>
    box(left + (number % columns) * (edge + GAP), top + Math.floor(number / columns) * (edge + GAP), edge, edge);
  const boxes = Array.from({ length: nVolumes }, (_, volume) =>
    Object.fromEntries(axes.map((axis, number) => [axis, place(volume * axes.length + number)])),
  );
  return { scale: 0, boxes };
}

/**
 * Where a whole plane lies relative to a pane that shows it enlarged.
 *
 * @param {{ width: number, height: number }} pane size in pixels
 * @param {number} zoom
 * @param {[number, number]} centre voxel in the centre of the pane, along the axes to the right and up
 * @param {[number, number]} counts numbers of voxels along these axes
 * @returns {Box}
 */
export function zoomedPlane(pane, zoom, centre, counts) {
  const [width, height] = [pane.width * zoom, pane.height * zoom];
  const left = pane.width / 2 - ((centre[0] + 0.5) / counts[0]) * width;
  const top = pane.height / 2 - (1 - (centre[1] + 0.5) / counts[1]) * height;
  return box(left, top, width, height);
}
