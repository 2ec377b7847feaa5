// Histogram of densities with two handles for black and white.

import { h } from "./dom.js";

const MARGIN = 0.06; // of the range, on either side
const HANDLE = "#ffd166";

/** `onChange` is called while the user drags a handle. Returns { element, draw }. */
export function contrastHistogram(volume, onChange) {
  const canvas = h("canvas", { class: "histogram", width: 464, height: 168, "aria-label": "Contrast" });
  const [begin, end] = volume.extent;
  const range = end - begin;
  const [from, to] = [begin - MARGIN * range, end + MARGIN * range];
  const toPixels = (density) => ((density - from) / (to - from)) * canvas.width;

  function drawBars(context) {
    // Mean of three bins: of integer densities, only every other bin may be occupied.
    const counts = volume.histogram.map((_, bin, all) => (all[bin - 1] ?? 0) + all[bin] + (all[bin + 1] ?? 0));
    const largest = Math.max(...counts);
    context.fillStyle = "#53717c";
    counts.forEach((count, bin) => {
      const x = toPixels(begin + (bin / counts.length) * range);
      const height = Math.sqrt(count / largest) * (canvas.height - 12);
      context.fillRect(x, canvas.height - height, toPixels(begin + ((bin + 1) / counts.length) * range) - x + 0.5, height);
    });
  }

  function drawHandle(context, density, colour) {
    context.fillStyle = HANDLE;
    context.fillRect(toPixels(density) - 1.5, 0, 3, canvas.height);
    context.beginPath();
    context.arc(toPixels(density), 12, 9, 0, 7);
    context.fillStyle = colour;
    context.fill();
    context.strokeStyle = HANDLE;
    context.lineWidth = 3;
    context.stroke();
  }

  function draw() {
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    drawBars(context);
    drawHandle(context, volume.low, "#000");
    drawHandle(context, volume.high, "#fff");
  }

  let dragged = null; // "low" or "high"
  const densityAt = (event) => from + (event.offsetX / canvas.clientWidth) * (to - from);
  canvas.addEventListener("pointerdown", (event) => {
    const density = densityAt(event);
    dragged = Math.abs(density - volume.low) < Math.abs(density - volume.high) ? "low" : "high";
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!dragged || !event.buttons) return;
    volume[dragged] = densityAt(event);
    draw();
    onChange();
  });
  canvas.addEventListener("pointerup", () => (dragged = null));
  draw();
  return { element: canvas, draw };
}
