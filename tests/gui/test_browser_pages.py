"""Pages of the interface in a browser, without trainings."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from selenium.webdriver import Keys
from selenium.webdriver.common.by import By

from spisonet.anisotropy.config import ReconstructConfig
from spisonet.io.tomogram_table import TomogramTable
from tests.gui.browser import SECONDS, Page, open_page, start_browser
from tests.gui.conftest import Server, end, serve, write_map

if TYPE_CHECKING:
    from selenium import webdriver

pytestmark = pytest.mark.browser
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
# Replaces the responses to checks: the first comes last.
SLOW_FIRST_CHECK = """
const original = window.fetch;
let n = 0;
window.fetch = async (path, options) => {
  if (!path.startsWith("api/check")) return original(path, options);
  const own = ++n;
  const { refinement } = JSON.parse(options.body);
  await new Promise((resolve) => setTimeout(resolve, own === 1 ? 1500 : 10));
  window.answered = own;
  const finding = { level: "ok", code: "", message: `checked ${refinement}` };
  return new Response(JSON.stringify([finding]), { headers: { "Content-Type": "application/json" } });
};
"""


@pytest.fixture(scope="module")
def driver() -> Iterator[webdriver.Chrome]:
    started = start_browser()
    yield started
    started.quit()


def write_job(folder: Path, command: str, config: dict[str, object], **record: object) -> None:
    folder.mkdir(parents=True)
    known = {"program": "spisonet", "version": "2", "command": command, "status": "finished", "seconds": 9}
    content = {**known, "written": "2026-01-01T10:00:00+00:00", "config": config, **record}
    (folder / "job.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Server]:
    """A project with half maps, tomograms, a finished correction and a job of another host."""
    project = tmp_path_factory.mktemp("pages") / "project"
    for kind in ("full", "even", "odd"):
        (project / "data" / kind).mkdir(parents=True)
        for number in (1, 2, 3):
            write_map(project / "data" / kind / f"TS_0{number}.mrc", (8, 16, 16))
    (project / "maps").mkdir()
    for name in ("half1", "half2", "mask"):
        write_map(project / "maps" / f"{name}.mrc")
    config = {"i1": "maps/half1.mrc", "i2": "maps/half2.mrc", "output_dir": "corrected"}
    full_map = {"corrected": "corrected_full.mrc"}
    write_job(project / "corrected", "reconstruct", config, full_map=full_map, epoch_losses=[1.0, 0.5])
    write_map(project / "corrected" / "corrected_full.mrc")
    report = {"judgement": "Supported", "verdict": "The inferred region holds.", "verdict_code": "holds"}
    (project / "corrected" / "report.json").write_text(json.dumps(report), encoding="utf-8")
    write_job(project / "measured", "fsc3d", {"h": "maps/half1.mrc", "h2": "maps/half2.mrc"}, seconds=3)
    write_job(project / "validated", "validate", {"folder": "corrected"}, seconds=700)
    started = serve(project)
    yield started
    end(started)


@pytest.fixture
def page(driver, served) -> Iterator[Page]:
    with open_page(driver, served) as opened:
        yield opened


def texts(page: Page, css: str) -> list[str]:
    return [element.text for element in page.driver.find_elements(By.CSS_SELECTOR, css)]


def test_jobs_are_titled_sorted_and_filtered(page):
    page.open("job?name=corrected")
    page.find("#verdict", "The inferred region holds.")
    page.find("#verdict h2", "Supported")
    compared = page.find("[data-do=compare]").get_attribute("href")
    assert "half2=maps%2Fhalf2.mrc&second=corrected%2Fcorrected_full.mrc" in compared
    assert page.find("dd a", "validated").get_attribute("href").endswith("job?name=validated")
    page.fill("#job-title", "Apoferritin" + Keys.ENTER)
    deadline = time.monotonic() + SECONDS
    while not (page.server.project / "corrected" / "notes.json").is_file():
        assert time.monotonic() < deadline
    notes = {"name": "corrected", "title": "Apo", "text": "from another page"}
    version = page.server.get("api/job", name="corrected").json["notes_version"]
    page.driver.execute_script("document.getElementById('job-notes').value = 'mine'")  # still being edited
    assert page.server.post("api/notes", {**notes, "version": version}).status == 200
    page.find("#job-title").send_keys("!" + Keys.ENTER)
    page.find("#notes-conflict .written", "from another page")
    page.click("[data-do=take-theirs]")
    page.wait_for("document.getElementById('job-notes').value === 'from another page'")
    page.fill("#job-title", "Apoferritin" + Keys.ENTER)
    page.wait_for("document.getElementById('notes-conflict').hidden")
    page.open("job?name=validated")
    page.find("dd a", "Apoferritin")  # what it was made from
    page.open("")
    page.find("#jobs a", "Apoferritin")
    page.wait_for("document.querySelector('.thumbnail')?.naturalWidth > 0")
    page.click("[data-column=seconds] button")
    assert page.find("[data-column=seconds]").get_attribute("aria-sort") == "ascending"
    names = "#jobs tbody td:nth-child(2) a"
    assert texts(page, names)[:3] == ["measured", "Apoferritin", "validated"]
    page.click("[data-column=seconds] button")
    page.wait_for(f"document.querySelector('{names}').textContent === 'validated'")
    page.fill("#filter", "apo finished")
    page.wait_for("document.querySelectorAll('#jobs tbody tr').length === 1")
    assert texts(page, names) == ["Apoferritin"]


def test_a_job_of_another_host_can_be_marked_as_failed(page):
    folder = page.server.project / "jobs" / "001_refine"
    write_job(folder, "refine", {"star_file": "t.star"}, status="running")
    launch = {"program": "isonet", "submitted": 1.7e9, "target": {}}
    process = {"host": "node7", "runner": {"pid": 1, "start": "x"}, "state": "running", "started": 1.7e9}
    (folder / "launch.json").write_text(json.dumps(launch), encoding="utf-8")
    (folder / "process.json").write_text(json.dumps(process), encoding="utf-8")
    for path in folder.iterdir():
        os.utime(path, (1.7e9, 1.7e9))
    page.open("")
    page.find("#jobs td", "ago on node7")
    page.open("job?name=jobs/001_refine")
    page.find("#state .badge", "unresponsive")
    page.click("[data-do=mark-failed]")
    page.find("#state .badge", "failed")
    page.find("#job-error", "No sign of life from node7")
    page.click("[data-do=resume]")
    page.find("dialog p", "If its process on node7 still runs")
    page.click("dialog button", "Cancel")
    page.find("#state .badge", "failed")


def test_tomograms_are_removed_to_the_last_and_restored(page):
    assert page.server.post("api/table/add", {"name": "t.star", "folder": "data/even"}).status == 200
    path = page.server.project / "t.star"
    table = TomogramTable.read(path)
    table.set(table.rows[0], "rlnMaskName", "jobs/002_make_mask/TS_01_mask.mrc")
    table.write()
    page.open("tomograms?star=t.star")
    assert "missing" in page.find(".chip.missing").text
    page.click("[data-do=clear-mask]")
    page.wait_for("!document.querySelector('.chip.missing')")
    page.click("tr[data-row='1'] input[type=checkbox]")
    page.find("[data-do=deconv]", "Deconvolve")
    page.click("button", "Remove from the table")
    page.find("dialog p", "1 tomogram will")
    page.click("[data-do=confirm]")
    page.wait_for("document.querySelectorAll('#tomograms tbody tr').length === 2")
    assert page.driver.execute_script("return document.querySelectorAll('#tomograms :checked').length") == 0
    page.click("[data-do=select-all]")
    page.find("main", "2 selected")
    page.click("button", "Remove from the table")
    page.click("[data-do=confirm]")
    page.find("#notices", "moved into the trash")
    assert not path.exists()
    page.click("#notices [data-do=notice-action]")
    page.wait_for("document.querySelectorAll('#tomograms tbody tr').length === 2")


def test_a_check_shows_the_result_of_the_text_beside_it(page):
    page.open("relion")
    page.find("#export-line")
    page.driver.execute_script(SLOW_FIRST_CHECK)
    box = "input[aria-label^='Job folder']"
    page.fill(box, "first")
    page.click("[data-do=check]")
    page.fill(box, "second")
    page.click("[data-do=check]")
    page.find("#findings td", "checked second")
    page.wait_for("window.answered === 1")
    assert texts(page, "#findings td:last-child") == ["checked second"]
    page.fill(box, "third")
    assert texts(page, "#findings td") == []


def test_forms_have_profiles_with_times_and_flag_values_at_once(page):
    page.open("new?program=spisonet&command=reconstruct&i1=maps/half1.mrc&i2=maps/half2.mrc")
    page.find("#estimate", "Training takes about")
    assert "on" in page.find("[data-profile=standard]").get_attribute("class")
    page.unfold()
    page.click("[data-profile=quick]")
    page.find("#command-line", "--profile quick")
    quick = ReconstructConfig.profiles["quick"]
    assert page.find("#field-n_subvolume").get_attribute("value") == str(quick["n_subvolume"])
    assert "about" in page.find("[data-profile=quick]").text
    page.fill("#field-epochs", "30")
    page.find("#command-line", "--epochs 30")
    page.click("[data-profile=standard]")
    page.wait_for("!document.querySelector('#command-line').textContent.includes('--profile')")
    page.fill("#field-cube_size", "30")
    page.find("#error-cube_size", "Must be a multiple of 8; 30 was given.")
    label = page.find("label[for=field-limit_res]").text
    assert "Resolution limit, Å" in label
    assert "--limit_res" in label
    assert texts(page, "[data-group=usual] h2") == ["What usually matters"]
    assert page.find("[data-group=compatibility] #field-alpha").is_displayed()


def test_files_of_any_name_are_browsed_and_the_folder_is_remembered(page):
    odd = Path(os.fsdecode(bytes(page.server.project) + b"/maps/m\xe4p.mrc"))
    write_map(page.server.project / "other.mrc")
    (page.server.project / "other.mrc").rename(odd)
    page.open("view")
    page.click("[data-do=open]")
    page.choose("maps", r"m\\xe4p.mrc")
    page.wait_for("document.querySelector('[data-axis=z] img')?.naturalWidth === 32")
    page.open("maps")
    page.click("[data-choose=half1]")
    page.find('dialog .browser[data-folder="maps"]')


def test_a_lost_connection_is_one_banner_until_the_server_is_back(driver, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    project = tmp_path / "project"
    write_job(project / "run", "fsc3d", {"h": "a.mrc", "h2": "b.mrc"})
    server = serve(project, "--keep_address")
    with open_page(driver, server, "ERR_") as page:
        page.open("")
        page.find("#jobs a", "run")
        end(server)
        page.find("#connection", "No connection to the interface")
        time.sleep(3)  # two further attempts
        assert texts(page, "#notices div") == []
        assert page.find("#jobs a", "run").is_displayed()
        again = serve(project, "--keep_address", "--port", server.host.rpartition(":")[2])
        assert again.address == server.address
        page.wait_for("document.getElementById('connection').hidden")
        end(again)


@pytest.mark.skipif(
    not AXE.is_file() and not os.environ.get("SPISONET_REQUIRE_NODE"),
    reason="axe-core is not installed: run npm ci",
)
@pytest.mark.parametrize(
    "address",
    [
        "",
        "tomograms?star=axe.star",
        "maps?half1=maps/half1.mrc",
        "relion",
        "view?name=maps/half1.mrc",
        "job?name=corrected",
        "new?program=isonet&command=refine&star_file=axe.star",
    ],
)
def test_no_page_has_a_serious_fault_of_accessibility(page, address):
    if "axe.star" in address and not (page.server.project / "axe.star").exists():
        assert page.server.post("api/table/add", {"name": "axe.star", "folder": "data/full"}).status == 200
    page.open(address)
    page.find("h1, .tools")
    time.sleep(0.7)  # first pictures and the preview of the command
    page.driver.execute_script(AXE.read_text(encoding="utf-8"))
    faults = page.driver.execute_async_script(
        "axe.run().then(({violations}) => arguments[0](violations.map(({id, impact, nodes}) => "
        "[impact, id, ...nodes.slice(0, 3).map(({html}) => html.slice(0, 150))])))"
    )
    assert [fault for fault in faults if fault[0] in ("serious", "critical")] == []


NARROW_FORM = "new?program=spisonet&command=reconstruct&i1=maps/half1.mrc&i2=maps/half2.mrc"


@pytest.mark.parametrize(
    "address", ["", "tomograms?star=t.star", "maps", "job?name=corrected", NARROW_FORM, "relion"]
)
def test_pages_fit_into_a_narrow_window(page, address):
    size = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.open(address)
        page.find("h1")
        page.wait_for("document.documentElement.scrollWidth === 400")
        # Wide tables scroll within their card.
        wide = page.driver.execute_script(
            "return [...document.querySelectorAll('main .card, main .row, main input, main button')]"
            ".filter((e) => e.getBoundingClientRect().right > 401 && !e.closest('table'))"
            ".map((e) => e.outerHTML)"
        )
        assert wide == []
    finally:
        page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
