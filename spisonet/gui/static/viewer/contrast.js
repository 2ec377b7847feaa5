// Contrast: histogram of densities with handles for black and white, which can be dragged, moved by keys, or typed.

import { h } from "../dom.js";

const MARGIN = 0.06; // of the range, on either side
const KEY_STEPS = 100; // of the range
const REDRAW_DELAY_MILLISECONDS = 60;
const KEYS = /** @type {Record<string, number>} */ ({ ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 });
const NAMES = /** @type {const} */ ({ low: "Black", high: "White" });

/** @typedef {"low" | "high"} End */

/** @param {number} density */
const shortNumber = (density) => String(Number(density.toPrecision(4)));

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number[]} counts
 * @param {(bin: number) => number} toPixels
 */
function drawBars(canvas, counts, toPixels) {
  const context = canvas.getContext("2d");
  if (!context) return;
  // Mean of three bins: of integer densities, only every other bin may be occupied.
  const smooth = counts.map((_, bin, all) => (all[bin - 1] ?? 0) + all[bin] + (all[bin + 1] ?? 0));
  const largest = Math.max(...smooth);
  context.fillStyle = "#53717c";
  smooth.forEach((count, bin) => {
    const height = Math.sqrt(count / largest) * (canvas.height - 12);
    context.fillRect(toPixels(bin), canvas.height - height, toPixels(bin + 1) - toPixels(bin) + 0.5, height);
  });
}

/** @param {import("./scene.js").Scene} scene */
export function contrastSection(scene) {
  const { volume } = scene;
  const { extent, histogram, mean, standard_deviation: deviation } = volume.described;
  const range = extent[1] - extent[0];
  const [from, to] = [extent[0] - MARGIN * range, extent[1] + MARGIN * range];
  const canvas = h("canvas", { class: "histogram", width: 464, height: 168, "aria-hidden": "true" });
  drawBars(canvas, histogram, (bin) => ((extent[0] + (bin / histogram.length) * range - from) / (to - from)) * canvas.width);
  const handle = (/** @type {End} */ end) =>
    h("div", { class: `handle ${end}`, role: "slider", tabindex: 0, "data-handle": end, "aria-label": NAMES[end], "aria-valuemin": from, "aria-valuemax": to });
  const number = (/** @type {End} */ end) => h("input", { type: "text", inputmode: "decimal", "aria-label": `${NAMES[end]}, density`, "data-contrast": end });
  const handles = { low: handle("low"), high: handle("high") };
  const numbers = { low: number("low"), high: number("high") };

  function draw() {
    for (const end of /** @type {End[]} */ (["low", "high"])) {
      const fraction = (volume[end] - from) / (to - from);
      handles[end].style.left = `${100 * Math.min(1, Math.max(0, fraction))}%`;
      handles[end].setAttribute("aria-valuenow", shortNumber(volume[end]));
      if (document.activeElement !== numbers[end]) numbers[end].value = shortNumber(volume[end]);
      numbers[end].classList.remove("invalid");
    }
  }

  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const set = (/** @type {Partial<Record<End, number>>} */ densities) => {
    Object.assign(volume, densities);
    scene.matchContrasts();
    draw();
    clearTimeout(timer);
    timer = setTimeout(() => scene.changed(), REDRAW_DELAY_MILLISECONDS);
  };

  const plot = h("div", { class: "histogram-plot" }, canvas, handles.low, handles.high);
  const densityAt = (/** @type {PointerEvent} */ event) => {
    const { left, width } = plot.getBoundingClientRect();
    return from + Math.min(1, Math.max(0, (event.clientX - left) / width)) * (to - from);
  };
  /** @type {End | null} */
  let dragged = null;
  plot.addEventListener("pointerdown", (event) => {
    const density = densityAt(event);
    dragged = Math.abs(density - volume.low) < Math.abs(density - volume.high) ? "low" : "high";
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => dragged && event.buttons && set({ [dragged]: densityAt(event) }));
  plot.addEventListener("pointerup", () => (dragged = null));

  for (const end of /** @type {End[]} */ (["low", "high"])) {
    handles[end].addEventListener("keydown", (event) => {
      const steps = KEYS[event.key];
      if (!steps) return;
      event.preventDefault();
      event.stopPropagation();
      set({ [end]: volume[end] + (steps * range) / KEY_STEPS });
    });
    numbers[end].addEventListener("change", () => {
      const density = Number(numbers[end].value || NaN);
      if (Number.isFinite(density)) set({ [end]: density });
      else numbers[end].classList.add("invalid");
    });
  }
  draw();
  return [
    h("h2", {}, "Contrast"),
    plot,
    h("div", { class: "contrast-numbers" }, h("label", {}, "Black", numbers.low), h("label", {}, "White", numbers.high)),
    h(
      "div",
      { class: "row" },
      h("button", { onclick: () => set({ low: volume.described.contrast[0], high: volume.described.contrast[1] }) }, "Auto"),
      h("button", { onclick: () => set({ low: mean - 3 * deviation, high: mean + 3 * deviation }) }, "±3σ"),
      h("button", { "data-do": "invert", onclick: () => set({ low: volume.high, high: volume.low }) }, "Invert"),
    ),
  ];
}
