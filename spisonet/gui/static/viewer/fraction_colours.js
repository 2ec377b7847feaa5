// Colours of the inferred fraction: measured density is teal, inferred density is orange.

import { h, s } from "../dom.js";

/** @type {[number, number, number][]} red, green and blue in 0..1, at fractions 0, 0.5 and 1 */
export const FRACTION_STOPS = [
  [0.16, 0.62, 0.56],
  [0.93, 0.86, 0.52],
  [0.96, 0.45, 0.1],
];
export const FRACTION_FILTER = "fraction-colours";

const css = (/** @type {[number, number, number]} */ colour) => `rgb(${colour.map((value) => Math.round(255 * value)).join(" ")})`;

/** SVG with the filter that colours a picture in grey. */
export function fractionFilter() {
  const table = (/** @type {number} */ channel) => ({ type: "table", tableValues: FRACTION_STOPS.map((stop) => stop[channel]).join(" ") });
  return s(
    "svg",
    { width: 0, height: 0, "aria-hidden": "true", style: { position: "absolute" } },
    s(
      "filter",
      { id: FRACTION_FILTER, "color-interpolation-filters": "sRGB" },
      s("feComponentTransfer", {}, s("feFuncR", table(0)), s("feFuncG", table(1)), s("feFuncB", table(2))),
    ),
  );
}

/** Colour bar of the inferred fraction. */
export function fractionBar() {
  return h(
    "div",
    { class: "fraction-bar" },
    h("i", { style: { background: `linear-gradient(90deg, ${FRACTION_STOPS.map(css).join(", ")})` } }),
    h("div", { class: "row spread small" }, h("span", {}, "measured (0 %)"), h("span", {}, "inferred (100 %)")),
  );
}
