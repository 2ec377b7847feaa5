// Project page: the list of jobs, sorted and filtered, and the trash.

import { address, get, post } from "./api.js";
import { attempt, badge, baseName, confirmAction, dateTime, duration, h, openDialog, redraw, repeat } from "./dom.js";
import { progressBar } from "./progress.js";

const REFRESH_MILLISECONDS = 1500;
/** @typedef {import("./records").JobLine} JobLine */
/** @typedef {import("./records").PageAddress} PageAddress */
/** @typedef {{ name: string, text: string, value?: (job: JobLine) => string | number }} Column */
/** @typedef {{ name: string, descending: boolean }} Order */

/** @type {Column[]} */
const COLUMNS = [
  { name: "thumbnail", text: "" },
  { name: "name", text: "Job", value: (job) => (job.title || job.name).toLowerCase() },
  { name: "command", text: "Command", value: (job) => job.command },
  { name: "inputs", text: "Input", value: (job) => job.inputs.map(baseName).join() },
  { name: "state", text: "State", value: (job) => job.state },
  { name: "progress", text: "Progress" },
  { name: "seconds", text: "Time", value: (job) => job.seconds ?? -1 },
  { name: "submitted", text: "Date", value: (job) => Number(new Date(job.submitted ? job.submitted * 1000 : job.written ?? 0)) },
];
const FIRST_STEPS = [
  ["tomograms", "Tomograms", "Add tomograms, deconvolve and mask them, train a network, predict, and view the result."],
  ["maps", "Maps", "Half maps with preferred orientation: measure the anisotropy, correct it, validate the correction."],
  ["relion", "RELION", "Correct the reference in every iteration of a refinement."],
];

/** @param {PageAddress} pageAddress */
function firstSteps(pageAddress) {
  return h(
    "div",
    { class: "card", hidden: true },
    h("h2", {}, "Nothing has been run in this folder yet"),
    h(
      "div",
      { class: "steps" },
      FIRST_STEPS.map(([name, heading, text]) =>
        h("div", { class: "step" }, h("h3", {}, heading), h("p", { class: "quiet" }, text), h("a", { class: "button", href: pageAddress(name), "aria-label": `Open ${heading}` }, "Open")),
      ),
    ),
  );
}

/** @param {import("./records").Project} project @param {PageAddress} pageAddress */
function commandMenu(project, pageAddress) {
  const menu = h(
    "select",
    {
      "aria-label": "Start a command",
      onchange: () => {
        const [program, command] = menu.value.split(" ");
        location.hash = pageAddress("new", { program, command });
      },
    },
    h("option", { value: "" }, "Start a command …"),
    Object.entries(project.programs).map(([program, forms]) =>
      h("optgroup", { label: `${program}.py` }, forms.map(({ command }) => h("option", { value: `${program} ${command}` }, command))),
    ),
  );
  return menu;
}

/**
 * What a job that has not ended needs: the time without a sign of life, or what it waits for.
 *
 * @param {JobLine} job
 */
export function stateNote({ host, last_sign_of_life: lastSign, waiting_for: waitingFor }) {
  if (lastSign) return `last sign of life ${duration(Date.now() / 1000 - lastSign)} ago${host ? ` on ${host}` : ""}`;
  if (!waitingFor) return "";
  const device = waitingFor.device === "cpu" ? "the CPU" : waitingFor.device.replace("gpu", "GPU ");
  return `waits for ${device}${waitingFor.job ? `, used by ${waitingFor.job}` : ""}`;
}

/** @param {JobLine} job */
const thumbnail = (job) =>
  job.thumbnail && h("img", { class: "thumbnail", loading: "lazy", alt: "", src: address("api/thumbnail", job.thumbnail) });

/** @param {JobLine} job @param {import("./records").Project} project @param {PageAddress} pageAddress */
function jobRow(job, project, pageAddress) {
  const [picture, name, state, progress, time] = [h("td", { class: "picture" }), h("td"), h("td"), h("td"), h("td", { class: "number" })];
  const jobPage = pageAddress("job", { name: job.name });
  const element = h(
    "tr",
    { class: "link", onclick: (/** @type {{ target: Element }} */ { target }) => target.closest("a") || (location.hash = jobPage) },
    picture,
    name,
    h("td", {}, job.command),
    h("td", { class: "small quiet", title: job.inputs.join(", ") }, job.inputs.map(baseName).join(", ")),
    state,
    progress,
    time,
    h("td", { class: "small date" }, dateTime(job.submitted ?? job.written)),
  );
  /** @param {JobLine} current */
  const update = (current) => {
    const shownName = current.name === "." ? project.name : current.name;
    redraw(picture, current.thumbnail, () => thumbnail(current));
    redraw(name, current.title, () => [
      h("a", { href: jobPage }, current.title || shownName),
      current.title && h("div", { class: "small quiet" }, shownName),
    ]);
    const note = stateNote(current);
    redraw(state, [current.state, note], () => [badge(current.state), note && h("div", { class: "small quiet" }, note)]);
    redraw(progress, current.progress, () => progressBar(current.progress));
    time.textContent = duration(current.seconds);
  };
  return { element, update };
}

/**
 * Header whose buttons sort the list.
 *
 * @param {Order} order
 * @param {() => void} changed
 */
function sortableHeader(order, changed) {
  const cells = COLUMNS.map((column) => {
    const { name, text, value } = column;
    if (!value) return h("th", { scope: "col" }, text || h("span", { class: "hidden-text" }, "Picture"));
    const sort = () => {
      order.descending = order.name === name ? !order.descending : name === "submitted";
      order.name = name;
      mark();
      changed();
    };
    return h("th", { scope: "col", "data-column": name }, h("button", { class: "plain sort", onclick: sort }, text));
  });
  function mark() {
    for (const cell of cells) {
      const active = cell.dataset.column === order.name;
      if (active) cell.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
  }
  mark();
  return h("thead", {}, h("tr", {}, cells));
}

/** @param {() => Promise<void>} refresh */
async function openTrash(refresh) {
  const list = h("tbody");
  const empty = h("button", { class: "danger", "data-do": "empty-trash", onclick: emptyTrash }, "Empty the trash");
  const dialog = openDialog("Trash", [h("table", {}, list), h("div", { class: "end" }, empty, h("button", { onclick: () => dialog.close() }, "Close"))]);
  async function emptyTrash() {
    if (!(await confirmAction("Empty the trash?", "The jobs and tables in it are deleted permanently.", "Delete"))) return;
    await attempt(() => post("trash/empty", {}));
    await draw();
  }
  /** @param {string} name */
  async function restore(name) {
    await attempt(() => post("trash/restore", { name }));
    await Promise.all([draw(), attempt(refresh)]);
  }
  async function draw() {
    /** @type {import("./records").TrashEntry[]} */
    const entries = await get("trash");
    empty.disabled = !entries.length;
    list.replaceChildren(
      ...entries.map(({ name, path, time, content }) =>
        h(
          "tr",
          {},
          h("td", { class: "mono" }, path ?? (content?.join(", ") || name)),
          h("td", { class: "small" }, dateTime(time)),
          h(
            "td",
            { class: "number" },
            path === null
              ? h("span", { class: "small quiet" }, "without a record: cannot be restored")
              : h("button", { "aria-label": `Restore ${path}`, "data-restore": path, onclick: () => restore(name) }, "Restore"),
          ),
        ),
      ),
      ...(entries.length ? [] : [h("tr", {}, h("td", {}, "The trash is empty."))]),
    );
  }
  await draw();
}

/** @param {import("./records").PageContext} context */
export async function showProject({ main, project, onLeave, pageAddress }) {
  const body = h("tbody");
  const order = { name: "submitted", descending: true };
  const rows = new Map();
  /** @type {JobLine[]} */
  let jobs = [];
  const filter = h("input", { type: "search", id: "filter", placeholder: "Filter by title, command, input or state", "aria-label": "Filter jobs", oninput: drawRows });
  const list = h("div", { class: "card", hidden: true }, h("table", { id: "jobs" }, sortableHeader(order, drawRows), body));
  const none = h("p", { class: "quiet", hidden: true }, "No job matches the filter.");
  const empty = firstSteps(pageAddress);
  main.append(
    h("div", { class: "row spread" }, h("h1", {}, project.name), h("div", { class: "row" }, commandMenu(project, pageAddress), h("button", { "data-do": "trash", onclick: () => attempt(() => openTrash(refresh)) }, "Trash"))),
    h("p", { class: "lead" }, "Every job is a folder of the project, whether it was started here or on the command line."),
    filter,
    list,
    none,
    empty,
  );

  /** @param {JobLine} job */
  function matches(job) {
    const text = [job.title, job.name, job.command, job.state, ...job.inputs].join(" ").toLowerCase();
    return filter.value.toLowerCase().split(/\s+/).every((word) => text.includes(word));
  }

  function drawRows() {
    const value = COLUMNS.find(({ name }) => name === order.name)?.value ?? (() => 0);
    const sign = order.descending ? -1 : 1;
    const shown = jobs.filter(matches);
    shown.sort((a, b) => {
      const [first, second] = [value(a), value(b)];
      return sign * (first < second ? -1 : first > second ? 1 : 0);
    });
    none.hidden = !jobs.length || shown.length > 0;
    redraw(body, shown.map(({ name }) => name), () => shown.map(({ name }) => rows.get(name).element));
  }

  async function refresh() {
    jobs = await get("jobs");
    list.hidden = filter.hidden = !jobs.length;
    empty.hidden = Boolean(jobs.length);
    for (const job of jobs) {
      if (!rows.has(job.name)) rows.set(job.name, jobRow(job, project, pageAddress));
      rows.get(job.name).update(job);
    }
    drawRows();
  }
  await refresh();
  repeat(REFRESH_MILLISECONDS, onLeave, refresh);
}
