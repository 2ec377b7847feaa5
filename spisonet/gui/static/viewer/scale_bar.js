// Scale bar of a round length.

import { h } from "../dom.js";

const MAX_PIXELS = 120;
const ANGSTROM_PER_NM = 10;
const MIN_NM = 100; // Å from which on lengths are given in nm

/** @param {number} angstrom */
export const lengthText = (angstrom) =>
  angstrom >= MIN_NM ? `${Number((angstrom / ANGSTROM_PER_NM).toPrecision(4))} nm` : `${Number(angstrom.toPrecision(4))} Å`;

/**
 * Lengths in one unit.
 *
 * @param {number[]} angstroms
 */
export function lengthsText(angstroms) {
  const inNm = Math.max(...angstroms) >= MIN_NM;
  return `${angstroms.map((length) => (inNm ? length / ANGSTROM_PER_NM : length).toFixed(1)).join(", ")} ${inNm ? "nm" : "Å"}`;
}

/**
 * The longest of 1, 2, 5, 10, 20 ... Å that is not longer than a number of pixels.
 *
 * @param {number} angstromPerPixel
 * @param {number} [maxPixels]
 */
export function roundLength(angstromPerPixel, maxPixels = MAX_PIXELS) {
  const longest = angstromPerPixel * maxPixels;
  const power = 10 ** Math.floor(Math.log10(longest));
  const angstrom = [5, 2, 1].map((digit) => digit * power).find((length) => length <= longest) ?? power;
  return { angstrom, pixels: angstrom / angstromPerPixel };
}

/** An element that shows a length. Returns { element, draw }. */
export function scaleBar() {
  const line = h("i");
  const text = h("span");
  const element = h("div", { class: "scale-bar" }, text, line);
  return {
    element,
    /** @param {number | null} angstromPerPixel null hides the bar */
    draw(angstromPerPixel) {
      element.hidden = !angstromPerPixel;
      if (!angstromPerPixel) return;
      const { angstrom, pixels } = roundLength(angstromPerPixel);
      line.style.width = `${pixels}px`;
      text.textContent = lengthText(angstrom);
    },
  };
}
