// Project page: the list of jobs.

import { get } from "./api.js";
import { attempt, badge, baseName, dateTime, duration, h, redraw, repeat } from "./dom.js";
import { progressBar } from "./progress.js";

const REFRESH_MILLISECONDS = 1500;
const COLUMNS = ["Job", "Command", "Input", "State", "Progress", "Time", "Submitted"];
const FIRST_STEPS = [
  ["tomograms", "Tomograms", "Add tomograms, deconvolve and mask them, train a network, predict, and view the result."],
  ["maps", "Maps", "Half maps with preferred orientation: measure the anisotropy, correct it, validate the correction."],
  ["relion", "RELION", "Correct the reference in every iteration of a refinement."],
];

function firstSteps(pageAddress) {
  return h(
    "div",
    { class: "card" },
    h("h2", {}, "Nothing has been run in this folder yet"),
    h(
      "div",
      { class: "steps" },
      FIRST_STEPS.map(([name, heading, text]) =>
        h("div", { class: "step" }, h("h3", {}, heading), h("p", { class: "quiet" }, text), h("a", { class: "button", href: pageAddress(name) }, "Open")),
      ),
    ),
  );
}

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

function jobRow(job, project, pageAddress) {
  const [state, progress, time] = [h("td"), h("td"), h("td", { class: "number" })];
  const jobPage = pageAddress("job", { name: job.name });
  const element = h(
    "tr",
    { class: "link", onclick: () => (location.hash = jobPage) },
    h("td", {}, h("a", { href: jobPage }, job.name === "." ? project.name : job.name)),
    h("td", {}, job.command),
    h("td", { class: "small quiet", title: job.inputs.join(", ") }, job.inputs.map(baseName).join(", ")),
    state,
    progress,
    time,
    h("td", { class: "small" }, dateTime(job.submitted ?? job.written)),
  );
  const update = (current) => {
    redraw(state, current.state, () => badge(current.state));
    redraw(progress, current.progress, () => progressBar(current.progress));
    time.textContent = duration(current.seconds);
  };
  return { element, update };
}

export async function showProject({ main, project, onLeave, pageAddress }) {
  const body = h("tbody");
  const header = h("thead", {}, h("tr", {}, COLUMNS.map((text) => h("th", {}, text))));
  const list = h("div", { class: "card" }, h("table", { id: "jobs" }, header, body));
  const empty = firstSteps(pageAddress);
  main.append(
    h("div", { class: "row spread" }, h("h1", {}, project.name), commandMenu(project, pageAddress)),
    h("p", { class: "lead" }, "Every job is a folder of the project, whether it was started here or on the command line."),
    list,
    empty,
  );

  const rows = new Map();
  async function refresh() {
    const jobs = await get("jobs");
    list.hidden = !jobs.length;
    empty.hidden = Boolean(jobs.length);
    for (const job of jobs) {
      if (!rows.has(job.name)) rows.set(job.name, jobRow(job, project, pageAddress));
      rows.get(job.name).update(job);
    }
    redraw(body, jobs.map(({ name }) => name), () => jobs.map(({ name }) => rows.get(name).element));
  }
  await refresh();
  repeat(REFRESH_MILLISECONDS, onLeave, () => attempt(refresh));
}
