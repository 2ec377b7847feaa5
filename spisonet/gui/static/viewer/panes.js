// The panes of the viewer: their layout, and what the mouse and the keyboard do in them.

import { h } from "../dom.js";
import { preload } from "./image.js";
import { GAP, paneLayout, sideBySideLayout, spectrumLayout } from "./layout.js";
import { Pane } from "./pane.js";
import { AXES } from "./volume.js";

/** @typedef {import("./volume.js").Axis} Axis */
/** @typedef {import("./volume.js").Voxel} Voxel */

const LARGE_STEP = 10; // planes
const ZOOM_STEP = 1.25;
const PAN_PIXELS = 40;
const DIVIDER_STEP = 0.02;
const MIDDLE_BUTTON = 1;
const STEPS = /** @type {Record<string, number>} */ ({ ArrowUp: 1, ArrowDown: -1, PageUp: LARGE_STEP, PageDown: -LARGE_STEP, Home: -Infinity, End: Infinity });
const SHIFTS = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] });

export class Panes {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {import("./boundary.js").Boundary} boundary
   * @param {(pane: Pane, event: MouseEvent) => void} onPoint called as the pointer moves over a pane
   */
  constructor(scene, boundary, onPoint) {
    this.scene = scene;
    this.boundary = boundary;
    this.onPoint = onPoint;
    this.panes = scene.compared.flatMap((_, number) => AXES.map((axis) => new Pane(axis, scene, boundary, number)));
    this.element = h("div", { class: "panes", id: "panes" }, this.panes.map(({ element }) => element));
    /** @type {((event: PointerEvent) => void) | null} what the pressed pointer moves */
    this.drag = null;
    this.panes.forEach((pane) => this.listen(pane));
    scene.onChange(() => this.refresh());
  }

  refresh() {
    this.panes.forEach((pane) => pane.refresh());
  }

  layout() {
    const [width, height] = [this.element.clientWidth - 2 * GAP, this.element.clientHeight - 2 * GAP];
    if (width <= 0 || height <= 0) return;
    const { volume, powerSpectrum, sideBySide } = this.scene;
    const arrange = sideBySide ? sideBySideLayout : paneLayout;
    const { boxes } = powerSpectrum ? spectrumLayout(volume.shape, width, height, sideBySide ? 2 : 1) : arrange(volume.shape, width, height);
    for (const pane of this.panes) {
      const box = boxes[pane.number]?.[pane.axis];
      pane.element.hidden = !box;
      if (box) pane.place(box);
    }
    this.refresh();
  }

  /** @param {Pane} pane */
  listen(pane) {
    const { element } = pane;
    const activate = () => this.activate(pane.axis);
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.ctrlKey) this.scene.zoomBy(ZOOM_STEP ** -Math.sign(event.deltaY), pane.voxelAt(event));
      else this.step(pane.axis, -Math.sign(event.deltaY) * (event.shiftKey ? LARGE_STEP : 1));
    });
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.press(pane, event);
    });
    element.addEventListener("pointermove", (event) => {
      this.onPoint(pane, event);
      if (event.buttons) this.drag?.(event);
    });
    element.addEventListener("pointerup", () => (this.drag = null));
    element.addEventListener("contextmenu", (event) => this.boundary.editing && event.preventDefault());
    element.addEventListener("pointerenter", activate);
    element.addEventListener("focus", activate);
  }

  /** @param {Axis} axis */
  activate(axis) {
    this.scene.activeAxis = axis;
    for (const pane of this.panes) pane.element.classList.toggle("active", pane.axis === axis && !this.scene.powerSpectrum);
  }

  /**
   * @param {Pane} pane
   * @param {PointerEvent} event
   */
  press(pane, event) {
    const { scene } = this;
    this.drag = null;
    if (pane.divider && event.target === pane.divider) {
      this.drag = (moved) => this.moveDivider(pane.pixelAt(moved)[0] / pane.width);
    } else if (event.button === MIDDLE_BUTTON || event.shiftKey) {
      event.preventDefault();
      this.drag = this.panning(pane, event);
    } else if (this.boundary.editing && pane.axis === "z") {
      const point = this.boundary.press(pane, event);
      if (!point) return;
      this.drag = (moved) => {
        const { x = 0, y = 0 } = pane.voxelAt(moved);
        [point[0], point[1]] = [x, y];
        pane.drawMarks();
      };
    } else if (!scene.powerSpectrum) {
      this.drag = (moved) => scene.moveTo(pane.voxelAt(moved));
      this.drag(event);
    }
  }

  /**
   * Returns what moves the content of the panes with the pointer.
   *
   * @param {Pane} pane
   * @param {PointerEvent} pressed
   */
  panning(pane, pressed) {
    let last = pane.voxelAt(pressed);
    return (/** @type {PointerEvent} */ moved) => {
      const now = pane.voxelAt(moved);
      this.scene.panBy({ [pane.right]: (last[pane.right] ?? 0) - (now[pane.right] ?? 0), [pane.up]: (last[pane.up] ?? 0) - (now[pane.up] ?? 0) });
      last = pane.voxelAt(moved);
    };
  }

  /** @param {number} fraction */
  moveDivider(fraction) {
    this.scene.dividerFraction = Math.min(1, Math.max(0, fraction));
    this.panes.forEach((pane) => pane.showDivider());
  }

  /**
   * Go to another plane, and load those on both sides of it for the next step.
   *
   * @param {Axis} axis
   * @param {number} planes
   */
  step(axis, planes) {
    const { scene } = this;
    scene.moveTo({ [axis]: scene.clamp(axis, scene.position[axis] + planes) });
    if (scene.powerSpectrum || !Number.isFinite(planes)) return;
    for (const offset of [1, -1]) {
      const next = scene.clamp(axis, scene.position[axis] + offset);
      for (const volume of scene.compared) preload(volume.picture("slice", axis, next, scene.thickness));
    }
  }

  /**
   * Handle a key; returns whether it has a meaning here.
   *
   * @param {KeyboardEvent} event
   */
  onKey(event) {
    const { scene } = this;
    const { key } = event;
    const onDivider = event.target instanceof Element && event.target.matches(".divider");
    const sideways = key === "ArrowLeft" ? -1 : key === "ArrowRight" ? 1 : 0;
    if (key === "+" || key === "=") scene.zoomBy(ZOOM_STEP);
    else if (key === "-") scene.zoomBy(1 / ZOOM_STEP);
    else if (key === "0") scene.resetZoom();
    else if (event.ctrlKey && SHIFTS[key]) this.pan(SHIFTS[key]);
    else if (sideways && (onDivider || scene.second)) this.moveDivider(scene.dividerFraction + sideways * DIVIDER_STEP);
    else if (STEPS[key]) this.step(scene.activeAxis, STEPS[key] * (event.shiftKey && key.startsWith("Arrow") ? LARGE_STEP : 1));
    else return false;
    return true;
  }

  /** @param {[number, number]} direction to the right and up */
  pan([right, up]) {
    const pane = this.panes.find(({ axis, element }) => axis === this.scene.activeAxis && !element.hidden);
    if (!pane) return;
    const voxels = (PAN_PIXELS / pane.planeBox.width) * this.scene.volume.count(pane.right);
    this.scene.panBy({ [pane.right]: right * voxels, [pane.up]: up * voxels });
  }
}
