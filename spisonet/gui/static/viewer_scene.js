// State of the viewer: the volumes, the position of the crosshair, and what is drawn.

import { address, get } from "./api.js";

export const AXES = ["z", "y", "x"];
export const PLANES = { z: ["x", "y"], y: ["x", "z"], x: ["z", "y"] }; // perpendicular axis: axis to the right, axis up

/** Header and density distribution of a volume on the server, and the contrast with which it is drawn. */
export class Volume {
  constructor(name, described) {
    Object.assign(this, described, { name });
    [this.low, this.high] = this.contrast;
  }

  static async open(name) {
    return new Volume(name, await get("volume", { name }));
  }

  count(axis) {
    return this.shape[AXES.indexOf(axis)];
  }

  /** Address of a picture; kind: slice, power or overlay. */
  picture(kind, axis, index, thickness) {
    const plane = { name: this.name, axis, index, thickness, version: this.version };
    if (kind === "slice") Object.assign(plane, { low: this.low, high: this.high });
    return address(`api/${kind}`, plane);
  }

  /** Use the contrast of another volume, in standard deviations from the mean. */
  matchContrast(other) {
    const scale = this.standard_deviation / (other.standard_deviation || 1);
    this.low = this.mean + (other.low - other.mean) * scale;
    this.high = this.mean + (other.high - other.mean) * scale;
  }
}

/** What the parts of the viewer share; they subscribe to changes with `onChange`. */
export class Scene {
  constructor(volume, second, mask) {
    Object.assign(this, { volume, second, mask });
    this.position = Object.fromEntries(AXES.map((axis) => [axis, Math.floor(volume.count(axis) / 2)]));
    this.powerSpectrum = false;
    this.maskShown = Boolean(mask);
    this.dividerFraction = 0.5; // of the width, left of which the first volume is shown
    this.thickness = 1; // planes that are averaged
    this.listeners = [];
    this.matchContrasts();
  }

  static async open({ name, second, mask }) {
    const volume = await Volume.open(name);
    const others = await Promise.all([second, mask].map((other) => (other ? Volume.open(other) : null)));
    for (const other of others.filter(Boolean)) {
      if (String(other.shape) !== String(volume.shape)) {
        throw new Error(`${other.name} has ${sizeText(other)} voxels, but ${volume.name} has ${sizeText(volume)}.`);
      }
    }
    return new Scene(volume, ...others);
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  changed() {
    this.listeners.forEach((listener) => listener());
  }

  clamp(axis, index) {
    return Math.min(this.volume.count(axis) - 1, Math.max(0, index));
  }

  /** Move to planes by axis. */
  moveTo(indices) {
    for (const [axis, index] of Object.entries(indices)) this.position[axis] = this.clamp(axis, Math.round(index));
    this.changed();
  }

  matchContrasts() {
    this.second?.matchContrast(this.volume);
  }
}

export const sizeText = (volume) => volume.shape.slice().reverse().join(" × ");
