// View page: slices of volumes with before and after, power spectrum, mask, boundary and surface.

import { browse } from "./files.js";
import { attempt, h } from "./dom.js";
import { Boundary } from "./viewer_boundary.js";
import { sidePanel } from "./viewer_panel.js";
import { Panes } from "./viewer_panes.js";
import { Scene } from "./viewer_scene.js";
import { drawSurface } from "./viewer_surface.js";

const THICKNESSES = [1, 3, 5, 9, 17]; // planes
const INITIAL_THRESHOLD = 2; // standard deviations above the mean

/** A surface, drawn when it is first shown. Returns { element, show }. */
function surfaceStage(volume) {
  const canvas = h("canvas", { class: "surface", id: "surface" });
  const slider = { type: "range", min: -6, max: 8, step: 0.1, value: INITIAL_THRESHOLD, "aria-label": "Threshold", id: "level" };
  const threshold = h("input", { ...slider, style: { width: "220px" } });
  const text = h("span", { class: "small" });
  let surface = null;
  const update = () => {
    text.textContent = `threshold ${Number(threshold.value).toFixed(1)} σ`;
    surface?.setLevel(Number(threshold.value));
  };
  threshold.addEventListener("input", update);
  update();
  const controls = h("div", { class: "surface-controls" }, threshold, text, h("span", { class: "small quiet" }, "drag to rotate, scroll to zoom"));
  const element = h("div", { class: "surface-stage", hidden: true }, canvas, controls);
  return {
    element,
    show: async () => {
      if (!surface) surface = await attempt(() => drawSurface(canvas, volume.name));
    },
  };
}

/** Buttons above the panes; `go` changes the address of the page, `choose` lets the user select a file for it. */
function toolButtons(scene, panes, boundary, toggleSurface, { go, choose }) {
  const { volume, second, mask } = scene;
  const toggle = (name, text, action) => {
    const button = h("button", { "data-do": name, onclick: () => button.classList.toggle("on", action()) }, text);
    return button;
  };
  const maskButton = mask
    ? toggle("mask", "Mask", () => {
        scene.maskShown = !scene.maskShown;
        scene.changed();
        return scene.maskShown;
      })
    : h("button", { onclick: () => choose("mask", "Mask to overlay") }, "Mask …");
  if (mask) maskButton.classList.add("on");
  const thickness = h(
    "select",
    {
      "aria-label": "Thickness",
      onchange: () => {
        scene.thickness = Number(thickness.value);
        scene.changed();
      },
    },
    THICKNESSES.map((n) => h("option", { value: n }, `${n} plane${n > 1 ? "s" : ""}`)),
  );
  const compare = second ? () => go({ second: undefined }) : () => choose("second", "Compare with");
  return [
    h("span", { class: "name mono", title: volume.name }, volume.name),
    second ? h("span", { class: "name mono", title: second.name }, `↔ ${second.name}`) : "",
    h("button", { "data-do": "compare", onclick: compare }, second ? "End comparison" : "Compare with …"),
    maskButton,
    toggle("power", "Power spectrum", () => {
      scene.powerSpectrum = !scene.powerSpectrum;
      panes.layout();
      scene.changed();
      return scene.powerSpectrum;
    }),
    thickness,
    toggle("boundary", "Boundary", () => {
      boundary.toggleEditing();
      return boundary.editing;
    }),
    toggle("surface", "Surface", toggleSurface),
  ];
}

export async function showViewer({ main, values, onLeave, pageAddress }) {
  main.classList.add("viewing");
  const go = (changes) => (location.hash = pageAddress("view", { ...values, ...changes }));
  const choose = async (key, text) => {
    const found = await browse({ title: text, kinds: ["volume"] });
    if (found?.names.length) go({ [key]: found.names[0] });
  };
  const openButton = h("button", { "data-do": "open", onclick: () => choose("name", "Open a map or tomogram") }, "Open");
  const tools = h("div", { class: "tools" }, openButton);
  const stage = h("div", { class: "stage" });
  main.append(tools, stage);
  if (!values.name) {
    stage.append(h("div", { class: "empty" }, h("p", {}, "Open a map or a tomogram to view its slices. Only the planes on the screen are read, whatever the size of the file.")));
    return;
  }

  const scene = await Scene.open(values);
  const boundary = await Boundary.open(scene, values);
  const panes = new Panes(scene, boundary);
  const panel = sidePanel(scene, boundary);
  const surface = surfaceStage(scene.second ?? scene.volume);
  const toggleSurface = () => {
    const shown = surface.element.hidden;
    surface.element.hidden = !shown;
    panel.hidden = panes.element.hidden = shown;
    if (shown) surface.show();
    else panes.layout();
    return shown;
  };
  tools.append(...toolButtons(scene, panes, boundary, toggleSurface, { go, choose }));

  const onKey = (event) => panes.onKey(event);
  window.addEventListener("keydown", onKey);
  onLeave(() => window.removeEventListener("keydown", onKey));
  stage.append(panes.element, surface.element, panel);
  const observer = new ResizeObserver(() => panes.layout());
  observer.observe(panes.element);
  onLeave(() => observer.disconnect());
  panes.layout();
  scene.changed();
}
