// Boundary of the specimen: contours that the user draws on the XY planes, saved as an IMOD model.

import { get, post } from "../api.js";
import { attempt, h, notify, s } from "../dom.js";

const COLOUR = "#ffd166";
const HIT_PIXELS = 9;
const RIGHT_BUTTON = 2;

/** @typedef {[number, number, number]} Point x, y and z in voxels */
/** @typedef {{ distance: number, contour: number, index: number, point: Point }} Hit */

export class Boundary {
  /**
   * @param {import("./scene.js").Scene} scene
   * @param {Point[][]} contours
   * @param {{ boundary?: string, star?: string }} target the file to write, and the table to enter it into
   */
  constructor(scene, contours, target) {
    this.scene = scene;
    this.contours = contours;
    this.target = target;
    this.editing = false;
    this.current = -1; // contour that grows with each click
    this.text = h("p", { class: "small", id: "contour-text" });
    this.opened = target.boundary?.endsWith(".mod") ? target.boundary : ""; // the file that is replaced
    /** @type {Promise<void> | null} */
    this.naming = null;
    this.fileName = h("input", { type: "text", "aria-label": "Boundary file", value: this.opened, style: { width: "100%" } });
    this.panel = h(
      "div",
      { hidden: true },
      h("h2", {}, "Boundary"),
      this.text,
      h(
        "div",
        { class: "row" },
        h("button", { onclick: () => this.beginContour() }, "New contour"),
        h("button", { onclick: () => this.clear() }, "Clear"),
      ),
      h("p", {}, this.fileName),
      h("button", { "data-do": "save-boundary", onclick: () => this.save() }, "Save IMOD model"),
    );
  }

  /**
   * @param {import("./scene.js").Scene} scene
   * @param {{ boundary?: string, star?: string }} target
   */
  static async open(scene, target) {
    const drawn = { name: target.boundary, volume: scene.volume.name };
    const contours = target.boundary ? await attempt(() => get("boundary", drawn)) : null;
    // A file that cannot be read is not shown, and thus must not be replaced.
    return new Boundary(scene, contours ?? [], contours ? target : { star: target.star });
  }

  get closedContours() {
    return this.contours.filter((contour) => contour.length > 2);
  }

  toggleEditing() {
    this.editing = !this.editing;
    this.naming ??= this.proposeName();
    this.panel.hidden = !this.editing;
    this.changed();
  }

  async proposeName() {
    if (this.opened) return;
    const name = await attempt(() => get("boundary/proposal", { name: this.scene.volume.name }));
    if (name && !this.fileName.value) this.fileName.value = name;
  }

  changed() {
    const number = this.closedContours.length;
    this.text.textContent = number
      ? `${number} closed contour${number > 1 ? "s" : ""}. A single contour applies to all planes. With several, the nearest applies, between the lowest and the highest.`
      : "Click around the specimen in the XY plane. Drag points to move them; right-click to remove one.";
    this.scene.changed();
  }

  beginContour() {
    this.current = -1;
    notify("The next click starts a contour.");
  }

  clear() {
    this.contours.length = 0;
    this.current = -1;
    this.changed();
  }

  /**
   * Handle a click on the XY plane; returns the point to drag, or null.
   *
   * @param {import("./pane.js").Pane} pane
   * @param {PointerEvent} event
   */
  press(pane, event) {
    const hit = this.nearestPoint(pane, event);
    if (event.button === RIGHT_BUTTON) {
      if (hit) this.removePoint(hit);
      return null;
    }
    const point = hit ? hit.point : this.addPoint(pane.voxelAt(event));
    if (hit) this.current = hit.contour;
    this.changed();
    return point;
  }

  /**
   * @param {import("./pane.js").Pane} pane
   * @param {PointerEvent} event
   */
  nearestPoint(pane, event) {
    const [px, py] = pane.pixelAt(event);
    /** @type {Hit[]} */
    const hits = [];
    this.contours.forEach((points, contour) => {
      points.forEach((point, index) => {
        if (Math.round(point[2]) !== this.scene.position.z) return;
        const [x, y] = pane.toPixels(point[0], point[1]);
        const distance = Math.hypot(x - px, y - py);
        if (distance < HIT_PIXELS) hits.push({ distance, contour, index, point });
      });
    });
    return hits.sort((a, b) => a.distance - b.distance)[0] ?? null;
  }

  /** @param {Partial<import("./volume.js").Voxel>} position */
  addPoint({ x = 0, y = 0 }) {
    const { z } = this.scene.position;
    const onThisPlane = this.current >= 0 && Math.round(this.contours[this.current]?.[0]?.[2] ?? -1) === z;
    if (!onThisPlane) {
      this.contours.push([]);
      this.current = this.contours.length - 1;
    }
    /** @type {Point} */
    const point = [x, y, z];
    this.contours[this.current].push(point);
    return point;
  }

  /** @param {Hit} hit */
  removePoint({ contour, index }) {
    this.contours[contour].splice(index, 1);
    if (!this.contours[contour].length) {
      this.contours.splice(contour, 1);
      this.current = -1;
    }
    this.changed();
  }

  /**
   * SVG elements of the contours.
   *
   * @param {number} paneWidth of the whole plane, in pixels
   */
  draw(paneWidth) {
    const [, ny, nx] = this.scene.volume.shape;
    const radius = (HIT_PIXELS * 0.5 * nx) / (paneWidth || 1);
    return this.contours
      .filter((contour) => contour.length > 0)
      .map((contour) => {
        const onThisPlane = Math.round(contour[0][2]) === this.scene.position.z;
        const points = contour.map(([x, y]) => [x + 0.5, ny - y - 0.5]);
        const line = {
          fill: onThisPlane ? `${COLOUR}22` : "none",
          stroke: COLOUR,
          "stroke-width": 2,
          "vector-effect": "non-scaling-stroke",
          "stroke-opacity": onThisPlane ? 1 : 0.35,
        };
        return s(
          "g",
          { class: "contour" },
          s("polygon", { points: points.map((point) => point.join(",")).join(" "), ...line }),
          this.editing && onThisPlane && points.map(([x, y]) => s("circle", { cx: x, cy: y, r: radius, fill: COLOUR })),
        );
      });
  }

  async save() {
    await this.naming;
    const name = this.fileName.value;
    const { star } = this.target;
    const volume = this.scene.volume.name;
    await attempt(async () => {
      // Find the row by its files, because rows may have been removed since this page was opened.
      const table = star ? await get("table", { name: star }) : null;
      const row = table?.rows.find((/** @type {any} */ { files }) => Object.values(files).some((file) => file.name === volume));
      const other = table?.rows.find((/** @type {any} */ each) => each !== row && each.files.boundary?.name === name);
      if (other) throw new Error(`${name} is already the boundary of ${other.name}; enter another name.`);
      const saved = await post("boundary", { name, contours: this.closedContours, volume, replaced: this.opened });
      this.opened = saved;
      if (!row) {
        notify(`Saved ${saved}.`);
        return;
      }
      const edit = { row: row.number, column: "rlnMaskBoundary", value: saved, version: table.version };
      await post("table/edit", { name: star, ...edit });
      notify(`Saved ${saved} and entered it in ${star}. Next, make a mask.`);
    });
  }
}
