// One pane of the viewer: a plane of the volume, with the second volume, mask, crosshair and contours over it.

import { h, s } from "./dom.js";
import { imageLoader } from "./viewer_image.js";
import { PLANES } from "./viewer_scene.js";

const COLOURS = { z: "#5aa9ff", y: "#6fe0a3", x: "#ff8f8f" };

export class Pane {
  constructor(axis, scene, boundary) {
    Object.assign(this, { axis, scene, boundary });
    [this.right, this.up] = PLANES[axis];
    const { volume, second, mask } = scene;
    const image = (alt) => h("img", { alt, draggable: "false" });
    this.image = image(`${this.right}${this.up} slice`);
    this.secondImage = second && image("after");
    this.maskImage = mask && image("mask");
    this.marks = s("svg", { preserveAspectRatio: "none", viewBox: `0 0 ${volume.count(this.right)} ${volume.count(this.up)}` });
    this.label = h("span", { class: "tag" });
    this.divider = second && h("div", { class: "divider", role: "slider", "aria-label": "Before and after" });
    const afterLabel = second && h("span", { class: "tag right" }, "after");
    this.element = h(
      "div",
      { class: "pane", "data-axis": axis },
      this.images,
      this.marks,
      this.label,
      afterLabel,
      this.divider,
    );
    this.loadImage = imageLoader(this.image, (url) => (this.element.dataset.shown = url));
    this.loadSecond = this.secondImage && imageLoader(this.secondImage);
    this.loadMask = this.maskImage && imageLoader(this.maskImage);
  }

  get images() {
    return [this.image, this.secondImage, this.maskImage].filter(Boolean);
  }

  place({ left, top, width, height }, smooth) {
    Object.assign(this.element.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
    for (const image of this.images) image.classList.toggle("smooth", smooth);
  }

  refresh() {
    const { scene, axis } = this;
    const { volume, second, mask, position, thickness, powerSpectrum } = scene;
    const kind = powerSpectrum ? "power" : "slice";
    this.loadImage(volume.picture(kind, axis, position[axis], thickness));
    this.loadSecond?.(second.picture(kind, axis, position[axis], thickness));
    if (mask) {
      const maskShown = scene.maskShown && !powerSpectrum;
      this.maskImage.hidden = !maskShown;
      if (maskShown) this.loadMask(mask.picture("overlay", axis, position[axis], 1));
    }
    const plane = [this.right, this.up].sort().join("").toUpperCase();
    this.label.textContent = powerSpectrum
      ? `power spectrum k${this.right}, k${this.up}`
      : `${plane}   ${axis} ${position[axis] + 1} / ${volume.count(axis)}${second ? "   before" : ""}`;
    this.drawMarks();
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
    if (this.axis === "z") this.marks.append(...this.boundary.draw(this.element.clientWidth));
  }

  showDivider() {
    if (!this.divider) return;
    const percent = 100 * this.scene.dividerFraction;
    this.secondImage.style.clipPath = `inset(0 0 0 ${percent}%)`;
    this.divider.style.left = `${percent}%`;
  }

  /** Position of an event in fractions of the pane, from the left and from the bottom. */
  fractionAt(event) {
    const box = this.element.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, 1 - (event.clientY - box.top) / box.height];
  }

  /** Position of an event in voxels along the two axes of the pane. */
  voxelAt(event) {
    const [fx, fy] = this.fractionAt(event);
    const { volume } = this.scene;
    return { [this.right]: fx * volume.count(this.right) - 0.5, [this.up]: fy * volume.count(this.up) - 0.5 };
  }

  pixelAt(event) {
    const box = this.element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  /** Pixels of a position in voxels along the two axes of the pane. */
  toPixels(right, up) {
    const box = this.element.getBoundingClientRect();
    const { volume } = this.scene;
    return [((right + 0.5) / volume.count(this.right)) * box.width, (1 - (up + 0.5) / volume.count(this.up)) * box.height];
  }
}
