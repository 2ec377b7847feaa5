// View page: slices of volumes with before and after, power spectrum, mask, inferred fraction, boundary and surface.

import { h } from "../dom.js";
import { browse } from "../files.js";
import { Boundary } from "./boundary.js";
import { fractionFilter } from "./fraction_colours.js";
import { sidePanel } from "./panel.js";
import { Panes } from "./panes.js";
import { readout } from "./readout.js";
import { Scene } from "./scene.js";
import { SurfaceStage } from "./surface.js";

/** @typedef {import("./scene.js").ViewValues} ViewValues */
/** @typedef {{ go: (changes: Partial<ViewValues>) => void, choose: (key: keyof ViewValues, title: string) => void }} Navigation */

const THICKNESSES = [1, 3, 5, 9, 17]; // planes

/**
 * A button that switches something on and off; `action` returns whether it is on.
 *
 * @param {string} name
 * @param {string} text
 * @param {boolean} on
 * @param {() => boolean} action
 */
function toggle(name, text, on, action) {
  const button = h("button", { "data-do": name, "aria-pressed": String(on), class: on ? "on" : "" }, text);
  button.addEventListener("click", () => {
    const isOn = action();
    button.classList.toggle("on", isOn);
    button.setAttribute("aria-pressed", String(isOn));
  });
  return button;
}

/** @param {Scene} scene */
function thicknessSelect(scene) {
  const options = THICKNESSES.map((n) => h("option", { value: n }, `${n} plane${n > 1 ? "s" : ""}`));
  const select = h("select", { "aria-label": "Thickness" }, options);
  select.addEventListener("change", () => {
    scene.thickness = Number(select.value);
    scene.changed();
  });
  return select;
}

/**
 * Buttons for what is laid over the slices.
 *
 * @param {Scene} scene
 * @param {Navigation} navigation
 */
function overlayButtons(scene, { go, choose }) {
  const { mask, fraction, compared } = scene;
  const beside = compared.map((volume) => volume.inferredFractionName).find((name) => name !== null);
  const maskButton = mask
    ? toggle("mask", "Mask", true, () => {
        scene.maskShown = !scene.maskShown;
        scene.changed();
        return scene.maskShown;
      })
    : h("button", { onclick: () => choose("mask", "Mask to overlay") }, "Mask …");
  const showFraction = () => (beside ? go({ fraction: beside }) : choose("fraction", "Map of the inferred fraction"));
  const fractionButton = fraction
    ? toggle("fraction", "Inferred fraction", true, () => {
        scene.fractionShown = !scene.fractionShown;
        scene.changed();
        return scene.fractionShown;
      })
    : h("button", { "data-do": "fraction", onclick: showFraction }, `Inferred fraction${beside ? "" : " …"}`);
  return [maskButton, fractionButton];
}

/**
 * Buttons above the panes.
 *
 * @param {Scene} scene
 * @param {Panes} panes
 * @param {Boundary} boundary
 * @param {() => boolean} toggleSurface
 * @param {Navigation} navigation
 */
function toolButtons(scene, panes, boundary, toggleSurface, navigation) {
  const { volume, second } = scene;
  const { go, choose } = navigation;
  const compare = second ? () => go({ second: undefined }) : () => choose("second", "Compare with");
  /** @type {any[]} */
  const buttons = [
    h("span", { class: "name mono", title: volume.label }, volume.label),
    second && h("span", { class: "name mono", title: second.name }, `↔ ${second.name}`),
    h("button", { "data-do": "compare", onclick: compare }, second ? "End comparison" : "Compare with …"),
    second &&
      toggle("side-by-side", "Side by side", false, () => {
        scene.sideBySide = !scene.sideBySide;
        panes.layout();
        return scene.sideBySide;
      }),
    overlayButtons(scene, navigation),
    toggle("power", "Power spectrum", false, () => {
      scene.powerSpectrum = !scene.powerSpectrum;
      panes.layout();
      scene.changed();
      return scene.powerSpectrum;
    }),
    thicknessSelect(scene),
    toggle("boundary", "Boundary", false, () => {
      boundary.toggleEditing();
      return boundary.editing;
    }),
    toggle("surface", "Surface", false, toggleSurface),
  ];
  return buttons.flat().filter(Boolean);
}

const EMPTY = "Open a map or a tomogram to view its slices. Only the planes on the screen are read, whatever the size of the file.";

/**
 * @param {{ main: HTMLElement, values: ViewValues, onLeave: (cleanup: () => void) => void,
 *   pageAddress: (name: string, values: Record<string, any>) => string }} page
 */
export async function showViewer({ main, values, onLeave, pageAddress }) {
  main.classList.add("viewing");
  /** @type {Navigation} */
  const navigation = {
    go: (changes) => (location.hash = pageAddress("view", { ...values, ...changes })),
    choose: async (key, title) => {
      const found = await browse({ title, kinds: ["volume"] });
      // A newly opened volume has another mask, boundary and comparison.
      const kept = key === "name" ? Object.fromEntries(Object.keys(values).map((name) => [name, undefined])) : {};
      if (found?.names.length) navigation.go({ ...kept, [key]: found.names[0] });
    },
  };
  const openButton = h("button", { "data-do": "open", onclick: () => navigation.choose("name", "Open a map or tomogram") }, "Open");
  const tools = h("div", { class: "tools" }, openButton);
  const stage = h("div", { class: "stage" });
  main.append(h("h1", { class: "for-screen-readers" }, "View"), tools, stage);
  if (!values.name) {
    stage.append(h("div", { class: "empty" }, h("p", {}, EMPTY)));
    return;
  }

  const scene = await Scene.open(values);
  const boundary = await Boundary.open(scene, values);
  const { section, point } = readout(scene);
  const panes = new Panes(scene, boundary, point);
  const panel = sidePanel(scene, boundary, section);
  const surface = new SurfaceStage(scene);
  const toggleSurface = () => {
    const shown = surface.element.hidden;
    surface.element.hidden = !shown;
    panel.hidden = panes.element.hidden = shown;
    if (shown) surface.show();
    else panes.layout();
    return shown;
  };
  tools.append(...toolButtons(scene, panes, boundary, toggleSurface, navigation));

  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const isTyping = event.target instanceof Element && event.target.matches("input, select, textarea");
    if (isTyping || event.altKey || event.metaKey || document.querySelector("dialog")) return;
    if ((surface.element.hidden ? panes : surface).onKey(event)) event.preventDefault();
  };
  window.addEventListener("keydown", onKey);
  onLeave(() => window.removeEventListener("keydown", onKey));
  stage.append(fractionFilter(), panes.element, surface.element, panel);
  const observer = new ResizeObserver(() => panes.layout());
  observer.observe(panes.element);
  onLeave(() => observer.disconnect());
  panes.layout();
  scene.changed();
}
