// One pane of the viewer: a plane of a volume, with what is laid over it: second volume, mask, crosshair, contours.

import { h, s } from "../dom.js";
import { FRACTION_FILTER } from "./fraction_colours.js";
import { imageLoader } from "./image.js";
import { zoomedPlane } from "./layout.js";
import { scaleBar } from "./scale_bar.js";
import { spectrumMarks } from "./spectrum.js";
import { PLANES } from "./volume.js";

/** @typedef {import("./volume.js").Axis} Axis */
/** @typedef {import("./scene.js").Scene} Scene */
/** @typedef {import("./layout.js").Box} Box */

const COLOURS = { z: "#5aa9ff", y: "#6fe0a3", x: "#ff8f8f" };
const MAX_TRANSFORM_PIXELS = 1024; // of larger planes, the centre is transformed

/**
 * @param {HTMLImageElement | null} image
 * @param {(url: string) => void} [onShown]
 */
const loader = (image, onShown) => (image ? imageLoader(image, onShown) : null);

export class Pane {
  /**
   * @param {Axis} axis
   * @param {Scene} scene
   * @param {import("./boundary.js").Boundary} boundary
   * @param {number} number 0: the first volume; 1: the second one, beside it
   */
  constructor(axis, scene, boundary, number) {
    this.axis = axis;
    this.scene = scene;
    this.boundary = boundary;
    this.number = number;
    this.right = PLANES[axis][0];
    this.up = PLANES[axis][1];
    const { volume, second, mask, fraction } = scene;
    const image = (/** @type {string} */ alt) => h("img", { alt, draggable: "false" });
    const overlaid = number === 0 ? second : null;
    this.image = image(`${this.right}${this.up} slice`);
    this.secondImage = overlaid && image("after");
    this.fractionImage = fraction && image("inferred fraction");
    if (this.fractionImage) this.fractionImage.style.filter = `url(#${FRACTION_FILTER})`;
    this.fractionImage?.classList.add("fraction");
    this.maskImage = mask && image("mask");
    this.marks = s("svg", { preserveAspectRatio: "none", viewBox: `0 0 ${volume.count(this.right)} ${volume.count(this.up)}` });
    this.spectrum = s("svg", { class: "spectrum" });
    this.content = h("div", { class: "content" }, this.images, this.marks);
    this.label = h("span", { class: "tag" });
    this.divider = overlaid && h("div", { class: "divider", role: "slider", tabindex: 0, "aria-label": "Before and after", "aria-valuemin": 0, "aria-valuemax": 100 });
    this.afterLabel = overlaid && h("span", { class: "tag right" }, "after");
    this.bar = scaleBar();
    this.element = h(
      "div",
      { class: "pane", "data-axis": axis, "data-volume": number, tabindex: 0, role: "group", "aria-label": `${this.planeName} plane` },
      this.content,
      this.spectrum,
      this.label,
      this.afterLabel,
      this.bar.element,
      this.divider,
    );
    this.width = 0;
    this.height = 0;
    this.loadImage = loader(this.image, (url) => (this.element.dataset.shown = url));
    this.loadSecond = loader(this.secondImage);
    this.loadFraction = loader(this.fractionImage);
    this.loadMask = loader(this.maskImage);
  }

  get planeName() {
    return [this.right, this.up].sort().join("").toUpperCase();
  }

  get images() {
    return [this.image, this.secondImage, this.fractionImage, this.maskImage].filter((image) => image !== null);
  }

  /** Whether the second volume lies over the first one. */
  get overlaid() {
    return Boolean(this.divider) && !this.scene.sideBySide;
  }

  /** Position of the whole plane relative to the pane, in pixels. */
  get planeBox() {
    const { scene, right, up, width, height } = this;
    if (scene.powerSpectrum) return { left: 0, top: 0, width, height };
    const counts = /** @type {[number, number]} */ ([scene.volume.count(right), scene.volume.count(up)]);
    return zoomedPlane({ width, height }, scene.zoom, [scene.centre[right], scene.centre[up]], counts);
  }

  /** @param {Box} box */
  place({ left, top, width, height }) {
    this.width = width;
    this.height = height;
    Object.assign(this.element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  }

  refresh() {
    if (this.element.hidden) return;
    const { scene, axis } = this;
    const { position, thickness, powerSpectrum, second, mask, fraction } = scene;
    const volume = this.number === 1 && second ? second : scene.volume;
    const kind = powerSpectrum ? "power" : "slice";
    this.loadImage?.(volume.picture(kind, axis, position[axis], thickness));
    if (this.secondImage && second) {
      this.secondImage.hidden = !this.overlaid;
      if (this.overlaid) this.loadSecond?.(second.picture(kind, axis, position[axis], thickness));
    }
    if (this.fractionImage && fraction) {
      this.fractionImage.hidden = !scene.fractionShown || powerSpectrum;
      if (!this.fractionImage.hidden) this.loadFraction?.(fraction.picture("slice", axis, position[axis], thickness));
    }
    if (this.maskImage && mask) {
      this.maskImage.hidden = !scene.maskShown || powerSpectrum;
      if (!this.maskImage.hidden) this.loadMask?.(mask.picture("overlay", axis, position[axis], 1));
    }
    const which = second && (scene.sideBySide ? ["before", "after"][this.number] : "before");
    this.label.textContent = powerSpectrum
      ? `k${this.right}, k${this.up}${which ? `   ${which}` : ""}`
      : `${this.planeName}   ${axis} ${position[axis] + 1} / ${scene.volume.count(axis)}${which ? `   ${which}` : ""}`;
    this.element.classList.toggle("active", scene.activeAxis === axis && !powerSpectrum);
    this.drawPlane();
  }

  /** Draw what depends on zoom and crosshair, but needs no new picture. */
  drawPlane() {
    const { scene, content } = this;
    const { left, top, width, height } = this.planeBox;
    Object.assign(content.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    const pixelsPerVoxel = width / scene.volume.count(this.right);
    for (const image of this.images) image.classList.toggle("smooth", pixelsPerVoxel < 1 || scene.powerSpectrum);
    this.bar.draw(scene.powerSpectrum || !scene.volume.voxelSize ? null : scene.volume.voxelSize / pixelsPerVoxel);
    this.drawMarks();
    this.drawSpectrum();
    this.showDivider();
  }

  drawMarks() {
    const { volume, position, powerSpectrum } = this.scene;
    this.marks.replaceChildren();
    if (powerSpectrum) return;
    const [width, height] = [volume.count(this.right), volume.count(this.up)];
    const [x, y] = [position[this.right] + 0.5, height - position[this.up] - 0.5];
    const thin = { "stroke-width": 1, "vector-effect": "non-scaling-stroke", "stroke-opacity": 0.75 };
    this.marks.append(
      s("line", { x1: x, x2: x, y1: 0, y2: height, stroke: COLOURS[this.right], ...thin }),
      s("line", { x1: 0, x2: width, y1: y, y2: y, stroke: COLOURS[this.up], ...thin }),
    );
    if (this.axis === "z") this.marks.append(...this.boundary.draw(this.content.clientWidth));
  }

  drawSpectrum() {
    const { scene, right, up, width } = this;
    this.spectrum.replaceChildren();
    if (!scene.powerSpectrum) return;
    const pixels = /** @type {[number, number]} */ ([right, up].map((axis) => Math.min(MAX_TRANSFORM_PIXELS, scene.volume.count(axis))));
    const { tiltRange } = scene;
    this.spectrum.append(...spectrumMarks({ edge: width, right, up, pixels, voxelSize: scene.volume.voxelSize, tiltRange }));
  }

  showDivider() {
    const { divider, secondImage, afterLabel } = this;
    if (!divider || !secondImage || !afterLabel) return;
    divider.hidden = afterLabel.hidden = !this.overlaid;
    const { left, width } = this.planeBox;
    const x = this.scene.dividerFraction * this.width;
    secondImage.style.clipPath = `inset(0 0 0 ${Math.max(0, ((x - left) / (width || 1)) * 100)}%)`;
    divider.style.left = `${x}px`;
    divider.setAttribute("aria-valuenow", String(Math.round(100 * this.scene.dividerFraction)));
  }

  /**
   * Position of an event in pixels from the left and the top of the pane.
   *
   * @param {MouseEvent} event
   * @returns {[number, number]}
   */
  pixelAt(event) {
    const { left, top } = this.element.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  }

  /**
   * Position of an event in voxels along the two axes of the pane.
   *
   * @param {MouseEvent} event
   * @returns {Partial<import("./volume.js").Voxel>}
   */
  voxelAt(event) {
    const [x, y] = this.pixelAt(event);
    const { left, top, width, height } = this.planeBox;
    const { volume } = this.scene;
    return {
      [this.right]: ((x - left) / width) * volume.count(this.right) - 0.5,
      [this.up]: (1 - (y - top) / height) * volume.count(this.up) - 0.5,
    };
  }

  /**
   * Position of an event on a power spectrum, in units of Nyquist.
   *
   * @param {MouseEvent} event
   * @returns {[number, number]}
   */
  frequencyAt(event) {
    const [x, y] = this.pixelAt(event);
    return [(2 * x) / this.width - 1, 1 - (2 * y) / this.height];
  }

  /**
   * Pixels of a position in voxels along the two axes of the pane.
   *
   * @param {number} right
   * @param {number} up
   * @returns {[number, number]}
   */
  toPixels(right, up) {
    const { left, top, width, height } = this.planeBox;
    const { volume } = this.scene;
    return [left + ((right + 0.5) / volume.count(this.right)) * width, top + (1 - (up + 0.5) / volume.count(this.up)) * height];
  }
}
