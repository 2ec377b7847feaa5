// Surfaces of a map, or of two maps side by side that turn together and enclose the same volume.

import { getSurface } from "../api.js";
import { attempt, h } from "../dom.js";
import { countsByDensity, enclosedVoxels, levelEnclosing, volumeText } from "./enclosed_volume.js";
import { product, RayCaster, rotation } from "./ray_caster.js";

/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./volume.js").Volume} Volume */

const INITIAL_LEVEL = 2; // standard deviations above the mean
const LEVELS = { min: -8, max: 12, step: 0.1 };
const INITIAL_ZOOM = 0.55;
const ZOOMS = [0.1, 2.5];
const ZOOM_STEP = 1.1;
const RADIANS_PER_PIXEL = 0.01;
const RADIANS_PER_KEY = 0.1;
const TURNS = /** @type {Record<string, [number, number]>} */ ({ ArrowUp: [1, 0], ArrowDown: [-1, 0], ArrowLeft: [0, 1], ArrowRight: [0, -1] });
const LEVEL_STEPS = /** @type {Record<string, number>} */ ({ PageUp: 0.1, PageDown: -0.1 });

const initialCamera = () => ({ orientation: rotation(-0.5, 0.6), zoom: INITIAL_ZOOM });

/** The canvas of one volume, and the text on what its surface encloses. */
class SurfaceView {
  /**
   * @param {Volume} volume
   * @param {string} title
   */
  constructor(volume, title) {
    this.volume = volume;
    this.canvas = h("canvas", { class: "surface", tabindex: 0, "aria-label": `Surface of ${volume.label}` });
    this.text = h("span", { class: "small" });
    this.element = h("div", { class: "surface-view" }, this.canvas, h("div", { class: "surface-title" }, h("b", {}, title), " ", this.text));
  }

  /** @param {import("../api.js").SurfaceVoxels | null} fraction */
  async load(fraction) {
    this.surface = await getSurface(this.volume.files);
    this.counts = countsByDensity(this.surface.voxels);
    this.caster = new RayCaster(this.canvas, this.surface, fraction);
  }

  /** @param {number} sigma */
  levelAt(sigma) {
    return this.surface ? this.surface.mean + sigma * this.surface.standard_deviation : 0;
  }

  /**
   * @param {number} level in 0..255
   * @param {boolean} negative
   */
  describe(level, negative) {
    const { surface, counts } = this;
    if (!surface || !counts) return;
    const sigma = (level - surface.mean) / (surface.standard_deviation || 1);
    const enclosed = surface.voxel_size ? volumeText(enclosedVoxels(counts, level, negative) * surface.voxel_size ** 3) : "voxel size unknown";
    this.text.textContent = `level ${sigma.toFixed(1)} σ (${Number((surface.low + (level / 255) * (surface.high - surface.low)).toPrecision(3))}): ${enclosed}`;
  }
}

export class SurfaceStage {
  /** @param {Scene} scene */
  constructor(scene) {
    this.scene = scene;
    this.views = scene.compared.map((volume, number) => new SurfaceView(volume, scene.second ? ["Before", "After"][number] : ""));
    this.views[this.views.length - 1].canvas.id = "surface";
    this.camera = initialCamera();
    this.loaded = false;
    this.scheduled = false;
    const slider = h("input", { type: "range", ...LEVELS, value: INITIAL_LEVEL, "aria-label": "Level in standard deviations", id: "level" });
    const number = h("input", { type: "number", ...LEVELS, value: INITIAL_LEVEL, "aria-label": "Level in standard deviations, number", id: "level-number" });
    this.level = INITIAL_LEVEL;
    this.setLevel = (/** @type {number} */ level) => {
      this.level = Math.min(LEVELS.max, Math.max(LEVELS.min, Number(level.toFixed(2))));
      slider.value = String(this.level);
      if (document.activeElement !== number) number.value = String(this.level);
      this.schedule(false);
    };
    slider.addEventListener("input", () => this.setLevel(Number(slider.value)));
    number.addEventListener("input", () => number.value && Number.isFinite(Number(number.value)) && this.setLevel(Number(number.value)));
    const help = `Drag or arrow keys: turn. Wheel or + −: zoom. Page ↑ ↓: level. Home: first view.${scene.second ? " Both surfaces enclose the same volume." : ""}`;
    const controls = h("div", { class: "surface-controls" }, h("label", {}, "Level", slider, number, "σ"), h("span", { class: "small" }, help));
    this.element = h("div", { class: "surface-stage", hidden: true }, h("div", { class: "surface-views" }, this.views.map(({ element }) => element)), controls);
    for (const { canvas } of this.views) this.listen(canvas);
    scene.onChange(() => this.schedule(false));
  }

  async show() {
    if (!this.loaded) {
      await attempt(async () => {
        const { fraction } = this.scene;
        const voxels = fraction ? await getSurface(fraction.files) : null;
        await Promise.all(this.views.map((view) => view.load(voxels && scaledToFractions(voxels))));
        this.loaded = true;
        const observer = new ResizeObserver(() => this.schedule(false));
        for (const { canvas } of this.views) observer.observe(canvas);
      });
    }
    this.schedule(false);
  }

  /** @param {boolean} moving */
  schedule(moving) {
    if (this.scheduled || !this.loaded || this.element.hidden) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      this.scheduled = false;
      this.draw(moving);
    });
  }

  /** @param {boolean} moving */
  draw(moving) {
    const negative = this.level < 0; // surface of dark density, as in tomograms
    const [first, second] = this.views;
    const levels = [first.levelAt(this.level)];
    if (second?.surface && first.counts && second.counts) {
      const enclosed = enclosedVoxels(first.counts, levels[0], negative);
      levels.push(levelEnclosing(second.counts, enclosed, negative));
    }
    this.views.forEach((view, number) => {
      const level = levels[number];
      view.caster?.draw({ camera: this.camera, level, negative, coloured: this.scene.fractionShown, moving });
      view.describe(level, negative);
      view.canvas.dataset.drawn = String(this.level);
    });
  }

  /**
   * Turn the surfaces about the axes of the screen, in radians.
   *
   * @param {number} x
   * @param {number} y
   * @param {boolean} moving
   */
  turn(x, y, moving) {
    this.camera.orientation = product(this.camera.orientation, rotation(-x, -y));
    this.schedule(moving);
  }

  /** @param {number} factor */
  zoomBy(factor) {
    this.camera.zoom = Math.min(ZOOMS[1], Math.max(ZOOMS[0], this.camera.zoom * factor));
    this.schedule(false);
  }

  /** @param {HTMLCanvasElement} canvas */
  listen(canvas) {
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons) this.turn(event.movementY * RADIANS_PER_PIXEL, event.movementX * RADIANS_PER_PIXEL, true);
    });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointerup", () => this.schedule(false));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(ZOOM_STEP ** Math.sign(event.deltaY));
    });
  }

  /**
   * Handle a key; returns whether it has a meaning here.
   *
   * @param {KeyboardEvent} event
   */
  onKey({ key }) {
    if (TURNS[key]) this.turn(-TURNS[key][0] * RADIANS_PER_KEY, -TURNS[key][1] * RADIANS_PER_KEY, false);
    else if (LEVEL_STEPS[key]) this.setLevel(this.level + LEVEL_STEPS[key]);
    else if (key === "+" || key === "=") this.zoomBy(1 / ZOOM_STEP);
    else if (key === "-") this.zoomBy(ZOOM_STEP);
    else if (key === "Home" || key === "0") {
      this.camera = initialCamera();
      this.schedule(false);
    } else return false;
    return true;
  }
}

/**
 * Inferred fractions on a scale from 0 to 1, whatever range the map has.
 *
 * @param {import("../api.js").SurfaceVoxels} surface
 * @returns {import("../api.js").SurfaceVoxels}
 */
function scaledToFractions(surface) {
  const { low, high, voxels } = surface;
  const scaled = voxels.map((value) => Math.min(255, Math.max(0, Math.round(255 * low + value * (high - low)))));
  return { ...surface, voxels: scaled };
}
