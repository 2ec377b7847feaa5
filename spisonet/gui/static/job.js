// Job page: state, progress, log, figures and files of one job.

import { address, get, post } from "./api.js";
import { attempt, badge, baseName, confirmAction, dateTime, duration, h, properties, redraw, repeat, size } from "./dom.js";
import { commandTitle, quoted } from "./form.js";
import { progressContent } from "./progress.js";

const REFRESH_MILLISECONDS = 1500;
const ACTIVE = ["queued", "running"];
const REPORT_NAME = /report|summary|diagnos/;

function resultRow(result, pageAddress) {
  const url = address("file", { name: result.name });
  const external = () => h("a", { class: "button", href: url, target: "_blank" }, "Open");
  const open = {
    volume: () => h("a", { class: "button", href: pageAddress("view", { name: result.name }) }, "View"),
    table: () => h("a", { class: "button", href: pageAddress("tomograms", { star: result.name }) }, "Open"),
    image: external,
    page: external,
    text: external,
  }[result.kind];
  return h(
    "tr",
    {},
    h("td", { class: "mono" }, result.name, result.main && h("span", { class: "small quiet" }, " the map to build into")),
    h("td", { class: "number quiet" }, size(result.bytes)),
    h("td", { class: "small quiet" }, dateTime(result.modified)),
    h("td", { class: "number" }, open?.(), " ", h("a", { class: "button", href: address("file", { name: result.name, download: true }) }, "Download")),
  );
}

/** The latest preview and all other figures. */
function figures(images) {
  const previews = images.filter(({ name }) => baseName(name).startsWith("preview_"));
  const others = images.filter((image) => !previews.includes(image));
  return [...previews.slice(-1), ...others].map(({ name, modified }) => {
    const url = address("file", { name, version: modified });
    return h(
      "figure",
      {},
      h("a", { href: url, target: "_blank" }, h("img", { src: url, alt: baseName(name) })),
      h("figcaption", {}, baseName(name)),
    );
  });
}

function jobProperties(job, time, pageAddress) {
  const options = Object.entries(job.config).filter(([, value]) => value !== null && value !== false);
  const inputs = job.inputs.map((input) =>
    h("div", {}, /\.\w+$/.test(input) ? input : h("a", { href: pageAddress("job", { name: input }) }, input)),
  );
  return [
    h("h2", {}, "Details"),
    properties([
      ["Input", inputs.length ? h("span", {}, inputs) : null],
      ["Submitted", dateTime(job.submitted ?? job.written)],
      ["Time", time],
      ["Host", job.host],
      ["SLURM job", job.slurm],
      ["GPUs", job.target?.gpus?.join(", ")],
      ["Version", job.version],
    ]),
    h("details", {}, h("summary", {}, "All options"), properties(options.map(([name, value]) => [name, String(value)]))),
  ];
}

function errorText({ message, field }) {
  return field && !message.includes(`--${field}`) ? `${message} (option --${field})` : message;
}

export async function showJob({ main, values, onLeave, pageAddress }) {
  const { name } = values;
  let job = await get("job", { name });
  let logPosition = -1;
  const state = h("span", { id: "state" });
  const actions = h("div", { class: "row" });
  const error = h("p", { class: "error", id: "job-error", hidden: true });
  const progress = h("div", { class: "card", id: "progress", hidden: true });
  const log = h("pre", { class: "log", id: "log", tabindex: 0 });
  const gallery = h("div", { class: "gallery" });
  const galleryCard = h("div", { class: "card" }, h("h2", {}, "Figures"), gallery);
  const results = h("tbody", { id: "results" });
  const report = h("div", { class: "card", hidden: true });
  const details = h("div", { class: "card" });
  const time = h("span");

  const action = (run, then) => async (event) => {
    event.target.disabled = true;
    await attempt(async () => {
      await run();
      await then?.();
    });
    event.target.disabled = false;
  };

  async function remove() {
    const total = job.results.reduce((sum, { bytes }) => sum + bytes, 0);
    const question = `Its folder with ${job.results.length} files (${size(total)}) will be deleted permanently.`;
    if (!(await confirmAction(`Delete ${job.name}?`, question, "Delete"))) return;
    await post("delete", { name });
    location.hash = pageAddress("");
  }

  function actionButtons() {
    const active = ACTIVE.includes(job.state);
    const clone = pageAddress("new", { program: job.program, command: job.command, job: name });
    return [
      active && h("button", { class: "danger", "data-do": "stop", onclick: action(() => post("stop", { name }), refresh) }, "Stop"),
      job.resumable && h("button", { class: "main", "data-do": "resume", onclick: action(() => post("resume", { name }), refresh) }, "Resume"),
      h("a", { class: "button", href: clone, "data-do": "clone" }, "Clone with changes"),
      job.started_here && !active && h("button", { class: "danger", "data-do": "delete", onclick: action(remove) }, "Delete"),
    ];
  }

  function draw() {
    redraw(state, job.state, () => badge(job.state));
    redraw(actions, [job.state, job.resumable], actionButtons);
    error.hidden = !job.error;
    error.textContent = job.error ? errorText(job.error) : "";
    progress.hidden = !job.stages.length && !job.losses;
    redraw(progress, [job.stages, job.losses], () => progressContent(job));
    const images = job.results.filter(({ kind }) => kind === "image");
    galleryCard.hidden = !images.length;
    redraw(gallery, images, () => figures(images));
    redraw(results, job.results, () => job.results.map((result) => resultRow(result, pageAddress)));
    const pages = job.results.filter(({ kind, name: file }) => kind === "page" && REPORT_NAME.test(baseName(file)));
    report.hidden = !pages.length;
    redraw(report, pages, () => [
      h("h2", {}, "Report"),
      h("iframe", { class: "report", title: "Report", src: pages.length ? address("file", { name: pages[0].name }) : null }),
    ]);
    time.textContent = duration(job.seconds);
    redraw(details, [job.state, job.config, job.host, job.slurm], () => jobProperties(job, time, pageAddress));
  }

  async function readLog() {
    const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 30;
    const part = await get("log", { name, offset: logPosition });
    logPosition = part.next;
    if (part.text) log.append(part.text);
    if (atEnd) log.scrollTop = log.scrollHeight;
    if (part.more) await readLog();
  }

  async function refresh() {
    job = await get("job", { name });
    draw();
    await readLog();
  }

  main.append(
    h("div", { class: "row spread" }, h("h1", {}, job.name, " ", state), actions),
    h("p", { class: "lead" }, commandTitle(job.program, job.command)),
    error,
    job.line ? h("pre", { class: "command" }, job.line.map(quoted).join(" ")) : "",
    h("div", { class: "two", style: { marginTop: "18px" } }, h("div", {}, progress, h("div", { class: "card" }, h("h2", {}, "Log"), log)), details),
    galleryCard,
    report,
    h("div", { class: "card" }, h("h2", {}, "Files"), h("table", {}, results)),
  );
  draw();
  await readLog();
  repeat(REFRESH_MILLISECONDS, onLeave, () => attempt(refresh));
}
