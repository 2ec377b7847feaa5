// Job page: state, progress, log, figures and files of one job.

import { RequestError, address, get, post } from "./api.js";
import { attempt, badge, baseName, confirmAction, dateTime, duration, h, notify, properties, redraw, repeat, size } from "./dom.js";
import { commandTitle, quoted } from "./form.js";
import { stateNote } from "./jobs.js";
import { progressContent } from "./progress.js";

const REFRESH_MILLISECONDS = 1500;
const ACTIVE = ["queued", "running", "stopping"];
const REPORT_NAME = /report|summary|diagnos/;

/** @typedef {import("./records").JobDetails} JobDetails */
/** @typedef {import("./records").PageAddress} PageAddress */
/** @typedef {{ title: string, text: string, version: string }} Notes */

/** @param {import("./records").ResultFile} result @param {PageAddress} pageAddress */
function resultRow(result, pageAddress) {
  const url = address("file", { name: result.name });
  const external = () => h("a", { class: "button", href: url, target: "_blank" }, "Open");
  /** @type {Record<string, () => HTMLElement>} */
  const openers = {
    volume: () => h("a", { class: "button", href: pageAddress("view", { name: result.name }) }, "View"),
    table: () => h("a", { class: "button", href: pageAddress("tomograms", { star: result.name }) }, "Open"),
    image: external,
    page: external,
    text: external,
  };
  const open = openers[result.kind];
  return h(
    "tr",
    {},
    h("td", { class: "mono" }, result.name, result.main && h("span", { class: "small quiet" }, " the map to build into")),
    h("td", { class: "number quiet" }, size(result.bytes)),
    h("td", { class: "small quiet" }, dateTime(result.modified)),
    h("td", { class: "number" }, open?.(), " ", h("a", { class: "button", href: address("file", { name: result.name, download: true }) }, "Download")),
  );
}

/**
 * Title and notes, which the user edits in place. If another page has changed them meanwhile, the user chooses.
 * Returns { element, update }; `update` shows the notes of a newly read job, unless the user is editing.
 *
 * @param {JobDetails} job
 */
function notesCard(job) {
  const { name } = job;
  /** @param {JobDetails} read @returns {Notes} */
  const notesOf = (read) => ({ title: read.title, text: read.notes, version: read.notes_version });
  let stored = notesOf(job);
  /** @type {Promise<unknown>} */
  let saving = Promise.resolve(); // one after another, because each needs the version that the last one made
  const save = () => (saving = saving.then(() => attempt(write)));
  const title = h("input", { type: "text", id: "job-title", value: stored.title, maxlength: 200, placeholder: "Title", "aria-label": "Title", onchange: save });
  const notes = h("textarea", { id: "job-notes", rows: 3, maxlength: 20000, placeholder: "Notes", "aria-label": "Notes", value: stored.text, onchange: save });
  const conflict = h("div", { class: "note", id: "notes-conflict", hidden: true });

  async function write() {
    const entered = { title: title.value.trim(), text: notes.value };
    try {
      stored = { ...entered, version: await post("notes", { name, ...entered, version: stored.version }) };
      conflict.hidden = true;
    } catch (error) {
      if (!(error instanceof RequestError && error.code === "changed_elsewhere")) throw error;
      askWhichToKeep(notesOf(await get("job", { name })));
    }
  }

  /** @param {Notes} others */
  function askWhichToKeep(others) {
    const keep = () => {
      stored = others;
      save();
    };
    conflict.replaceChildren(
      h("p", {}, "Another page has changed these notes to:"),
      h("p", {}, h("b", {}, others.title)),
      h("p", { class: "written" }, others.text),
      h("div", { class: "row" }, h("button", { "data-do": "keep-mine", onclick: keep }, "Keep mine"), h("button", { "data-do": "take-theirs", onclick: () => show(others) }, "Take these")),
    );
    conflict.hidden = false;
  }

  /** @param {Notes} others */
  function show(others) {
    stored = others;
    title.value = stored.title;
    notes.value = stored.text;
    conflict.hidden = true;
  }

  /** @param {JobDetails} current */
  function update(current) {
    const isEdited = title.value !== stored.title || notes.value !== stored.text || !conflict.hidden;
    if (!isEdited && current.notes_version !== stored.version) show(notesOf(current));
  }
  return { element: h("div", { class: "card notes" }, title, notes, conflict), update };
}

/**
 * What was made from what: links to the jobs whose results this job uses, and to those that use its own.
 *
 * @param {Record<"parents" | "children", import("./records").LineageLine[]>} lineage
 * @param {PageAddress} pageAddress
 * @returns {[string, unknown][]}
 */
function lineageRows({ parents, children }, pageAddress) {
  /** @param {import("./records").LineageLine} line */
  const link = ({ name, title }) => h("div", {}, h("a", { href: pageAddress("job", { name }) }, title || name));
  return [
    ["Made from", parents.length ? parents.map(link) : null],
    ["Used by", children.length ? children.map(link) : null],
  ];
}

/**
 * The latest preview and all other figures.
 *
 * @param {import("./records").ResultFile[]} images
 */
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

/**
 * @param {JobDetails} job
 * @param {HTMLElement} time
 * @param {Record<"parents" | "children", import("./records").LineageLine[]>} lineage
 * @param {PageAddress} pageAddress
 */
function jobProperties(job, time, lineage, pageAddress) {
  const options = Object.entries(job.config).filter(([, value]) => value !== null && value !== false);
  const inputs = job.inputs.map((input) =>
    h("div", {}, /\.\w+$/.test(input) ? input : h("a", { href: pageAddress("job", { name: input }) }, input)),
  );
  return [
    h("h2", {}, "Details"),
    properties([
      ["Input", inputs.length ? h("span", {}, inputs) : null],
      ...lineageRows(lineage, pageAddress),
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

/** @param {import("./records").JobError} error */
function errorText({ message, field }) {
  return field && !message.includes(`--${field}`) ? `${message} (option --${field})` : message;
}

/** @param {import("./records").PageContext} context */
export async function showJob({ main, values, onLeave, pageAddress }) {
  const { name } = values;
  /** @type {JobDetails} */
  let job = await get("job", { name });
  const lineage = await get("lineage", { name });
  let logPosition = -1;
  const state = h("span", { id: "state" });
  const actions = h("div", { class: "row" });
  const verdict = h("div", { class: "card verdict", id: "verdict", hidden: true });
  const note = h("p", { class: "note", id: "job-note", hidden: true });
  const error = h("p", { class: "error", id: "job-error", hidden: true });
  const progress = h("div", { class: "card", id: "progress", hidden: true });
  const log = h("pre", { class: "log", id: "log", tabindex: 0 });
  const gallery = h("div", { class: "gallery" });
  const galleryCard = h("div", { class: "card" }, h("h2", {}, "Figures"), gallery);
  const results = h("tbody", { id: "results" });
  const report = h("div", { class: "card", hidden: true });
  const details = h("div", { class: "card" });
  const time = h("span");
  const notes = notesCard(job);

  /**
   * Listener that disables its button while an action runs.
   *
   * @param {() => Promise<unknown>} run
   * @param {() => Promise<unknown>} [then]
   */
  const action = (run, then) => async (/** @type {{ target: HTMLButtonElement }} */ { target: button }) => {
    button.disabled = true;
    await attempt(async () => {
      await run();
      await then?.();
    });
    button.disabled = false;
  };

  async function remove() {
    const total = job.results.reduce((sum, { bytes }) => sum + bytes, 0);
    const question = `Its folder with ${job.results.length} files (${size(total)}) is moved into the trash of the project, from which it can be restored.`;
    if (!(await confirmAction(`Delete ${job.name}?`, question, "Delete"))) return;
    const entry = await post("delete", { name });
    location.hash = pageAddress("");
    notify(`${job.name} was moved into the trash.`, false, { text: "Undo", run: () => post("trash/restore", { name: entry }) });
  }

  async function resume() {
    if (job.error?.code === "no_sign_of_life") {
      const place = job.slurm ? `SLURM job ${job.slurm}` : `its process on ${job.host ?? "the other machine"}`;
      const question = `${job.name} was marked as failed because it gave no sign of life. If ${place} still runs, two runs will write the same files: make sure that it has ended.`;
      if (!(await confirmAction(`Has ${job.name} ended?`, question, "It has ended: resume"))) return;
    }
    await post("resume", { name });
  }

  function actionButtons() {
    const active = ACTIVE.includes(job.state);
    const clone = pageAddress("new", { program: job.program, command: job.command, job: name });
    return [
      job.comparison &&
        h("a", { class: "button main", "data-do": "compare", href: pageAddress("view", job.comparison) }, "Before / after"),
      job.state === "unresponsive" &&
        h("button", { class: "main", "data-do": "mark-failed", onclick: action(() => post("mark_failed", { name }), refresh) }, "Mark as failed"),
      active && h("button", { class: "danger", "data-do": "stop", disabled: job.state === "stopping", onclick: action(() => post("stop", { name }), refresh) }, job.state === "stopping" ? "Stopping …" : "Stop"),
      job.resumable && h("button", { class: "main", "data-do": "resume", onclick: action(resume, refresh) }, "Resume"),
      h("a", { class: "button", href: clone, "data-do": "clone" }, "Clone with changes"),
      job.started_here && !active && job.state !== "unresponsive" && h("button", { class: "danger", "data-do": "delete", onclick: action(remove) }, "Delete"),
    ];
  }

  function draw() {
    notes.update(job);
    redraw(state, job.state, () => badge(job.state));
    const told = stateNote(job);
    note.hidden = !told;
    note.textContent = told ? `${told.charAt(0).toUpperCase()}${told.slice(1)}.` : "";
    verdict.hidden = !job.verdict;
    redraw(verdict, job.verdict, () => job.verdict && [h("h2", {}, job.verdict.judgement), h("p", {}, job.verdict.sentence)]);
    redraw(actions, [job.state, job.resumable, job.comparison], actionButtons);
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
    redraw(details, [job.state, job.config, job.host, job.slurm], () => jobProperties(job, time, lineage, pageAddress));
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
    note,
    error,
    verdict,
    job.line ? h("pre", { class: "command" }, job.line.map(quoted).join(" ")) : "",
    h("div", { class: "two", style: { marginTop: "18px" } }, h("div", {}, progress, h("div", { class: "card" }, h("h2", {}, "Log"), log)), h("div", {}, notes.element, details)),
    galleryCard,
    report,
    h("div", { class: "card" }, h("h2", {}, "Files"), h("table", {}, results)),
  );
  draw();
  await readLog();
  repeat(REFRESH_MILLISECONDS, onLeave, refresh);
}
