// Slices of volumes: three planes with a crosshair, contrast, before and after, power spectrum, mask and boundary.

import { address, get, post } from "./api.js";
import { browse } from "./files.js";
import { attempt, facts, h, notify, s, size, stem } from "./dom.js";
import { drawSurface } from "./surface.js";

const GAP = 6;
const AXES = ["z", "y", "x"];
const PLANES = { z: ["x", "y"], y: ["x", "z"], x: ["z", "y"] }; // across; to the right, up
const COLOURS = { z: "#5aa9ff", y: "#6fe0a3", x: "#ff8f8f" };
const SETTLE_MILLISECONDS = 60;
const NEAR_PIXELS = 9;

/** A picture that follows what is wanted: while one is on its way the next is not asked for, only the last. */
function follower(image, onShown) {
  let shown = null;
  let wanted = null;
  let busy = false;
  async function next() {
    if (busy || wanted === shown) return;
    busy = true;
    const url = wanted;
    const ahead = new Image();
    ahead.src = url;
    try {
      await ahead.decode();
      image.src = url;
      shown = url;
      onShown?.(url);
    } catch {
      if (wanted === url) wanted = shown;
    }
    busy = false;
    next();
  }
  return (url) => {
    wanted = url;
    next();
  };
}

class Volume {
  constructor(name, described) {
    Object.assign(this, described, { name });
    [this.low, this.high] = this.contrast;
  }

  static async open(name) {
    return new Volume(name, await get("volume", { name }));
  }

  count(axis) {
    return this.shape[AXES.indexOf(axis)];
  }

  picture(kind, axis, index, thickness) {
    const plane = { name: this.name, axis, index, thickness, version: this.version };
    if (kind === "slice") Object.assign(plane, { low: this.low, high: this.high });
    return address(`api/${kind}`, plane);
  }

  likeContrastOf(other) {
    const scale = this.deviation / (other.deviation || 1);
    this.low = this.mean + (other.low - other.mean) * scale;
    this.high = this.mean + (other.high - other.mean) * scale;
  }
}

/** The histogram with two handles. */
function contrastControl(volume, changed) {
  const canvas = h("canvas", { class: "histogram", width: 464, height: 168, "aria-label": "Contrast" });
  const [begin, end] = volume.extent;
  const reach = end - begin;
  const [from, to] = [begin - 0.06 * reach, end + 0.06 * reach];
  const px = (value) => ((value - from) / (to - from)) * canvas.width;
  function draw() {
    const c = canvas.getContext("2d");
    c.clearRect(0, 0, canvas.width, canvas.height);
    // The mean of three bins: whole numbers would fill only every other one.
    const counts = volume.histogram.map((_, bin, all) => (all[bin - 1] ?? 0) + all[bin] + (all[bin + 1] ?? 0));
    const most = Math.max(...counts);
    c.fillStyle = "#53717c";
    counts.forEach((count, bin) => {
      const x = px(begin + (bin / counts.length) * reach);
      const height = Math.sqrt(count / most) * (canvas.height - 12);
      c.fillRect(x, canvas.height - height, px(begin + ((bin + 1) / counts.length) * reach) - x + 0.5, height);
    });
    for (const [value, colour] of [[volume.low, "#000"], [volume.high, "#fff"]]) {
      c.fillStyle = "#ffd166";
      c.fillRect(px(value) - 1.5, 0, 3, canvas.height);
      c.beginPath();
      c.arc(px(value), 12, 9, 0, 7);
      c.fillStyle = colour;
      c.fill();
      c.strokeStyle = "#ffd166";
      c.lineWidth = 3;
      c.stroke();
    }
  }
  let held = null;
  const valueAt = (event) => from + (event.offsetX / canvas.clientWidth) * (to - from);
  canvas.addEventListener("pointerdown", (event) => {
    const value = valueAt(event);
    held = Math.abs(value - volume.low) < Math.abs(value - volume.high) ? "low" : "high";
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held || !event.buttons) return;
    volume[held] = valueAt(event);
    draw();
    changed();
  });
  canvas.addEventListener("pointerup", () => (held = null));
  draw();
  return { element: canvas, draw };
}

export async function showViewer({ main, values, onLeave, here }) {
  main.classList.add("viewing");
  const go = (changes) => (location.hash = here("view", { ...values, ...changes }));
  const choose = async (key, text, kinds = ["volume"]) => {
    const found = await browse({ title: text, kinds });
    if (found?.names.length) go({ [key]: found.names[0] });
  };
  const openButton = h("button", { "data-do": "open", onclick: () => choose("name", "Open a map or tomogram") }, "Open");
  const tools = h("div", { class: "tools" }, openButton);
  const stage = h("div", { class: "stage" });
  main.append(tools, stage);
  if (!values.name) {
    stage.append(h("div", { class: "empty" }, h("p", {}, "Open a map or a tomogram to look at its slices. Only the planes on the screen are read, whatever its size.")));
    return;
  }

  const volume = await Volume.open(values.name);
  const second = values.second ? await Volume.open(values.second) : null;
  const mask = values.mask ? await Volume.open(values.mask) : null;
  for (const other of [second, mask].filter(Boolean)) {
    if (String(other.shape) !== String(volume.shape)) throw new Error(`${other.name} has another shape than ${volume.name}.`);
  }
  second?.likeContrastOf(volume);
  const position = Object.fromEntries(AXES.map((axis) => [axis, Math.floor(volume.count(axis) / 2)]));
  const state = { power: false, masked: Boolean(mask), divide: 0.5, thickness: 1, editing: false, surface: false };
  const contours = values.boundary ? ((await attempt(() => get("boundary", { name: values.boundary }))) ?? []) : [];
  let current = -1; // the contour that grows

  // --- panes ---
  const panes = h("div", { class: "panes", id: "panes" });
  const views = Object.fromEntries(AXES.map((axis) => [axis, makePane(axis)]));
  panes.append(...AXES.map((axis) => views[axis].element));

  function makePane(axis) {
    const [right, up] = PLANES[axis];
    const base = h("img", { alt: `${right}${up} slice`, draggable: "false" });
    const over = second && h("img", { alt: "after", draggable: "false" });
    const cover = mask && h("img", { alt: "mask", draggable: "false" });
    const marks = s("svg", { preserveAspectRatio: "none", viewBox: `0 0 ${volume.count(right)} ${volume.count(up)}` });
    const tag = h("span", { class: "tag" });
    const divider = second && h("div", { class: "divider", role: "slider", "aria-label": "Before and after" });
    const after = second && h("span", { class: "tag right" }, "after");
    const element = h("div", { class: "pane", "data-axis": axis }, base, over, cover, marks, tag, after, divider);
    const view = { axis, right, up, element, base, over, cover, marks, tag, divider, loaded: 0 };
    view.show = follower(base, (url) => {
      element.dataset.shown = url;
      view.loaded += 1;
    });
    view.showOver = over && follower(over);
    view.showCover = cover && follower(cover);
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      move(axis, position[axis] - Math.sign(event.deltaY) * (event.shiftKey ? 10 : 1));
    });
    element.addEventListener("pointerdown", (event) => press(view, event));
    element.addEventListener("pointermove", (event) => drag(view, event));
    element.addEventListener("pointerup", () => {
      held = null;
    });
    element.addEventListener("contextmenu", (event) => state.editing && event.preventDefault());
    element.addEventListener("pointerenter", () => (hovered = axis));
    return view;
  }

  let hovered = "z";
  let held = null;

  function at(view, event) {
    const box = view.element.getBoundingClientRect();
    const fx = (event.clientX - box.left) / box.width;
    const fy = 1 - (event.clientY - box.top) / box.height;
    return { fx, [view.right]: fx * volume.count(view.right) - 0.5, [view.up]: fy * volume.count(view.up) - 0.5 };
  }

  function press(view, event) {
    view.element.setPointerCapture(event.pointerId);
    if (event.target === view.divider) held = { divider: true };
    else if (state.editing && view.axis === "z") pressContour(view, event);
    else if (!state.power) {
      held = { cross: true };
      drag(view, event);
    }
  }

  function drag(view, event) {
    if (!held || !event.buttons) return;
    const point = at(view, event);
    if (held.divider) {
      state.divide = Math.min(1, Math.max(0, point.fx));
      divide();
    } else if (held.point) {
      [held.point[0], held.point[1]] = [point.x, point.y];
      drawMarks();
    } else if (held.cross) {
      for (const axis of [view.right, view.up]) position[axis] = clamp(axis, Math.round(point[axis]));
      refresh();
    }
  }

  const clamp = (axis, index) => Math.min(volume.count(axis) - 1, Math.max(0, index));

  function move(axis, index) {
    position[axis] = clamp(axis, index);
    refresh();
    if (state.power) return;
    for (const step of [1, -1]) {
      // The browser keeps it: the next turn of the wheel shows it at once.
      const ahead = clamp(axis, position[axis] + step);
      new Image().src = volume.picture("slice", axis, ahead, state.thickness);
    }
  }

  function layout() {
    const [width, height] = [panes.clientWidth - 2 * GAP, panes.clientHeight - 2 * GAP];
    const [nz, ny, nx] = volume.shape;
    const flat = nz === 1;
    const square = Math.min((width - GAP) / (nx + nz), (height - GAP) / (ny + nz));
    const inRow = Math.min((width - 2 * GAP) / (2 * nx + nz), height / Math.max(ny, nz));
    const scale = flat ? Math.min(width / nx, height / ny) : Math.max(square, inRow);
    const put = (view, left, top, w, hgt) => {
      Object.assign(view.element.style, { left: `${left}px`, top: `${top}px`, width: `${w}px`, height: `${hgt}px` });
      for (const image of [view.base, view.over, view.cover].filter(Boolean)) image.classList.toggle("smooth", scale < 1 || state.power);
    };
    if (state.power) {
      const edge = Math.min((width - 2 * GAP) / 3, height);
      AXES.forEach((axis, index) => put(views[axis], GAP + index * (edge + GAP), GAP, edge, edge));
      return;
    }
    const middle = (room, taken) => GAP + Math.max(0, (room - taken) / 2);
    if (flat) put(views.z, middle(width, scale * nx), middle(height, scale * ny), scale * nx, scale * ny);
    else if (scale > square) {
      const left = middle(width, scale * (2 * nx + nz) + 2 * GAP);
      const top = middle(height, scale * Math.max(ny, nz));
      put(views.z, left, top, scale * nx, scale * ny);
      put(views.x, left + scale * nx + GAP, top, scale * nz, scale * ny);
      put(views.y, left + scale * (nx + nz) + 2 * GAP, top, scale * nx, scale * nz);
    } else {
      const left = middle(width, scale * (nx + nz) + GAP);
      const top = middle(height, scale * (ny + nz) + GAP);
      put(views.z, left, top, scale * nx, scale * ny);
      put(views.y, left, top + scale * ny + GAP, scale * nx, scale * nz);
      put(views.x, left + scale * nx + GAP, top, scale * nz, scale * ny);
    }
    views.y.element.hidden = flat;
    views.x.element.hidden = flat;
  }

  function divide() {
    for (const { over, divider } of Object.values(views)) {
      if (!over) continue;
      over.style.clipPath = `inset(0 0 0 ${100 * state.divide}%)`;
      divider.style.left = `${100 * state.divide}%`;
    }
  }

  function drawMarks() {
    for (const { axis, right, up, marks } of Object.values(views)) {
      const [nr, nu] = [volume.count(right), volume.count(up)];
      const [x, y] = [position[right] + 0.5, nu - position[up] - 0.5];
      const thin = { "stroke-width": 1, "vector-effect": "non-scaling-stroke", "stroke-opacity": 0.75 };
      marks.replaceChildren();
      if (state.power) continue;
      marks.append(
        s("line", { x1: x, x2: x, y1: 0, y2: nu, stroke: COLOURS[right], ...thin }),
        s("line", { x1: 0, x2: nr, y1: y, y2: y, stroke: COLOURS[up], ...thin }),
      );
      if (axis === "z") marks.append(...drawContours(nu));
    }
  }

  function refresh() {
    const kind = state.power ? "power" : "slice";
    for (const { axis, right, up, tag, show, showOver, showCover, cover } of Object.values(views)) {
      show(volume.picture(kind, axis, position[axis], state.thickness));
      showOver?.(second.picture(kind, axis, position[axis], state.thickness));
      const covered = state.masked && !state.power;
      if (cover) cover.hidden = !covered;
      if (covered) showCover?.(mask.picture("overlay", axis, position[axis], 1));
      tag.textContent = state.power
        ? `power over k${right}, k${up}`
        : `${[right, up].sort().join("").toUpperCase()}   ${axis} ${position[axis] + 1} / ${volume.count(axis)}${second ? "   before" : ""}`;
    }
    for (const axis of AXES) {
      sliders[axis].value = position[axis];
      places[axis].textContent = `${position[axis] + 1} / ${volume.count(axis)}`;
    }
    drawMarks();
  }

  // --- boundary ---
  const toPixels = (view, [x, y]) => {
    const box = view.element.getBoundingClientRect();
    return [((x + 0.5) / volume.shape[2]) * box.width, (1 - (y + 0.5) / volume.shape[1]) * box.height];
  };

  function nearest(view, event) {
    const box = view.element.getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    contours.forEach((contour, number) => {
      contour.forEach((point, index) => {
        const [x, y] = toPixels(view, point);
        const distance = Math.hypot(x - px, y - py);
        if (Math.round(point[2]) === position.z && distance < (best?.distance ?? NEAR_PIXELS)) best = { distance, number, index, point };
      });
    });
    return best;
  }

  function pressContour(view, event) {
    const found = nearest(view, event);
    if (event.button === 2) {
      if (found) {
        contours[found.number].splice(found.index, 1);
        if (!contours[found.number].length) {
          contours.splice(found.number, 1);
          current = -1;
        }
      }
    } else if (found) {
      current = found.number;
      held = { point: found.point };
    } else {
      const onThisPlane = current >= 0 && Math.round(contours[current]?.[0]?.[2] ?? -1) === position.z;
      if (!onThisPlane) {
        contours.push([]);
        current = contours.length - 1;
      }
      const { x, y } = at(view, event);
      const point = [x, y, position.z];
      contours[current].push(point);
      held = { point };
    }
    drawMarks();
    describeContours();
  }

  function drawContours(ny) {
    const polygons = contours.filter((contour) => contour.length > 0);
    return polygons.map((contour) => {
      const here_ = Math.round(contour[0][2]) === position.z;
      const points = contour.map(([x, y]) => [x + 0.5, ny - y - 0.5]);
      const line = { fill: here_ ? "#ffd16622" : "none", stroke: "#ffd166", "stroke-width": 2, "vector-effect": "non-scaling-stroke", "stroke-opacity": here_ ? 1 : 0.35 };
      const radius = (NEAR_PIXELS * 0.5 * volume.shape[2]) / (views.z.element.clientWidth || 1);
      return s(
        "g",
        { class: "contour" },
        s("polygon", { points: points.map((point) => point.join(",")).join(" "), ...line }),
        state.editing && here_ && points.map(([x, y]) => s("circle", { cx: x, cy: y, r: radius, fill: "#ffd166" })),
      );
    });
  }

  const contourText = h("p", { class: "small", id: "contour-text" });
  function describeContours() {
    const number = contours.filter((contour) => contour.length > 2).length;
    contourText.textContent = number
      ? `${number} closed contour${number > 1 ? "s" : ""}. One surrounds all planes; of several, the nearest counts, between the lowest and the highest.`
      : "Click around the specimen on the XY plane. Drag points; the right button removes one.";
  }

  async function saveBoundary() {
    const closed = contours.filter((contour) => contour.length > 2);
    await attempt(async () => {
      // The row is that which names this volume: rows may have gone since the page was opened.
      const table = values.star ? await get("table", { name: values.star }) : null;
      const row = table?.rows.find(({ files }) => Object.values(files).some(({ name }) => name === volume.name));
      const other = table?.rows.find((each) => each !== row && each.files.boundary?.name === boundaryName.value);
      if (other) throw new Error(`${boundaryName.value} is the boundary of ${other.name}: give another name.`);
      const saved = await post("boundary", { name: boundaryName.value, contours: closed, volume: volume.name });
      if (row) {
        const edit = { row: row.number, column: "rlnMaskBoundary", value: saved, version: table.version };
        await post("table/edit", { name: values.star, ...edit });
        notify(`${saved} was written, and noted in ${values.star}: make a mask next.`);
      } else notify(`${saved} was written.`);
    });
  }

  const boundaryName = h("input", { type: "text", "aria-label": "Boundary file", value: values.boundary?.endsWith(".mod") ? values.boundary : `boundary/${stem(values.name)}.mod`, style: { width: "100%" } });
  const editor = h(
    "div",
    { hidden: true },
    h("h2", {}, "Boundary"),
    contourText,
    h("div", { class: "row" }, h("button", { onclick: () => ((current = -1), notify("The next click begins a contour.")) }, "New contour"),
      h("button", { onclick: () => { contours.length = 0; current = -1; drawMarks(); describeContours(); } }, "Clear")),
    h("p", {}, boundaryName),
    h("button", { "data-do": "save-boundary", onclick: saveBoundary }, "Save as an IMOD model"),
  );

  // --- side panel ---
  let timer = null;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(refresh, SETTLE_MILLISECONDS);
  };
  const contrast = contrastControl(volume, () => {
    second?.likeContrastOf(volume);
    later();
  });
  const setContrast = (low, high) => {
    [volume.low, volume.high] = [low, high];
    second?.likeContrastOf(volume);
    contrast.draw();
    refresh();
  };
  const sliders = Object.fromEntries(
    AXES.map((axis) => [
      axis,
      h("input", { type: "range", min: 0, max: volume.count(axis) - 1, "aria-label": `Position along ${axis}`, oninput: (event) => ((position[axis] = Number(event.target.value)), refresh()) }),
    ]),
  );
  const places = Object.fromEntries(AXES.map((axis) => [axis, h("output")]));
  const panel = h(
    "div",
    { class: "panel" },
    h("h2", {}, "Contrast"),
    contrast.element,
    h(
      "div",
      { class: "row", style: { marginTop: "8px" } },
      h("button", { onclick: () => setContrast(...volume.contrast) }, "Auto"),
      h("button", { onclick: () => setContrast(volume.mean - 3 * volume.deviation, volume.mean + 3 * volume.deviation) }, "±3σ"),
      h("button", { "data-do": "invert", onclick: () => setContrast(volume.high, volume.low) }, "Invert"),
    ),
    h("h2", {}, "Position"),
    h("div", { class: "place" }, AXES.map((axis) => [h("span", {}, axis), sliders[axis], places[axis]])),
    h("p", { class: "small" }, "Wheel or ↑ ↓: next plane (with Shift ten). Click: all planes go there."),
    editor,
    h("h2", {}, "File"),
    facts([
      ["Size", volume.shape.slice().reverse().join(" × ")],
      ["Voxel", volume.voxel_size ? `${volume.voxel_size.toPrecision(4)} Å` : "unknown"],
      ["Values", volume.type],
      ["On disk", size(volume.bytes)],
      ["Mean", volume.mean.toPrecision(4)],
      ["Deviation", volume.deviation.toPrecision(4)],
    ]),
  );

  // --- surface ---
  const level = h("input", { type: "range", min: -6, max: 8, step: 0.1, value: 2, "aria-label": "Threshold", id: "level", style: { width: "220px" } });
  const levelText = h("span", { class: "small" });
  let surface = null;
  async function toggleSurface(button) {
    state.surface = !state.surface;
    button.classList.toggle("on", state.surface);
    panel.hidden = panes.hidden = state.surface;
    surfaceStage.hidden = !state.surface;
    if (state.surface && !surface) {
      await attempt(async () => {
        surface = await drawSurface(canvas, (second ?? volume).name);
      });
    }
    if (!state.surface) layout();
  }
  const canvas = h("canvas", { class: "surface", id: "surface" });
  const sayLevel = () => (levelText.textContent = `threshold ${Number(level.value).toFixed(1)} σ`);
  level.addEventListener("input", () => {
    sayLevel();
    surface?.setLevel(Number(level.value));
  });
  sayLevel();
  const surfaceStage = h(
    "div",
    { hidden: true, style: { flex: "1", position: "relative", minWidth: "0" } },
    canvas,
    h("div", { style: { position: "absolute", left: "16px", bottom: "12px", display: "flex", gap: "10px", alignItems: "center" } }, level, levelText, h("span", { class: "small quiet" }, "drag to turn, wheel to zoom")),
  );

  // --- tools ---
  const toggle = (name, text, action) => {
    const button = h("button", { "data-do": name, onclick: () => action(button) }, text);
    return button;
  };
  const power = toggle("power", "Power spectrum", (button) => {
    state.power = !state.power;
    button.classList.toggle("on", state.power);
    layout();
    refresh();
  });
  const masked = mask && toggle("mask", "Mask", (button) => {
    state.masked = !state.masked;
    button.classList.toggle("on", state.masked);
    refresh();
  });
  masked?.classList.add("on");
  const edit = toggle("boundary", "Boundary", (button) => {
    state.editing = !state.editing;
    button.classList.toggle("on", state.editing);
    editor.hidden = !state.editing;
    describeContours();
    drawMarks();
  });
  const thickness = h(
    "select",
    { "aria-label": "Thickness", onchange: () => ((state.thickness = Number(thickness.value)), refresh()) },
    [1, 3, 5, 9, 17].map((n) => h("option", { value: n }, `${n} plane${n > 1 ? "s" : ""}`)),
  );
  tools.append(
    h("span", { class: "name mono", title: volume.name }, volume.name),
    second ? h("span", { class: "name mono", title: second.name }, `↔ ${second.name}`) : "",
    h("button", { "data-do": "compare", onclick: () => (second ? go({ second: undefined }) : choose("second", "Compare with")) }, second ? "End comparison" : "Compare with …"),
    masked ?? h("button", { onclick: () => choose("mask", "Mask to lay over") }, "Mask …"),
    power,
    thickness,
    edit,
    toggle("surface", "Surface", (button) => toggleSurface(button)),
  );

  const onKey = (event) => {
    const step = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!step || event.target.matches("input, select, textarea") || document.querySelector("dialog")) return;
    event.preventDefault();
    move(hovered, position[hovered] + step * (event.shiftKey ? 10 : 1));
  };
  window.addEventListener("keydown", onKey);
  onLeave(() => window.removeEventListener("keydown", onKey));
  stage.append(panes, surfaceStage, panel);
  const observer = new ResizeObserver(() => {
    layout();
    drawMarks();
  });
  observer.observe(panes);
  onLeave(() => observer.disconnect());
  layout();
  divide();
  refresh();
}
