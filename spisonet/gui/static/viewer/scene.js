// State of the viewer: the volumes, the crosshair, zoom, and what is drawn. Its parts subscribe to changes.

import { get } from "../api.js";
import { attempt } from "../dom.js";
import { AXES, sizeText, Volume } from "./volume.js";

/** @typedef {import("./volume.js").Axis} Axis */
/** @typedef {import("./volume.js").Voxel} Voxel */

const MAX_ZOOM = 32;

/**
 * Values in the address of the page.
 *
 * @typedef {object} ViewValues
 * @property {string} [name]
 * @property {string} [half2] the half map that `name` is averaged with
 * @property {string} [second] the map to compare with
 * @property {string} [mask]
 * @property {string} [fraction] map of the inferred fraction
 * @property {string} [boundary]
 * @property {string} [star] the table that the volume is listed in
 */

export class Scene {
  /**
   * @param {Volume} volume
   * @param {{ second?: Volume | null, mask?: Volume | null, fraction?: Volume | null }} [others]
   */
  constructor(volume, { second = null, mask = null, fraction = null } = {}) {
    this.volume = volume;
    this.second = second;
    this.mask = mask;
    this.fraction = fraction;
    /** @type {[number, number] | null} degrees about y, drawn on the power spectrum */
    this.tiltRange = null;
    const middle = /** @type {Voxel} */ (Object.fromEntries(AXES.map((axis) => [axis, Math.floor(volume.count(axis) / 2)])));
    this.position = middle; // of the crosshair
    this.centre = { ...middle }; // of the panes
    this.zoom = 1;
    this.powerSpectrum = false;
    this.sideBySide = false;
    this.maskShown = Boolean(mask);
    this.fractionShown = Boolean(fraction);
    this.dividerFraction = 0.5; // of the width, left of which the first volume is shown
    this.thickness = 1; // planes that are averaged
    /** @type {Axis} */
    this.activeAxis = "z"; // of the pane that the keyboard moves in
    /** @type {(() => void)[]} */
    this.listeners = [];
    if (fraction) [fraction.low, fraction.high] = [0, 1];
    this.matchContrasts();
  }

  /** @param {ViewValues} values */
  static async open({ name = "", half2, second, mask, fraction, star }) {
    const volume = await Volume.open(name, half2);
    const opened = await Promise.all([second, mask, fraction].map((other) => (other ? Volume.open(other) : null)));
    for (const other of opened) {
      if (other && String(other.shape) !== String(volume.shape)) {
        throw new Error(`${other.name} has ${sizeText(other)} voxels, but ${volume.name} has ${sizeText(volume)}.`);
      }
    }
    const scene = new Scene(volume, { second: opened[0], mask: opened[1], fraction: opened[2] });
    if (star) scene.readTiltRange(star); // meanwhile, the slices are shown
    return scene;
  }

  /** @param {string} star the table that lists the volume */
  async readTiltRange(star) {
    const range = await attempt(() => tiltRangeIn(star, this.volume.name));
    if (range) this.tiltRange = range;
    this.changed();
  }

  /** The volumes that are compared. */
  get compared() {
    return this.second ? [this.volume, this.second] : [this.volume];
  }

  /** @param {() => void} listener */
  onChange(listener) {
    this.listeners.push(listener);
  }

  changed() {
    this.listeners.forEach((listener) => listener());
  }

  /**
   * @param {Axis} axis
   * @param {number} index
   */
  clamp(axis, index) {
    return Math.min(this.volume.count(axis) - 1, Math.max(0, index));
  }

  /**
   * Move the crosshair to planes by axis.
   *
   * @param {Partial<Voxel>} indices
   */
  moveTo(indices) {
    for (const axis of AXES) if (indices[axis] !== undefined) this.position[axis] = this.clamp(axis, Math.round(indices[axis]));
    this.changed();
  }

  /**
   * Enlarge the panes by a factor, without moving a given point, or the crosshair.
   *
   * @param {number} factor
   * @param {Partial<Voxel>} [fixed]
   */
  zoomBy(factor, fixed = this.position) {
    const zoom = Math.min(MAX_ZOOM, Math.max(1, this.zoom * factor));
    for (const axis of AXES) {
      const point = fixed[axis] ?? this.centre[axis];
      this.centre[axis] = point + (this.centre[axis] - point) * (this.zoom / zoom);
    }
    this.zoom = zoom;
    this.panBy({});
  }

  /**
   * Move what the panes show, by voxels along each axis; never beyond the volume.
   *
   * @param {Partial<Voxel>} voxels
   */
  panBy(voxels) {
    for (const axis of AXES) {
      const n = this.volume.count(axis);
      const margin = n / (2 * this.zoom);
      const moved = this.centre[axis] + (voxels[axis] ?? 0) + 0.5;
      this.centre[axis] = Math.min(n - margin, Math.max(margin, moved)) - 0.5;
    }
    this.changed();
  }

  resetZoom() {
    this.zoomBy(1 / this.zoom);
  }

  matchContrasts() {
    this.second?.matchContrast(this.volume);
  }
}

/**
 * Tilt range of a volume in the table that lists it, or null.
 *
 * @param {string} star
 * @param {string} name
 * @returns {Promise<[number, number] | null>}
 */
async function tiltRangeIn(star, name) {
  const { rows } = await get("table", { name: star });
  const row = rows.find((/** @type {any} */ each) => Object.values(each.files).some((/** @type {any} */ file) => file.name === name));
  const range = ["rlnTiltMin", "rlnTiltMax"].map((column) => Number(row?.values?.[column] || NaN));
  return range.every(Number.isFinite) ? [range[0], range[1]] : null;
}
