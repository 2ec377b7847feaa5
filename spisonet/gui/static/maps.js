// Half maps, mask and 3D FSC from the measurement of anisotropy to the report.

import { get } from "./api.js";
import { browse } from "./files.js";
import { badge, h } from "./dom.js";

// What the steps of the workflow take from the files that are chosen once; commands that are not there are left out.
const INPUTS = [
  ["half1", "Half map 1"],
  ["half2", "Half map 2"],
  ["mask", "Mask"],
  ["aniso", "3D FSC"],
];
const STEPS = [
  ["fsc3d", "Measure", "3D FSC: resolution by direction, sphericity, cFAR.", { h: "half1", h2: "half2", mask: "mask" }],
  ["diagnose", "Diagnose", "Does the map need a correction, and what can be expected of one?", null],
  ["reconstruct", "Correct", "Train on the half maps, fill what was not measured.", { i1: "half1", i2: "half2", mask: "mask", aniso_file: "aniso" }],
  ["validate", "Validate", "How well was filled what had been hidden from the network on purpose?", { folder: "corrected" }],
  ["nulltest", "Null test", "Does the correction invent what is not there?", { folder: "corrected" }],
  ["report", "Report", "Before and after, by direction, in one page.", { folder: "corrected" }, { o: "{job}/report.html" }],
];
const SYNONYMS = { half1: ["half1", "h", "h1", "i1"], half2: ["half2", "h2", "i2"], mask: ["mask", "mask_file"], aniso: ["aniso_file"] };
const ELSEWHERE = [...STEPS.map(([name]) => name), "check"];

function prefill(command, mapping, chosen) {
  const names = new Set(command.fields.map(({ name }) => name));
  if (mapping) return Object.fromEntries(Object.entries(mapping).filter(([field]) => names.has(field)).map(([field, from]) => [field, chosen[from]]));
  const found = {};
  for (const [from, fields] of Object.entries(SYNONYMS)) {
    const field = fields.find((name) => names.has(name) && !(name in found));
    if (field) found[field] = chosen[from];
  }
  return found;
}

export async function showMaps({ main, values, project, here }) {
  const jobs = (await get("jobs")).filter(({ program }) => program === "spisonet");
  const commands = new Map(project.programs.spisonet.map((command) => [command.command, command]));
  const chosen = { ...values };

  const suits = (job) => !chosen.half1 || job.command === "report" || job.inputs.includes(chosen.half1);
  const latest = (command, state) => jobs.find((job) => job.command === command && suits(job) && (!state || job.state === state));
  const corrected = latest("reconstruct", "finished");
  if (corrected) chosen.corrected = corrected.name;
  const measured = latest("fsc3d", "finished");
  if (measured && !chosen.aniso) {
    const { results } = await get("job", { name: measured.name });
    chosen.aniso = results.find(({ name }) => /\/FSC3D\.mrc$/.test(name))?.name;
  }

  const choose = async (name, text) => {
    const found = await browse({ title: text, kinds: ["volume"] });
    if (found?.names.length) location.hash = here("maps", { ...values, [name]: found.names[0] });
  };

  const inputs = h(
    "div",
    { class: "fields" },
    INPUTS.map(([name, text]) => [
      h("label", {}, text),
      h(
        "div",
        { class: "row" },
        h("span", { class: "mono", id: `chosen-${name}` }, chosen[name] ?? h("span", { class: "quiet" }, "none")),
        h("button", { "data-choose": name, onclick: () => choose(name, text) }, "Browse"),
        chosen[name] && h("a", { class: "button", href: here("view", { name: chosen[name] }) }, "View"),
      ),
    ]),
  );

  const steps = STEPS.filter(([name]) => commands.has(name)).map(([name, heading, text, mapping, constants], index) => {
    const job = latest(name);
    const link = here("new", { program: "spisonet", command: name, ...prefill(commands.get(name), mapping, chosen), ...constants });
    return h(
      "div",
      { class: "step", "data-step": name },
      h("div", { class: "row" }, h("span", { class: "count" }, index + 1), h("h3", {}, heading)),
      h("p", { class: "small quiet" }, text),
      job ? h("div", { class: "row small" }, h("a", { href: here("job", { name: job.name }) }, job.name), badge(job.state)) : null,
      h("a", { class: `button ${job?.state === "finished" ? "" : "main"}`, href: link }, heading),
    );
  });

  const tools = [...commands.values()].filter(({ command }) => !ELSEWHERE.includes(command));
  main.append(
    h("h1", {}, "Maps"),
    h("p", { class: "lead" }, "From two half maps with preferred orientation to a corrected map, and to what can be trusted of it."),
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
            h("td", {}, h("a", { href: here("new", { program: "spisonet", command: tool.command, ...prefill(tool, null, chosen) }) }, tool.command)),
            h("td", { class: "quiet" }, tool.summary.split("\n\n")[0]),
          ),
        ),
      ),
    ),
  );
}
