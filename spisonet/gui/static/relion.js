// RELION: the line to export, the check before a refinement, and what the iterations of a running one say.

import { address, get, post } from "./api.js";
import { lineChart } from "./chart.js";
import { attempt, badge, h, moment, notify, redraw } from "./dom.js";

const LOOK_AGAIN_MILLISECONDS = 4000;
const COLUMNS = [
  ["resolution", "FSC of RELION, Å", 2],
  ["best_direction", "best direction, Å", 1],
  ["worst_direction", "worst direction, Å", 1],
  ["sphericity", "sphericity", 3],
  ["cfar", "cFAR", 3],
  ["median_angle", "views from their axis, °", 1],
  ["median_change", "views moved by, °", 1],
];
const CHARTS = [
  ["resolution", "resolution, Å"],
  ["sphericity", "sphericity"],
  ["median_change", "views moved by, °"],
];

function said({ half, outcome, reason, facts }) {
  const who = half || "all";
  if (outcome === "waited") return `${who}: left alone (${reason.replace(/\.$/, "")})`;
  if (outcome !== "corrected") return `${who}: NOT corrected (${reason.replace(/\.$/, "")})`;
  return `${who}: corrected in ${facts.seconds.toFixed(0)} s, ${(100 * facts.inferred).toFixed(0)} % inferred`;
}

function iterations(shown) {
  if (!shown.rows.length) return h("p", { class: "quiet" }, "No iteration has been served yet.");
  const charts = CHARTS.map(([name, text]) => {
    const points = shown.rows.filter((row) => typeof row[name] === "number").map((row) => [row.iteration, row[name]]);
    return points.length > 1 ? lineChart([{ name: "", points }], { xTitle: "iteration", yTitle: text }) : null;
  });
  return [
    h("div", { class: "row" }, charts.filter(Boolean).map((chart) => h("div", { style: { flex: "1 1 300px" } }, chart))),
    h(
      "table",
      { id: "iterations" },
      h("tr", {}, h("th", {}, "iteration"), COLUMNS.map(([, text]) => h("th", { class: "number" }, text)), h("th", {}, "correction")),
      [...shown.rows].reverse().map((row) =>
        h(
          "tr",
          {},
          h("td", {}, `${row.iteration}${shown.rows.some(({ part }) => part !== row.part) ? ` ${row.part}` : ""}`),
          COLUMNS.map(([name, , digits]) => h("td", { class: "number" }, typeof row[name] === "number" ? row[name].toFixed(digits) : "")),
          h("td", { class: "small" }, row.corrections.map((record) => h("div", {}, said(record)))),
        ),
      ),
    ),
  ];
}

export async function showRelion({ main, values, onLeave, here }) {
  const { export: line, refinements } = await get("relion");
  const chosen = values.name ?? refinements.find(({ corrected }) => corrected)?.name ?? refinements[0]?.name;
  const found = h("div", { id: "findings" });
  const subject = h("input", {
    type: "text",
    value: chosen ?? "",
    placeholder: "Refine3D/job012, or the refine command",
    "aria-label": "Job folder or refine command",
    style: { flex: "1" },
  });
  const button = h("button", { class: "main", "data-do": "check", onclick: run }, "Check");
  async function run() {
    button.disabled = true;
    found.replaceChildren(h("p", { class: "quiet" }, "Checking …"));
    try {
      const findings = await post("check", { subject: subject.value });
      const kinds = { ok: "finished", warning: "stopped", error: "failed" };
      found.replaceChildren(
        h("table", {}, findings.map(({ kind, text }) => h("tr", {}, h("td", {}, h("span", { class: `badge ${kinds[kind]}` }, kind)), h("td", {}, text)))),
      );
    } catch (error) {
      found.replaceChildren(h("p", { class: "error" }, error.message));
    }
    button.disabled = false;
  }
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      notify("Copied.");
    } catch {
      notify("This browser does not let pages copy: select the line instead.", true);
    }
  };

  const detail = h("div");
  main.append(
    h("h1", {}, "RELION"),
    h("p", { class: "lead" }, "In every iteration of a 3D refinement, RELION asks this program for the reference."),
    h(
      "div",
      { class: "card" },
      h("h2", {}, "1. Before RELION starts, or in the submission script"),
      h("div", { class: "row" }, h("pre", { class: "command", id: "export-line", style: { flex: "1" } }, line), h("button", { onclick: copy }, "Copy")),
      h("p", { class: "small quiet" }, "Then give --external_reconstruct as an additional argument of the 3D auto-refine job."),
    ),
    h("div", { class: "card" }, h("h2", {}, "2. What would go wrong?"), h("div", { class: "row" }, subject, button), found),
    h(
      "div",
      { class: "card" },
      h("h2", {}, "3. Refinements of this project"),
      refinements.length
        ? h(
            "table",
            {},
            refinements.map((job) =>
              h(
                "tr",
                { class: "link", onclick: () => (location.hash = here("relion", { name: job.name })) },
                h("td", {}, h("a", { href: here("relion", { name: job.name }) }, job.name)),
                h("td", {}, badge(job.state)),
                h("td", {}, job.iteration === null ? "" : `iteration ${job.iteration}`),
                h("td", { class: "quiet" }, job.corrected ? "corrected here" : "without correction"),
                h("td", { class: "small" }, moment(job.seen)),
              ),
            ),
          )
        : h("p", { class: "quiet" }, "This folder holds none (Refine3D/…). Start the interface in a RELION project to see them."),
    ),
    detail,
  );
  if (!chosen) return;

  async function refresh() {
    const shown = await get("refinement", { name: chosen });
    redraw(detail, shown, () =>
      h(
        "div",
        { class: "card" },
        h(
          "div",
          { class: "row spread" },
          h("h2", { style: { margin: "0" } }, shown.name, " ", badge(shown.state)),
          shown.page && h("a", { class: "button", href: address("file", { name: shown.page }), target: "_blank" }, "Summary page"),
        ),
        iterations(shown),
      ),
    );
    return shown.state === "running";
  }
  let running = await refresh();
  const timer = setInterval(async () => {
    if (running && !document.hidden) running = (await attempt(refresh)) ?? running;
  }, LOOK_AGAIN_MILLISECONDS);
  onLeave(() => clearInterval(timer));
}
