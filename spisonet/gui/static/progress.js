// Progress of a run: bars of its stages and the curve of the training loss.

import { lineChart } from "./chart.js";
import { duration, h } from "./dom.js";

/**
 * @typedef {{ done: number, total: number, unit: string, seconds_left?: number | null, part?: number | null }} Progress
 * @typedef {Progress & { stage: string, title: string, losses: [number, number][], loss_reductions?: [number, number][] }} Stage
 */

/** @param {Progress} progress */
export function progressText({ done, total, unit, seconds_left: secondsLeft, part }) {
  const left = secondsLeft && done < total ? `, ${duration(secondsLeft)} left` : "";
  const within = part ? `, ${Math.floor(100 * part)} % of the next` : "";
  return `${done} of ${total} ${unit}${within}${left}`;
}

/** @param {Progress | null | undefined} progress */
export function progressBar(progress) {
  if (!progress) return null;
  const percent = progress.total ? (100 * (progress.done + (progress.part ?? 0))) / progress.total : 0;
  const text = progressText(progress);
  return h(
    "div",
    { title: text },
    h("div", { class: "bar", role: "progressbar", "aria-label": text, "aria-valuenow": Math.round(percent), "aria-valuemin": 0, "aria-valuemax": 100 }, h("i", { style: { width: `${percent}%` } })),
    h("span", { class: "small quiet" }, text),
  );
}

/** @param {string} word */
const capitalised = (word) => word.charAt(0).toUpperCase() + word.slice(1).replaceAll("_", " ");

/** @param {Stage} stage */
function stageBar(stage) {
  const heading = capitalised(stage.stage);
  const name = !stage.title || stage.title.toLowerCase() === heading.toLowerCase() ? heading : `${heading}: ${stage.title}`;
  return h("div", { class: "stage-progress", "data-stage": stage.stage }, h("div", { class: "small" }, name), progressBar(stage));
}

/**
 * Loss of each training by epoch.
 *
 * @param {Stage[]} stages
 * @param {(number | null)[] | null} losses of a run that has only recorded them at its end
 */
function lossChart(stages, losses) {
  const trainings = stages.filter((stage) => stage.losses.length);
  /** @type {import("./chart.js").Series[]} */
  const series = trainings.map((stage) => ({ name: stage.title, points: stage.losses }));
  if (!series.length && losses) {
    series.push({ name: "", points: losses.flatMap((loss, index) => (loss === null ? [] : [[index + 1, loss]])) });
  }
  const drawn = series.filter(({ points }) => points.length > 1);
  const xMax = Math.max(0, ...trainings.map(({ total }) => total));
  return drawn.length ? lineChart(drawn, { xTitle: "epoch", yTitle: "loss", xMax }) : null;
}

/**
 * Reduction of the loss on subvolumes that are not used for training, relative to the untrained network.
 *
 * @param {Stage[]} stages
 */
function reductionChart(stages) {
  const series = stages.map(({ title, loss_reductions: points = [] }) => ({
    name: title,
    points: points.map(([epoch, value]) => /** @type {[number, number]} */ ([epoch, 100 * value])),
  }));
  const drawn = series.filter(({ points }) => points.length > 1);
  const xMax = Math.max(0, ...stages.filter(({ losses }) => losses.length).map(({ total }) => total));
  return drawn.length ? lineChart(drawn, { xTitle: "epoch", yTitle: "loss reduction on new subvolumes, %", xMax }) : null;
}

/** @param {{ stages: Stage[], losses: (number | null)[] | null }} job */
export function progressContent({ stages, losses }) {
  return [h("h2", {}, "Progress"), stages.map(stageBar), lossChart(stages, losses), reductionChart(stages)];
}
