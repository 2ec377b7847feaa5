"""cryoSPARC: the real client against a server of the tests, and its datasets."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from spisonet.commands.main import main
from spisonet.errors import SpisonetError
from spisonet.integrations.config import PullConfig, PushConfig, RunConfig
from spisonet.integrations.cryosparc import run_pull, run_push
from spisonet.integrations.cryosparc_run import run_refinement_correction
from spisonet.io.json_files import read_json_object
from spisonet.io.mrc import read_volume
from spisonet.io.particles import read_particle_orientations
from tests.integrations.plugin_host import require_plugin_host

require_plugin_host("cryosparc", "cryosparc-tools is not installed (extra cryosparc)")

from cryosparc.dataset import CSDAT_FORMAT, NUMPY_FORMAT, Dataset  # noqa: E402

from tests.anisotropy.small_case import make_case  # noqa: E402
from tests.integrations.cryosparc_server import Server  # noqa: E402

RESULTS = {
    "map_half_A": "half1.mrc",
    "map_half_B": "half2.mrc",
    "map": "half1.mrc",
    "mask_refine": "mask.mrc",
}


def volume_rows(results: dict[str, str]) -> Dataset:
    """Return the dataset of a volume output as cryoSPARC writes it."""
    fields = [
        (f"{result}/{name}", kind) for result in results for name, kind in (("path", "O"), ("psize_A", "f4"))
    ]
    rows = Dataset.allocate(1, fields)
    for result, file in results.items():
        rows[f"{result}/path"] = f"J42/{file}"
        rows[f"{result}/psize_A"] = 2.0
    return rows


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An instance with a finished refinement J42."""
    case_folder = tmp_path / "project" / "J42"
    case_folder.mkdir(parents=True)
    make_case(case_folder)
    server = Server(tmp_path / "project")
    particles = Dataset.allocate(3, [("alignments3D/pose", "f4", (3,)), ("alignments3D/psize_A", "f4")])
    server.add_job("J42", {"volume": ("volume", volume_rows(RESULTS)), "particles": ("particle", particles)})
    monkeypatch.setenv("CRYOSPARC_EMAIL", "a@example.org")
    monkeypatch.setenv("CRYOSPARC_PASSWORD", "secret")
    monkeypatch.delenv("CRYOSPARC_BASE_URL", raising=False)
    yield server
    server.close()


def pull(server: Server, folder: Path, job: str = "J42") -> None:
    run_pull(PullConfig(project="P1", job=job, url=server.url, output_dir=folder))


def test_a_refinement_is_pulled(server, tmp_path, caplog):
    caplog.set_level(logging.INFO, "spisonet")
    pull(server, tmp_path / "pulled")
    source = server.folder / "J42"
    for ours, theirs in (("half_A", "half1"), ("half_B", "half2"), ("mask", "mask")):
        assert (tmp_path / "pulled" / f"{ours}.mrc").read_bytes() == (source / f"{theirs}.mrc").read_bytes()
    assert len(Dataset.load(tmp_path / "pulled" / "particles.cs")) == 3
    record = json.loads((tmp_path / "pulled" / "pulled.json").read_text(encoding="utf-8"))
    assert (record["job"], record["symmetry"], record["voxel_size_angstrom"]) == ("J42", "C3", 2.0)
    assert f"--mask {tmp_path}/pulled/mask.mrc" in caplog.text
    assert "--sym C3" in caplog.text
    assert "secret" not in caplog.text


def test_coupled_halves_are_not_pushed_as_half_maps(server, deconvolved_run):
    run_push(PushConfig(project="P1", workspace="W1", folder=deconvolved_run.folder, url=server.url))
    (uid,) = (uid for uid in server.jobs if uid != "J42")
    rows = server.datasets[uid, "volume"]
    assert server.jobs[uid]["status"] == "completed"
    path = str(rows["map/path"][0])
    corrected = (deconvolved_run.folder / "corrected_full.mrc").read_bytes()
    assert (server.folder / path).read_bytes() == corrected
    record = json.loads((deconvolved_run.folder / "job.json").read_text(encoding="utf-8"))
    has_halves = "map_half_A/path" in rows.fields()
    assert has_halves is (record["halves"]["independent"] is True)
    np.testing.assert_array_equal(rows["map/shape"][0], read_volume(server.folder / path).data.shape)
    assert "mask/path" in server.datasets[uid, "mask"].fields()
    assert "jobs.add_image_log" in server.log


@pytest.mark.parametrize(
    ("name", "status", "part"),
    [
        ("jobs.find_one", 403, "refused access"),
        ("jobs.find_one", 0, "dropped the connection"),
        ("login", 401, "127.0.0.1"),
        ("projects.download_file", 500, "answered with status 500"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*API client.*:UserWarning")
def test_a_server_that_refuses_or_drops_is_named(server, tmp_path, name, status, part):
    server.fails[name] = status
    with pytest.raises(SpisonetError, match=part):
        pull(server, tmp_path / "pulled")
    assert not (tmp_path / "pulled" / "half_A.mrc").exists()


def test_an_upload_that_fails_marks_its_own_job_as_failed(server, deconvolved_run):
    server.fails["jobs.save_output"] = 500
    with pytest.raises(SpisonetError, match="status 500"):
        run_push(PushConfig(project="P1", workspace="W1", folder=deconvolved_run.folder, url=server.url))
    statuses = {uid: job["status"] for uid, job in server.jobs.items()}
    assert statuses.pop("J42") == "completed"
    assert list(statuses.values()) == ["failed"]


def test_jobs_that_are_no_finished_refinements_are_refused(server, tmp_path):
    server.add_job("J43", {}, status="running")
    server.add_job("J44", {"volume": ("volume", volume_rows({"map": "half1.mrc"}))})
    with pytest.raises(SpisonetError, match="J43 is running, not completed"):
        pull(server, tmp_path, "J43")
    with pytest.raises(SpisonetError, match="J44 has no half maps"):
        pull(server, tmp_path, "J44")
    with pytest.raises(SpisonetError, match="does not know that project or job"):
        pull(server, tmp_path, "J99")


def test_another_version_of_the_instance_is_named(server, tmp_path, caplog):
    server.version = "v4.7.0"
    pull(server, tmp_path / "pulled")
    assert "with version v4.7.0 may not be compatible" in caplog.text


def test_no_address_is_an_error(server, capsys):
    with pytest.raises(SystemExit):
        main(["cryosparc", "pull", "P1", "J42"])
    assert "No cryoSPARC address: give --url or set CRYOSPARC_BASE_URL" in capsys.readouterr().err


# --- download, correction and upload in one command ----------------------------------------------------


def run(server: Server, folder: Path, **options) -> None:
    fast = {"method": "deconvolve", "limit_res": 6.0, "report": False}
    names = {"project": "P1", "job": "J42", "workspace": "W1", "url": server.url, "output_dir": folder}
    run_refinement_correction(RunConfig.from_options(names | fast | options))


def test_a_refinement_is_corrected_and_uploaded_once(server, tmp_path, caplog):
    caplog.set_level(logging.INFO, "spisonet")
    run(server, tmp_path / "J42")
    (uid,) = server.jobs.keys() - {"J42"}
    assert server.jobs[uid]["status"] == "completed"
    record = read_json_object(tmp_path / "J42" / "corrected" / "job.json")
    assert Path(record["config"]["mask"]).name == "mask.mrc"
    assert read_json_object(tmp_path / "J42" / "corrected" / "pushed.json")["job"] == uid
    server.log.clear()
    run(server, tmp_path / "J42")
    assert "was uploaded before" in caplog.text
    assert set(server.log) <= {"login", "users.me", "config.get_version"}


def test_a_run_that_failed_in_the_upload_only_uploads(server, tmp_path):
    server.fails["jobs.save_output"] = 500
    with pytest.raises(SpisonetError, match="status 500"):
        run(server, tmp_path / "J42")
    corrected = tmp_path / "J42" / "corrected" / "corrected_full.mrc"
    before = corrected.stat().st_mtime_ns
    server.fails.clear()
    server.log.clear()
    run(server, tmp_path / "J42")
    assert "projects.download_file" not in server.log
    assert corrected.stat().st_mtime_ns == before
    assert sorted(job["status"] for job in server.jobs.values()) == ["completed", "completed", "failed"]


def test_an_interrupted_download_is_repeated(server, tmp_path):
    server.fails["jobs.load_output"] = 500
    with pytest.raises(SpisonetError, match="status 500"):
        run(server, tmp_path / "J42")
    server.fails.clear()
    run(server, tmp_path / "J42")
    (tmp_path / "J42" / "half_A.mrc").unlink()
    server.log.clear()
    run(server, tmp_path / "J42")
    assert "projects.download_file" in server.log


def test_other_refinements_and_options_are_not_mixed(server, tmp_path):
    run(server, tmp_path / "J42")
    with pytest.raises(SpisonetError, match=r"contains P1 J42; give another --output_dir for P1 J43"):
        run(server, tmp_path / "J42", job="J43")
    with pytest.raises(SpisonetError, match=r"--limit_res was 6.0 .* and is 7.0 now"):
        run(server, tmp_path / "J42", limit_res=7.0)
    names = {"project": "P1", "job": "J42", "workspace": "W1"}
    with pytest.raises(SpisonetError, match="needs --pretrained"):
        RunConfig.from_options(names | {"epochs": 0}).check_options()


# --- datasets ------------------------------------------------------------------------------------------

GOLDEN = Path(__file__).parents[1] / "goldens" / "cryosparc"


def test_compressed_streams_are_read_by_the_client(tmp_path):
    expected = read_particle_orientations(GOLDEN / "particles.cs")
    found = read_particle_orientations(GOLDEN / "particles_stream.cs")
    np.testing.assert_array_equal(found.rotations, expected.rotations)
    np.testing.assert_array_equal(found.random_subset, expected.random_subset)
    assert (found.box, found.pixel_size_angstrom) == (expected.box, expected.pixel_size_angstrom)
    content = (GOLDEN / "particles_stream.cs").read_bytes()
    (tmp_path / "cut.cs").write_bytes(content[: len(content) // 2])
    with pytest.raises(SpisonetError, match=r"cut.cs is not a readable cryoSPARC file"):
        read_particle_orientations(tmp_path / "cut.cs")


@pytest.mark.parametrize("name", ["particles.cs", "particles_stream.cs"])
def test_the_client_reads_and_writes_the_golden_tables(name, tmp_path):
    rows = Dataset.load(GOLDEN / name)
    assert len(rows) == 4
    assert list(rows["blob/path"])[3] == "J12/extract/3_particles.mrc"
    rows.save(tmp_path / name, format=CSDAT_FORMAT if "stream" in name else NUMPY_FORMAT)
    assert Dataset.load(tmp_path / name) == Dataset.load(GOLDEN / "particles.cs")


def test_pulled_particles_are_read_by_the_analysis(server, tmp_path):
    server.datasets["J42", "particles"] = Dataset.load(GOLDEN / "particles.cs")
    pull(server, tmp_path / "pulled")
    found = read_particle_orientations(tmp_path / "pulled" / "particles.cs")
    expected = read_particle_orientations(GOLDEN / "particles.cs")
    np.testing.assert_array_equal(found.rotations, expected.rotations)
