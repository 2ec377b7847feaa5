// Maps page: the workflow from half maps to a validated, corrected map.

import { get } from "./api.js";
import { browse } from "./files.js";
import { attempt, badge, h, notify } from "./dom.js";
import { getSettings, remember } from "./settings.js";

/** @typedef {import("./records").Form} Form */
/** @typedef {import("./records").Settings} Settings */
/** @typedef {"half1" | "half2" | "mask" | "aniso"} Input */
/** @typedef {Partial<Record<Input | "corrected", string>>} Selected */

// The files of the workflow are selected once; each step fills its form with them.
/** @type {[Input, string][]} */
const INPUTS = [
  ["half1", "Half map 1"],
  ["half2", "Half map 2"],
  ["mask", "Mask"],
  ["aniso", "3D FSC"],
];
/** @type {[string, string, string, Record<string, Input | "corrected"> | null, Record<string, string>?][]} */
const STEPS = [
  ["fsc3d", "Measure", "3D FSC: resolution by direction, sphericity, cFAR.", { h: "half1", h2: "half2", mask: "mask" }],
  ["diagnose", "Diagnose", "Diagnose anisotropy and misalignment, and recommend a processing strategy.", null],
  ["reconstruct", "Correct", "Train on the half maps and fill in the unmeasured region of Fourier space.", { i1: "half1", i2: "half2", mask: "mask", aniso_file: "aniso" }],
  ["validate", "Validate", "Held-out validation: recovery of directions that were hidden from the network.", { folder: "corrected" }],
  ["nulltest", "Null test", "Null tests for hallucinated signal.", { folder: "corrected" }],
  ["report", "Report", "Maps and resolution by direction, before and after correction, on one page.", { folder: "corrected" }, { o: "{job}/report.html" }],
];
/** @type {Record<Input, string[]>} */
const FIELD_NAMES = { half1: ["half1", "h", "h1", "i1"], half2: ["half2", "h2", "i2"], mask: ["mask", "mask_file"], aniso: ["aniso_file"] };
const NOT_TOOLS = [...STEPS.map(([name]) => name), "check"];

/**
 * Values of a form from the selected files: by the mapping of a workflow step, or by the usual names of fields.
 *
 * @param {Form} form
 * @param {Record<string, Input | "corrected"> | null} mapping
 * @param {Selected} selected
 * @returns {Record<string, string | undefined>}
 */
function prefill(form, mapping, selected) {
  const names = new Set(form.fields.map(({ name }) => name));
  if (mapping) return Object.fromEntries(Object.entries(mapping).filter(([field]) => names.has(field)).map(([field, from]) => [field, selected[from]]));
  /** @type {Record<string, string | undefined>} */
  const values = {};
  for (const [from, fields] of /** @type {[Input, string[]][]} */ (Object.entries(FIELD_NAMES))) {
    const field = fields.find((name) => names.has(name) && !(name in values));
    if (field) values[field] = selected[from];
  }
  return values;
}

/** @param {import("./records").PageContext} context */
export async function showMaps({ main, values, project, onLeave, pageAddress }) {
  /** @type {import("./records").JobLine[]} */
  const listed = await get("jobs");
  const jobs = listed.filter(({ program }) => program === "spisonet");
  const forms = new Map(project.programs.spisonet.map((form) => [form.command, form]));
  // The address may name other maps than the project remembers.
  const given = Object.fromEntries(INPUTS.map(([name]) => [name, values[name]]).filter(([, file]) => file !== undefined));
  if (Object.keys(given).length) await attempt(() => remember(given));
  const chosen = Object.fromEntries(INPUTS.map(([name]) => [name, getSettings()[name] ?? undefined]));
  /** @type {Selected} */
  const selected = { ...chosen };

  /** @param {import("./records").JobLine} job */
  const matches = (job) => !selected.half1 || job.command === "report" || job.inputs.includes(selected.half1);
  /** @param {string} command @param {string} [state] */
  const latest = (command, state) => jobs.find((job) => job.command === command && matches(job) && (!state || job.state === state));
  const corrected = latest("reconstruct", "finished");
  /** @type {string | undefined} */
  let fullMap;
  if (corrected) {
    selected.corrected = corrected.name;
    /** @type {import("./records").JobDetails} */
    const { results } = await get("job", { name: corrected.name });
    fullMap = results.find(({ main: isMain }) => isMain)?.name;
  }
  const measured = latest("fsc3d", "finished");
  if (measured && !selected.aniso) {
    /** @type {import("./records").JobDetails} */
    const { results } = await get("job", { name: measured.name });
    selected.aniso = results.find(({ name }) => /\/FSC3D\.mrc$/.test(name))?.name;
  }

  /** @param {Input} name @param {string} text */
  const choose = async (name, text) => {
    const found = await browse({ title: text, kinds: ["volume"] });
    if (!found?.names.length) return;
    const [file] = found.names;
    /** @type {Settings} */
    const changes = { [name]: file };
    if (name === "half1") {
      // Of another pair, the other half and the mask are proposed.
      const companions = (await attempt(() => get("companions", { name: file }))) ?? {};
      for (const note of companions.notes ?? []) notify(note, true);
      Object.assign(changes, { half2: companions.half2 ?? null, aniso: null }, companions.mask ? { mask: companions.mask } : {});
    }
    await change(changes);
  };

  /** @param {Settings} changes */
  async function change(changes) {
    await attempt(() => remember(changes));
    main.replaceChildren();
    // Without the files of the address, which would be remembered again.
    await showMaps({ main, values: {}, project, onLeave, pageAddress });
    /** @type {HTMLElement | null} */ (main.querySelector(`[data-choose="${Object.keys(changes)[0]}"]`))?.focus();
  }

  const inputs = h(
    "div",
    { class: "fields" },
    INPUTS.map(([name, text]) => [
      h("span", { class: "label" }, text),
      h(
        "div",
        { class: "row" },
        h("span", { class: "mono", id: `selected-${name}` }, selected[name] ?? h("span", { class: "quiet" }, "not selected")),
        h("button", { "data-choose": name, "aria-label": `Browse: ${text}`, onclick: () => choose(name, text) }, "Browse"),
        chosen[name] && h("button", { class: "plain", "aria-label": `Clear: ${text}`, "data-clear": name, onclick: () => change({ [name]: null }) }, "×"),
        selected[name] && h("a", { class: "button", href: pageAddress("view", { name: selected[name] }) }, "View"),
      ),
    ]),
  );

  const steps = STEPS.flatMap(([name, heading, text, mapping, constants], index) => {
    const form = forms.get(name);
    if (!form) return [];
    const job = latest(name);
    const link = pageAddress("new", { program: "spisonet", command: name, ...prefill(form, mapping, selected), ...constants });
    return h(
      "div",
      { class: "step", "data-step": name },
      h("div", { class: "row" }, h("span", { class: "count" }, index + 1), h("h3", {}, heading)),
      h("p", { class: "small quiet" }, text),
      job ? h("div", { class: "row small" }, h("a", { href: pageAddress("job", { name: job.name }) }, job.name), badge(job.state)) : null,
      h("a", { class: `button ${job?.state === "finished" ? "" : "main"}`, href: link }, heading),
      name === "reconstruct" && fullMap ? h("a", { class: "button", id: "view-full-map", href: pageAddress("view", { name: selected.half1, half2: selected.half2, second: fullMap }) }, "Before / after") : null,
    );
  });

  const tools = [...forms.values()].filter(({ command }) => !NOT_TOOLS.includes(command));
  main.append(
    h("h1", {}, "Maps"),
    h("p", { class: "lead" }, "From two half maps with preferred orientation to a validated, corrected map."),
    h("div", { class: "card" }, h("h2", {}, "Input"), inputs),
    h("div", { class: "steps" }, steps),
    h("h2", {}, "Tools"),
    h(
      "div",
      { class: "card" },
      h(
        "table",
        {},
        tools.map((tool) =>
          h(
            "tr",
            {},
            h("td", {}, h("a", { href: pageAddress("new", { program: "spisonet", command: tool.command, ...prefill(tool, null, selected) }) }, tool.command)),
            h("td", { class: "quiet" }, tool.summary.split("\n\n")[0]),
          ),
        ),
      ),
    ),
  );
}
