// Controls of a form that select where a job runs: GPUs or CPU of this machine, or SLURM.

import { h } from "./dom.js";

/**
 * @param {import("./records").Project} project
 * @param {import("./records").Form} form
 * @param {import("./records").ComputeTarget | null} target that of an earlier job
 * @param {() => void} changed called after every change
 * @returns {{ element: HTMLElement, read: () => import("./records").ComputeTarget }}
 */
export function computeTargetControls(project, form, target, changed) {
  const gpus = Object.entries(project.gpus);
  const preselected = form.uses_gpus && gpus.length ? [Number(gpus[0][0])] : [];
  const selected = new Set((target?.gpus ?? preselected).map(Number));
  const machine = h("select", { id: "target", "aria-label": "Run on" }, h("option", { value: "local" }, "this machine"));
  if (project.slurm.template) machine.append(h("option", { value: "slurm" }, "SLURM"));
  machine.value = target?.slurm ? "slurm" : "local";
  const wait = h("input", { type: "checkbox", id: "wait" });
  wait.checked = target?.wait ?? true;
  const gpuBoxes = (form.uses_gpus ? gpus : []).map(([number, name]) => {
    const box = h("input", { type: "checkbox", value: number });
    box.checked = selected.has(Number(number));
    return { box, label: h("label", { class: "row small" }, box, `GPU ${number}`, h("span", { class: "quiet" }, name)) };
  });
  const slurmFields = project.slurm.fields.map((name) => ({
    name,
    input: h("input", { type: "text", class: "short", value: target?.slurm?.[name] ?? "", "aria-label": name }),
  }));
  const local = h(
    "div",
    {},
    gpuBoxes.length ? gpuBoxes.map(({ label }) => label) : h("span", { class: "small quiet" }, form.uses_gpus ? "CPU (no GPU found)" : "CPU"),
    h("label", { class: "row small" }, wait, "wait until other jobs have released it"),
  );
  const slurm = h(
    "div",
    { class: "row" },
    slurmFields.map(({ name, input }) => h("label", { class: "small" }, `${name} `, input)),
  );
  const update = () => {
    local.hidden = machine.value !== "local";
    slurm.hidden = machine.value === "local";
  };
  machine.addEventListener("change", update);
  update();
  return {
    element: h("div", { onchange: changed, oninput: changed }, h("div", { class: "row" }, machine, local, slurm)),
    read: () =>
      machine.value === "slurm"
        ? { slurm: Object.fromEntries(slurmFields.map(({ name, input }) => [name, input.value])) }
        : { gpus: gpuBoxes.filter(({ box }) => box.checked).map(({ box }) => Number(box.value)), wait: wait.checked },
  };
}
