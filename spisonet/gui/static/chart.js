// Line chart as SVG of named series of [x, y] points.

import { s } from "./dom.js";

const COLOURS = ["#0d7c70", "#c2571a", "#1f5fa8", "#8a3ffc"];
const WIDTH = 540;
const HEIGHT = 210;
const MARGIN = { left: 58, right: 12, top: 14, bottom: 36 };

function ticks(low, high, n) {
  const raw = (high - low) / n || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= raw);
  const values = [];
  for (let value = Math.ceil(low / step) * step; value <= high + 1e-9 * step; value += step) values.push(value);
  return values;
}

export function lineChart(series, { xTitle, yTitle, xMax }) {
  const points = series.flatMap(({ points: seriesPoints }) => seriesPoints);
  const xs = points.map(([x]) => x);
  const ys = points.map(([, y]) => y);
  const [x0, x1] = [Math.min(...xs), Math.max(xMax ?? 0, ...xs)];
  let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
  const padding = (y1 - y0) * 0.08 || Math.abs(y1) * 0.1 || 1;
  [y0, y1] = [y0 - padding, y1 + padding];
  const px = (x) => MARGIN.left + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - MARGIN.left - MARGIN.right);
  const py = (y) => HEIGHT - MARGIN.bottom - ((y - y0) / (y1 - y0)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const digits = (v) => Number(v.toPrecision(4)).toString();
  return s(
    "svg",
    { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${yTitle} by ${xTitle}` },
    ticks(y0, y1, 4).map((y) => [
      s("line", { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: py(y), y2: py(y), stroke: "#e6ecee" }),
      s("text", { x: MARGIN.left - 7, y: py(y) + 4, "text-anchor": "end" }, digits(y)),
    ]),
    ticks(x0, x1, 6)
      .filter(Number.isInteger)
      .map((x) => s("text", { x: px(x), y: HEIGHT - MARGIN.bottom + 16, "text-anchor": "middle" }, digits(x))),
    s("text", { x: WIDTH - MARGIN.right, y: HEIGHT - 4, "text-anchor": "end" }, xTitle),
    s("text", { x: 2, y: 11 }, yTitle),
    series.map(({ name, points: seriesPoints }, index) => {
      const colour = COLOURS[index % COLOURS.length];
      const path = seriesPoints.map(([x, y]) => `${px(x).toFixed(1)},${py(y).toFixed(1)}`).join(" ");
      return [
        s("polyline", { points: path, fill: "none", stroke: colour, "stroke-width": 2 }),
        seriesPoints.length < 40 &&
          seriesPoints.map(([x, y]) => s("circle", { cx: px(x).toFixed(1), cy: py(y).toFixed(1), r: 2.6, fill: colour })),
        series.length > 1 &&
          s("text", { x: WIDTH - MARGIN.right - 4, y: 24 + 15 * index, "text-anchor": "end", style: { fill: colour } }, name),
      ];
    }),
  );
}
