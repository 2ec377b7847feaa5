// Side panel of the viewer: contrast, position, readout, overlays, boundary and properties of the file.

import { h, properties, size } from "../dom.js";
import { contrastSection } from "./contrast.js";
import { fractionBar } from "./fraction_colours.js";
import { AXES, sizeText } from "./volume.js";

/** @typedef {import("./scene.js").Scene} Scene */

const KEYS = [
  ["↑ ↓, wheel", "next plane (Shift: ten)"],
  ["Page ↑ ↓", "ten planes"],
  ["Home, End", "first, last plane"],
  ["+ − 0, Ctrl wheel", "zoom"],
  ["Shift drag, Ctrl ←↑↓→", "pan"],
  ["← →", "move the divider"],
];

/** @param {Scene} scene */
function positionSection(scene) {
  const controls = AXES.map((axis) => {
    const slider = h("input", { type: "range", min: 0, max: scene.volume.count(axis) - 1, "aria-label": `Position along ${axis}` });
    slider.addEventListener("input", () => scene.moveTo({ [axis]: Number(slider.value) }));
    return { axis, slider, output: h("output") };
  });
  const zoom = h("output", { id: "zoom" });
  scene.onChange(() => {
    for (const { axis, slider, output } of controls) {
      slider.value = String(scene.position[axis]);
      output.textContent = `${scene.position[axis] + 1} / ${scene.volume.count(axis)}`;
    }
    zoom.textContent = `${Math.round(100 * scene.zoom)} %`;
  });
  return [
    h("h2", {}, "Position"),
    h("div", { class: "position" }, controls.map(({ axis, slider, output }) => [h("span", {}, axis), slider, output])),
    h(
      "div",
      { class: "row zoom" },
      h("button", { "aria-label": "Zoom out", onclick: () => scene.zoomBy(0.5) }, "−"),
      zoom,
      h("button", { "aria-label": "Zoom in", "data-do": "zoom-in", onclick: () => scene.zoomBy(2) }, "+"),
      h("button", { "data-do": "zoom-reset", onclick: () => scene.resetZoom() }, "Whole planes"),
    ),
  ];
}

/** @param {Scene} scene */
function tiltSection(scene) {
  const inputs = [0, 1].map((end) => {
    const input = h("input", { type: "text", inputmode: "decimal", "aria-label": ["Lowest tilt", "Highest tilt"][end] });
    input.addEventListener("change", () => {
      const range = inputs.map(({ value }) => Number(value || NaN));
      scene.tiltRange = range.every((angle) => Number.isFinite(angle) && Math.abs(angle) <= 90) ? [range[0], range[1]] : null;
      scene.changed();
    });
    return input;
  });
  const section = h(
    "div",
    {},
    h("h2", {}, "Tilt range, degrees"),
    h("div", { class: "contrast-numbers" }, inputs),
    h("p", { class: "small" }, "Tilts about y bound the missing wedge in kx, kz (dashed lines)."),
  );
  scene.onChange(() => {
    section.hidden = !scene.powerSpectrum;
    if (!scene.tiltRange || inputs.some((input) => input === document.activeElement)) return;
    inputs.forEach((input, end) => (input.value = String(scene.tiltRange?.[end])));
  });
  return section;
}

/** @param {Scene} scene */
function fractionSection(scene) {
  if (!scene.fraction) return null;
  const section = h("div", {}, h("h2", {}, "Inferred fraction"), fractionBar());
  scene.onChange(() => (section.hidden = !scene.fractionShown));
  return section;
}

/** @param {import("./volume.js").Volume} volume */
function fileSection(volume) {
  const { bytes, type, mean, standard_deviation: deviation } = volume.described;
  return [
    h("h2", {}, "File"),
    properties([
      ["Size", sizeText(volume)],
      ["Voxel size", volume.voxelSize ? `${volume.voxelSize.toPrecision(4)} Å` : "unknown"],
      ["Data type", type],
      ["On disk", size(bytes)],
      ["Mean", mean.toPrecision(4)],
      ["Std. deviation", deviation.toPrecision(4)],
    ]),
  ];
}

const keySection = () =>
  h("details", {}, h("summary", {}, "Keys and mouse"), properties(KEYS.map(([keys, meaning]) => [keys, meaning])), h("p", { class: "small" }, "A click moves the other planes to that point."));

/**
 * @param {Scene} scene
 * @param {import("./boundary.js").Boundary} boundary
 * @param {Node[]} readoutSection
 */
export function sidePanel(scene, boundary, readoutSection) {
  return h(
    "div",
    { class: "panel" },
    contrastSection(scene),
    positionSection(scene),
    tiltSection(scene),
    readoutSection,
    fractionSection(scene),
    boundary.panel,
    fileSection(scene.volume),
    keySection(),
  );
}
