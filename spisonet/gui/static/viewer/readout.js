// Coordinates and densities under the pointer, or the resolution on a power spectrum.

import { h } from "../dom.js";
import { latestOnly } from "./image.js";
import { lengthsText } from "./scale_bar.js";
import { resolutionAt } from "./spectrum.js";
import { AXES } from "./volume.js";

/** @typedef {import("./volume.js").Voxel} Voxel */

const DISPLAYED_AXES = AXES.slice().reverse();

/** @param {number | null} density */
const densityText = (density) => (density === null ? "not finite" : String(Number(density.toPrecision(4))));

/**
 * @param {import("./scene.js").Scene} scene
 */
export function readout(scene) {
  const { volume, second, fraction } = scene;
  const rows = new Map();
  const list = h("dl", { class: "properties", id: "readout" });
  for (const name of ["Voxel", "Position", second ? "Before" : "Density", second && "After", fraction && "Inferred"]) {
    if (!name) continue;
    const value = h("dd", {}, "–");
    rows.set(name, value);
    list.append(h("dt", {}, name), value);
  }
  const showDensities = latestOnly(async (/** @type {Voxel} */ voxel) => {
    const volumes = [volume, second, fraction].filter((each) => each !== null);
    try {
      const densities = await Promise.all(volumes.map(async (each) => ({ each, density: await each.density(voxel) })));
      for (const { each, density } of densities) {
        const inSigma = density === null ? "" : ` (${each.inSigma(density).toFixed(1)} σ)`;
        const name = each === fraction ? "Inferred" : each === second ? "After" : second ? "Before" : "Density";
        rows.get(name).textContent = each === fraction ? (density === null ? "–" : `${Math.round(100 * density)} %`) : `${densityText(density)}${inSigma}`;
      }
    } catch {
      // The file has changed or the connection is lost; the picture says so.
    }
  });

  /**
   * @param {import("./pane.js").Pane} pane
   * @param {MouseEvent} event
   */
  function point(pane, event) {
    const { voxelSize } = volume;
    if (scene.powerSpectrum) {
      const resolution = voxelSize ? resolutionAt(pane.frequencyAt(event), voxelSize) : null;
      rows.get("Voxel").textContent = "–";
      rows.get("Position").textContent = resolution ? `${resolution.toPrecision(3)} Å (resolution)` : "–";
      return;
    }
    const at = pane.voxelAt(event);
    const voxel = { ...scene.position };
    for (const axis of AXES) if (at[axis] !== undefined) voxel[axis] = scene.clamp(axis, Math.round(at[axis]));
    rows.get("Voxel").textContent = DISPLAYED_AXES.map((axis) => voxel[axis] + 1).join(", ");
    rows.get("Position").textContent = voxelSize ? lengthsText(DISPLAYED_AXES.map((axis) => voxel[axis] * voxelSize)) : "–";
    showDensities(voxel);
  }
  return { section: [h("h2", {}, "Under the pointer (x, y, z)"), list], point };
}
