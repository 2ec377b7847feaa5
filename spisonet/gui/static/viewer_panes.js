// The three panes of the viewer: their layout, and what the mouse and the keyboard do in them.

import { h } from "./dom.js";
import { preload } from "./viewer_image.js";
import { Pane } from "./viewer_pane.js";
import { AXES } from "./viewer_scene.js";

const GAP = 6;
const LARGE_STEP = 10; // planes, with Shift

/** Positions of the panes in an area, in pixels: in a square, or in a row if that makes them larger. */
export function paneLayout([nz, ny, nx], width, height) {
  const square = Math.min((width - GAP) / (nx + nz), (height - GAP) / (ny + nz));
  const inRow = Math.min((width - 2 * GAP) / (2 * nx + nz), height / Math.max(ny, nz));
  const flat = nz === 1;
  const scale = flat ? Math.min(width / nx, height / ny) : Math.max(square, inRow);
  const [x, y, z] = [scale * nx, scale * ny, scale * nz];
  const centred = (available, taken) => GAP + Math.max(0, (available - taken) / 2);
  const box = (left, top, boxWidth, boxHeight) => ({ left, top, width: boxWidth, height: boxHeight });
  if (flat) return { scale, boxes: { z: box(centred(width, x), centred(height, y), x, y) } };
  if (scale > square) {
    const left = centred(width, 2 * x + z + 2 * GAP);
    const top = centred(height, Math.max(y, z));
    const boxes = { z: box(left, top, x, y), x: box(left + x + GAP, top, z, y), y: box(left + x + z + 2 * GAP, top, x, z) };
    return { scale, boxes };
  }
  const left = centred(width, x + z + GAP);
  const top = centred(height, y + z + GAP);
  return { scale, boxes: { z: box(left, top, x, y), y: box(left, top + y + GAP, x, z), x: box(left + x + GAP, top, z, y) } };
}

/** Power spectra are drawn as equal squares in a row; a single plane has only one. */
function spectrumLayout([nz], width, height) {
  const axes = nz === 1 ? ["z"] : AXES;
  const edge = Math.min((width - 2 * GAP) / axes.length, height);
  const boxes = axes.map((axis, index) => [axis, { left: GAP + index * (edge + GAP), top: GAP, width: edge, height: edge }]);
  return { scale: 0, boxes: Object.fromEntries(boxes) };
}

export class Panes {
  constructor(scene, boundary) {
    Object.assign(this, { scene, boundary });
    this.panes = AXES.map((axis) => new Pane(axis, scene, boundary));
    this.element = h("div", { class: "panes", id: "panes" }, this.panes.map(({ element }) => element));
    this.hovered = "z";
    this.drag = null; // what the pressed pointer moves, a function of the event
    this.panes.forEach((pane) => this.listen(pane));
    scene.onChange(() => this.refresh());
  }

  refresh() {
    this.panes.forEach((pane) => pane.refresh());
  }

  layout() {
    const [width, height] = [this.element.clientWidth - 2 * GAP, this.element.clientHeight - 2 * GAP];
    const { volume, powerSpectrum } = this.scene;
    const { scale, boxes } = powerSpectrum ? spectrumLayout(volume.shape, width, height) : paneLayout(volume.shape, width, height);
    for (const pane of this.panes) {
      pane.element.hidden = !boxes[pane.axis];
      if (boxes[pane.axis]) pane.place(boxes[pane.axis], scale < 1);
      pane.drawMarks();
    }
  }

  listen(pane) {
    const { element } = pane;
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.step(pane.axis, -Math.sign(event.deltaY), event.shiftKey);
    });
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      this.press(pane, event);
    });
    element.addEventListener("pointermove", (event) => {
      if (event.buttons) this.drag?.(event);
    });
    element.addEventListener("pointerup", () => (this.drag = null));
    element.addEventListener("contextmenu", (event) => this.boundary.editing && event.preventDefault());
    element.addEventListener("pointerenter", () => (this.hovered = pane.axis));
  }

  press(pane, event) {
    this.drag = null;
    if (pane.divider && event.target === pane.divider) {
      this.drag = (moved) => {
        this.scene.dividerFraction = Math.min(1, Math.max(0, pane.fractionAt(moved)[0]));
        this.panes.forEach((each) => each.showDivider());
      };
    } else if (this.boundary.editing && pane.axis === "z") {
      const point = this.boundary.press(pane, event);
      if (!point) return;
      this.drag = (moved) => {
        const { x, y } = pane.voxelAt(moved);
        [point[0], point[1]] = [x, y];
        pane.drawMarks();
      };
    } else if (!this.scene.powerSpectrum) {
      this.drag = (moved) => this.scene.moveTo(pane.voxelAt(moved));
      this.drag(event);
    }
  }

  /** Go to a neighbouring plane, and load those on both sides of it for the next step. */
  step(axis, direction, large) {
    const { scene } = this;
    scene.moveTo({ [axis]: scene.position[axis] + direction * (large ? LARGE_STEP : 1) });
    if (scene.powerSpectrum) return;
    for (const offset of [1, -1]) {
      preload(scene.volume.picture("slice", axis, scene.clamp(axis, scene.position[axis] + offset), scene.thickness));
    }
  }

  onKey(event) {
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!direction || event.target.matches("input, select, textarea") || document.querySelector("dialog")) return;
    event.preventDefault();
    this.step(this.hovered, direction, event.shiftKey);
  }
}
