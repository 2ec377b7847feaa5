// Line chart of named series, drawn by uPlot (vendor/uplot).

import { h } from "./dom.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const COLOURS = ["#0d7c70", "#c2571a", "#1f5fa8", "#8a3ffc"];
const GRID = { stroke: "#e6ecee", width: 1 };
const INK = "#5b6c74";
const HEIGHT = 220; // pixels
const MOST_MARKED_POINTS = 40; // more points are drawn as a line only

/**
 * @typedef {{ name: string, points: [number, number][] }} Series
 * @typedef {{ xTitle: string, yTitle: string, xMax?: number }} Axes
 */

/**
 * Columns of uPlot: all x values, and a column of y values for each series, empty where a series has no point.
 *
 * @param {Series[]} series
 * @returns {(number | null)[][]}
 */
export function columns(series) {
  const xs = [...new Set(series.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
  const rows = series.map(({ points }) => new Map(points));
  return [xs, ...rows.map((values) => xs.map((x) => values.get(x) ?? null))];
}

/** @param {number | null | undefined} value */
const shortNumber = (value) => (value === null || value === undefined ? "" : String(Number(value.toPrecision(4))));

/**
 * Range of an axis of whole numbers that begins at the first point.
 *
 * @param {number} low
 * @param {number} high
 * @param {number} [atLeast]
 * @returns {[number, number]}
 */
export const wholeRange = (low, high, atLeast = 0) => [low, Math.max(high, atLeast, low + 1)];

/**
 * An element with the chart; it takes the width of the element that it is put into.
 *
 * @param {Series[]} series
 * @param {Axes} axes
 */
export function lineChart(series, { xTitle, yTitle, xMax }) {
  const element = h("div", { class: "chart", role: "img", "aria-label": `${yTitle} by ${xTitle}` });
  const axis = { stroke: INK, grid: GRID, ticks: GRID, font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif" };
  /** @type {uPlot.Options} */
  const options = {
    width: 540,
    height: HEIGHT,
    scales: { x: { time: false, range: (_plot, low, high) => wholeRange(low, high, xMax) } },
    axes: [
      { ...axis, label: xTitle, labelSize: 20, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000] },
      { ...axis, label: yTitle, labelSize: 20, size: 64, values: (_plot, splits) => splits.map(shortNumber) },
    ],
    series: [
      { label: xTitle },
      ...series.map(({ name, points }, index) => ({
        label: name || yTitle,
        stroke: COLOURS[index % COLOURS.length],
        width: 2,
        spanGaps: true,
        points: { show: points.length < MOST_MARKED_POINTS, size: 5 },
        value: (/** @type {uPlot} */ _plot, /** @type {number | null} */ value) => shortNumber(value),
      })),
    ],
    cursor: { drag: { x: false, y: false } },
  };
  const plot = new uPlot(options, /** @type {uPlot.AlignedData} */ (/** @type {unknown} */ (columns(series))), element);
  const observer = new ResizeObserver(() => {
    if (element.clientWidth) plot.setSize({ width: element.clientWidth, height: HEIGHT });
    else if (!element.isConnected) {
      // Replaced by a newer chart. uPlot keeps every plot, with its canvas, until it is destroyed.
      observer.disconnect();
      plot.destroy();
    }
  });
  observer.observe(element);
  return element;
}
