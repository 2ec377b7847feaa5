// RELION page: the line to export, the check before a refinement, and the corrections by iteration.

import { address, get, post } from "./api.js";
import { lineChart } from "./chart.js";
import { badge, dateTime, h, messageOf, notify, redraw, repeat } from "./dom.js";
import { viewsDisc } from "./views_disc.js";

const REFRESH_MILLISECONDS = 4000;
/** @typedef {import("./records").IterationRow} IterationRow */
/** @typedef {import("./records").CorrectionRecord} CorrectionRecord */

/** @type {[string, string, number][]} */
const COLUMNS = [
  ["resolution_angstrom", "resolution (RELION FSC), Å", 2],
  ["best_direction_angstrom", "best direction, Å", 1],
  ["worst_direction_angstrom", "worst direction, Å", 1],
  ["sphericity", "sphericity", 3],
  ["cfar", "cFAR", 3],
  ["median_view_angle_degrees", "median angle to preferred axis, °", 1],
  ["median_view_change_degrees", "median change of views, °", 1],
];
// Of each chart: the title of its axis, and its curves.
/** @type {[string, [string, string][]][]} */
const CHARTS = [
  ["resolution, Å", [["resolution_angstrom", "RELION FSC"], ["best_direction_angstrom", "best direction"], ["worst_direction_angstrom", "worst direction"]]],
  ["sphericity, cFAR", [["sphericity", "sphericity"], ["cfar", "cFAR"]]],
  ["change of views, °", [["median_view_change_degrees", "median"]]],
];

/** @param {CorrectionRecord} record */
function correctionText({ half, status, reason, seconds, inferred_fraction: inferred }) {
  const name = half || "all";
  if (status !== "corrected") {
    return `${name}: ${status === "skipped" ? "skipped" : "NOT corrected"} (${reason.replace(/\.$/, "")})`;
  }
  return `${name}: corrected in ${seconds.toFixed(0)} s, ${(100 * inferred).toFixed(0)} % of the power inferred`;
}

/**
 * A square for each iteration and half: corrected, skipped or failed.
 *
 * @param {IterationRow[]} rows
 */
function correctionStrip(rows) {
  const cells = rows.map((row) =>
    h(
      "div",
      { class: "iteration" },
      h("div", { class: "small quiet" }, row.iteration),
      row.corrections.map((record) => h("span", { class: `cell-${record.status}`, role: "img", "aria-label": `Iteration ${row.iteration}, ${correctionText(record)}`, title: correctionText(record) })),
    ),
  );
  const legend = [["corrected", "corrected"], ["skipped", "skipped"], ["not_corrected", "not corrected"]].map(([status, text]) => h("span", { class: "small" }, h("span", { class: `cell-${status}` }), ` ${text}`));
  return h("div", { id: "strip" }, h("div", { class: "row" }, h("h3", {}, "Corrections by iteration"), legend), h("div", { class: "strip" }, cells));
}

/** @param {import("./records").Refinement} refinement */
function iterationTable(refinement) {
  if (!refinement.rows.length) return h("p", { class: "quiet" }, "No iteration has been corrected yet.");
  /**
   * @param {string} name
   * @returns {[number, number][]}
   */
  const points = (name) =>
    refinement.rows.flatMap(({ iteration, [name]: value }) => (typeof value === "number" ? [/** @type {[number, number]} */ ([iteration, value])] : []));
  const charts = CHARTS.map(([yTitle, curves]) => {
    const series = curves
      .map(([name, text]) => ({ name: text, points: points(name) }))
      .filter((each) => each.points.length > 1);
    return series.length ? lineChart(series, { xTitle: "iteration", yTitle }) : null;
  });
  const latest = [...refinement.rows].reverse().find((row) => row.view_histogram);
  return [
    h(
      "div",
      { class: "row live" },
      latest?.view_histogram && h("figure", { id: "views" }, viewsDisc(latest.view_histogram), h("figcaption", { class: "small quiet" }, `Views after iteration ${latest.iteration}, seen along z (equator at the border). Amber: directions without views.`)),
      charts.filter(Boolean).map((chart) => h("div", { class: "live-chart" }, chart)),
    ),
    correctionStrip(refinement.rows),
    h(
      "table",
      { id: "iterations" },
      h("tr", {}, h("th", {}, "iteration"), COLUMNS.map(([, text]) => h("th", { class: "number" }, text)), h("th", {}, "correction")),
      [...refinement.rows].reverse().map((row) =>
        h(
          "tr",
          {},
          h("td", {}, `${row.iteration}${refinement.rows.some(({ part }) => part !== row.part) ? ` ${row.part}` : ""}`),
          COLUMNS.map(([name, , digits]) => {
            const value = row[name];
            return h("td", { class: "number" }, typeof value === "number" ? value.toFixed(digits) : "");
          }),
          h("td", { class: "small" }, row.corrections.map((record) => h("div", {}, correctionText(record)))),
        ),
      ),
    ),
  ];
}

/** @param {import("./records").PageContext} context */
export async function showRelion({ main, values, onLeave, pageAddress }) {
  /** @type {{ export: string, refinements: import("./records").RefinementLine[] }} */
  const { export: line, refinements } = await get("relion");
  const selected = values.name ?? refinements.find(({ corrected }) => corrected)?.name ?? refinements[0]?.name;
  const findingList = h("div", { id: "findings" });
  const input = h("input", {
    type: "text",
    value: selected ?? "",
    placeholder: "Refine3D/job012, or the refine command",
    "aria-label": "Job folder or refine command",
    style: { flex: "1" },
  });
  const button = h("button", { class: "main", "data-do": "check", onclick: check }, "Check");
  let nCheck = 0; // results of an earlier check, or of another text, are not shown
  input.addEventListener("input", () => {
    nCheck += 1;
    findingList.replaceChildren();
  });
  async function check() {
    nCheck += 1;
    const own = nCheck;
    findingList.replaceChildren(h("p", { class: "quiet" }, "Checking …"));
    try {
      /** @type {{ level: "ok" | "warning" | "error", message: string }[]} */
      const findings = await post("check", { refinement: input.value });
      if (own !== nCheck) return;
      const badgeOfLevel = { ok: "finished", warning: "stopped", error: "failed" };
      findingList.replaceChildren(
        h("table", {}, findings.map(({ level, message }) => h("tr", {}, h("td", {}, h("span", { class: `badge ${badgeOfLevel[level]}` }, level)), h("td", {}, message)))),
      );
    } catch (error) {
      if (own === nCheck) findingList.replaceChildren(h("p", { class: "error" }, messageOf(error)));
    }
  }
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(line);
      notify("Copied.");
    } catch {
      notify("The browser does not allow copying; select the line instead.", true);
    }
  };

  const detail = h("div");
  main.append(
    h("h1", {}, "RELION"),
    h("p", { class: "lead" }, "spisonet corrects the reference in every iteration of a RELION 3D refinement."),
    h(
      "div",
      { class: "card" },
      h("h2", {}, "1. Run this line before RELION starts, or add it to the submission script"),
      h("div", { class: "row" }, h("pre", { class: "command", id: "export-line", style: { flex: "1" } }, line), h("button", { onclick: copy }, "Copy")),
      h("p", { class: "small quiet" }, "Then add --external_reconstruct to the additional arguments of the 3D auto-refine job."),
    ),
    h("div", { class: "card" }, h("h2", {}, "2. Check a refinement before it starts"), h("div", { class: "row" }, input, button), findingList),
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
                { class: "link", onclick: () => (location.hash = pageAddress("relion", { name: job.name })) },
                h("td", {}, h("a", { href: pageAddress("relion", { name: job.name }) }, job.name)),
                h("td", {}, badge(job.state)),
                h("td", {}, job.iteration === null ? "" : `iteration ${job.iteration}`),
                h("td", { class: "quiet" }, job.corrected ? "with corrections" : "without corrections"),
                h("td", { class: "small" }, dateTime(job.modified)),
              ),
            ),
          )
        : h("p", { class: "quiet" }, "No refinements found (Refine3D/…). Start the interface in a RELION project folder to list them."),
    ),
    detail,
  );
  if (!selected) return;

  async function refresh() {
    /** @type {import("./records").Refinement} */
    const refinement = await get("refinement", { name: selected });
    redraw(detail, refinement, () =>
      h(
        "div",
        { class: "card" },
        h(
          "div",
          { class: "row spread" },
          h("h2", { style: { margin: "0" } }, refinement.name, " ", badge(refinement.state)),
          refinement.page && h("a", { class: "button", href: address("file", { name: refinement.page }), target: "_blank" }, "Summary page"),
        ),
        iterationTable(refinement),
      ),
    );
    return refinement.state === "running";
  }
  let running = await refresh();
  repeat(REFRESH_MILLISECONDS, onLeave, async () => {
    if (running) running = await refresh();
  });
}
