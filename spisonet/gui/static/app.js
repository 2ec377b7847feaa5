// Selects the page to show; its name and values are in the address after the #.

import { get, onConnection } from "./api.js";
import { h } from "./dom.js";
import { showForm } from "./form.js";
import { showJob } from "./job.js";
import { showProject } from "./jobs.js";
import { showMaps } from "./maps.js";
import { showRelion } from "./relion.js";
import { showTomograms } from "./tomograms.js";
import { setSettings } from "./settings.js";
import { showViewer } from "./viewer/page.js";

const PAGES = {
  "": { show: showProject, title: "Project" },
  tomograms: { show: showTomograms, title: "Tomograms" },
  maps: { show: showMaps, title: "Maps" },
  relion: { show: showRelion, title: "RELION" },
  view: { show: showViewer, title: "View" },
  job: { show: showJob },
  new: { show: showForm },
};

let leavePage = () => {};

function currentPage() {
  const [name, query] = location.hash.replace(/^#\/?/, "").split("?");
  return { name, values: Object.fromEntries(new URLSearchParams(query)) };
}

function pageAddress(name, values = {}) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#/${name}${given.length ? `?${new URLSearchParams(given)}` : ""}`;
}

function drawNavigation(project, current) {
  const links = Object.entries(PAGES).filter(([, page]) => page.title);
  document.getElementById("side").replaceChildren(
    h("div", { class: "brand" }, h("img", { src: "static/icon.svg", alt: "" }), "spisonet"),
    ...links.map(([name, page]) => h("a", { href: pageAddress(name), class: name === current ? "current" : "", "aria-current": name === current ? "page" : null }, page.title)),
    h("div", { class: "foot" }, h("b", {}, project.name), project.allowed_folders[0], h("div", {}, `version ${project.version}`)),
  );
}

async function show(project) {
  leavePage();
  const { name, values } = currentPage();
  const page = PAGES[name] ?? PAGES[""];
  const main = h("main", { id: "page" });
  document.getElementById("page").replaceWith(main);
  document.title = `${page.title ?? values.name ?? values.command ?? "spisonet"} · ${project.name}`;
  drawNavigation(project, name);
  const cleanups = [];
  leavePage = () => cleanups.forEach((cleanup) => cleanup());
  // Pages register what stops their timers. A page that loads after the user has moved on is cleaned up at once.
  const onLeave = (cleanup) => (main.isConnected ? cleanups.push(cleanup) : cleanup());
  try {
    await page.show({ main, values, project, onLeave, pageAddress });
  } catch (error) {
    main.append(h("p", { class: "error" }, error.message));
  }
}

async function start() {
  try {
    const project = await get("project");
    setSettings(project.settings);
    window.addEventListener("hashchange", () => show(project));
    await show(project);
  } catch (error) {
    document.getElementById("page").replaceChildren(h("p", { class: "error" }, error.message));
  }
}

onConnection((text) => {
  const banner = document.getElementById("connection");
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
});
start();
