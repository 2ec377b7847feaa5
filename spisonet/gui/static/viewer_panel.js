// Side panel of the viewer: contrast, position, boundary and properties of the file.

import { h, properties, size } from "./dom.js";
import { contrastHistogram } from "./viewer_histogram.js";
import { AXES, sizeText } from "./viewer_scene.js";

const REDRAW_DELAY_MILLISECONDS = 60;

function contrastSection(scene) {
  const { volume } = scene;
  let timer = null;
  const histogram = contrastHistogram(volume, () => {
    scene.matchContrasts();
    clearTimeout(timer);
    timer = setTimeout(() => scene.changed(), REDRAW_DELAY_MILLISECONDS);
  });
  const setContrast = (low, high) => {
    [volume.low, volume.high] = [low, high];
    scene.matchContrasts();
    histogram.draw();
    scene.changed();
  };
  const { mean, standard_deviation: deviation } = volume;
  return [
    h("h2", {}, "Contrast"),
    histogram.element,
    h(
      "div",
      { class: "row", style: { marginTop: "8px" } },
      h("button", { onclick: () => setContrast(...volume.contrast) }, "Auto"),
      h("button", { onclick: () => setContrast(mean - 3 * deviation, mean + 3 * deviation) }, "±3σ"),
      h("button", { "data-do": "invert", onclick: () => setContrast(volume.high, volume.low) }, "Invert"),
    ),
  ];
}

function positionSection(scene) {
  const controls = AXES.map((axis) => {
    const oninput = (event) => scene.moveTo({ [axis]: Number(event.target.value) });
    const slider = h("input", { type: "range", min: 0, max: scene.volume.count(axis) - 1, "aria-label": `Position along ${axis}`, oninput });
    return { axis, slider, output: h("output") };
  });
  scene.onChange(() => {
    for (const { axis, slider, output } of controls) {
      slider.value = scene.position[axis];
      output.textContent = `${scene.position[axis] + 1} / ${scene.volume.count(axis)}`;
    }
  });
  return [
    h("h2", {}, "Position"),
    h("div", { class: "position" }, controls.map(({ axis, slider, output }) => [h("span", {}, axis), slider, output])),
    h("p", { class: "small" }, "Wheel or ↑ ↓: next plane (Shift: ten planes). Click: move the other planes to this point."),
  ];
}

function fileSection(volume) {
  return [
    h("h2", {}, "File"),
    properties([
      ["Size", sizeText(volume)],
      ["Voxel size", volume.voxel_size ? `${volume.voxel_size.toPrecision(4)} Å` : "unknown"],
      ["Data type", volume.type],
      ["On disk", size(volume.bytes)],
      ["Mean", volume.mean.toPrecision(4)],
      ["Std. deviation", volume.standard_deviation.toPrecision(4)],
    ]),
  ];
}

export function sidePanel(scene, boundary) {
  return h("div", { class: "panel" }, contrastSection(scene), positionSection(scene), boundary.panel, fileSection(scene.volume));
}
