// A volume on the server: its header, the distribution of its densities, and the addresses of its pictures.

import { address, get } from "../api.js";
import { baseName } from "../dom.js";

/** @typedef {"x" | "y" | "z"} Axis */
/** @typedef {Record<Axis, number>} Voxel */

/** @type {Axis[]} */
export const AXES = ["z", "y", "x"];

/** @type {Record<Axis, [Axis, Axis]>} perpendicular axis: axis to the right, axis up */
export const PLANES = { z: ["x", "y"], y: ["x", "z"], x: ["z", "y"] };

/**
 * What the server tells of a volume.
 *
 * @typedef {object} Description
 * @property {[number, number, number]} shape (z, y, x)
 * @property {number | null} voxel_size in Å
 * @property {number} bytes
 * @property {string} type
 * @property {string} version
 * @property {[number, number]} contrast
 * @property {[number, number]} extent
 * @property {number[]} histogram
 * @property {number} mean
 * @property {number} standard_deviation
 * @property {boolean} inferred_fraction whether a map of the inferred fraction lies beside it
 */

/** A volume, or the mean of two half maps, and the contrast with which it is drawn. */
export class Volume {
  /**
   * @param {string} name
   * @param {string | undefined} averagedWith the other half map
   * @param {Description} described
   */
  constructor(name, averagedWith, described) {
    this.name = name;
    this.averagedWith = averagedWith;
    this.described = described;
    this.low = described.contrast[0];
    this.high = described.contrast[1];
  }

  /**
   * @param {string} name
   * @param {string} [averagedWith]
   */
  static async open(name, averagedWith) {
    return new Volume(name, averagedWith, await get("volume", { name, averaged_with: averagedWith }));
  }

  get shape() {
    return this.described.shape;
  }

  get voxelSize() {
    return this.described.voxel_size;
  }

  get label() {
    return this.averagedWith ? `mean of ${this.name} and ${baseName(this.averagedWith)}` : this.name;
  }

  /** Names in requests to the server. */
  get files() {
    return { name: this.name, averaged_with: this.averagedWith };
  }

  /** Name of the map of the inferred fraction beside this volume, or null. */
  get inferredFractionName() {
    return this.described.inferred_fraction ? this.name.replace(/[^/]*$/, "inferred_fraction.mrc") : null;
  }

  /** @param {Axis} axis */
  count(axis) {
    return this.shape[AXES.indexOf(axis)];
  }

  /**
   * Address of a picture.
   *
   * @param {"slice" | "power" | "overlay"} kind
   * @param {Axis} axis
   * @param {number} index
   * @param {number} thickness
   */
  picture(kind, axis, index, thickness) {
    const contrast = kind === "slice" ? { low: this.low, high: this.high } : {};
    return address(`api/${kind}`, { ...this.files, axis, index, thickness, version: this.described.version, ...contrast });
  }

  /**
   * Density of a voxel.
   *
   * @param {Voxel} voxel
   * @returns {Promise<number | null>}
   */
  async density({ x, y, z }) {
    return (await get("voxel", { ...this.files, x, y, z })).density;
  }

  /** @param {number} density in standard deviations from the mean */
  inSigma(density) {
    return (density - this.described.mean) / (this.described.standard_deviation || 1);
  }

  /**
   * Use the contrast of another volume, in standard deviations from the mean.
   *
   * @param {Volume} other
   */
  matchContrast(other) {
    const { mean, standard_deviation: deviation } = this.described;
    this.low = mean + other.inSigma(other.low) * deviation;
    this.high = mean + other.inSigma(other.high) * deviation;
  }
}

/** @param {Volume} volume */
export const sizeText = (volume) => volume.shape.slice().reverse().join(" × ");
