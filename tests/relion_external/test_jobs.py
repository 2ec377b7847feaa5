"""External jobs without RELION: arguments, metadata of the inputs, exit files after every kind of end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from relion_external.jobs import worker
from relion_external.jobs.arguments import as_options, find_folder, read_call
from relion_external.jobs.definitions import JOBS
from relion_external.jobs.folder import ExitFile, JobFolder, Node, NodeType
from relion_external.jobs.job import TOMOGRAM_PREFIX
from relion_external.jobs.map_metadata import find_map_metadata, last_refined_half1, second_half
from relion_external.jobs.run import main
from spisonet.commands.main import main as spisonet
from spisonet.errors import SpisonetError
from spisonet.io.mrc import Volume, read_volume, write_volume
from spisonet.io.star import StarFile
from spisonet.io.tomogram_table import TomogramTable
from tests.misalignment.accumulators import blob_map
from tests.tomography.simulation import write_halves

BOX, PIXEL = 32, 3.0
JOB = "External/job005/"


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A project with a finished refinement, and a new External job."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default_pipeline.star").touch()
    refined = tmp_path / "Refine3D" / "job002"
    refined.mkdir(parents=True)
    (tmp_path / JOB).mkdir(parents=True)
    rng = np.random.default_rng(1)
    truth = blob_map(BOX)
    for half in (1, 2):
        noisy = truth + 0.02 * rng.normal(size=truth.shape).astype(np.float32)
        write_volume(refined / f"run_half{half}_class001_unfil.mrc", Volume(noisy, PIXEL))
    write_volume(refined / "run_class001.mrc", Volume(truth, PIXEL))
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None] ** 2)
    ball = np.clip(14 - radius, 0, 1).astype(np.float32)
    write_volume(tmp_path / "mask.mrc", Volume(ball, PIXEL))
    (refined / "run_model.star").write_text(
        f"\ndata_model_general\n\n_rlnPixelSize {PIXEL}\n_rlnCurrentResolution 7.5\n\n"
    )
    (refined / "run_optimiser.star").write_text(
        "\ndata_optimiser_general\n\n_rlnSolventMaskName mask.mrc\n_rlnParticleDiameter 80\n\n"
    )
    (refined / "run_sampling.star").write_text(
        "\ndata_sampling_general\n\n_rlnSymmetryGroup C3\n_rlnHealpixOrder 3\n\n"
    )
    rows = "\n".join(f"{10 * i} {7 * i % 60} 0" for i in range(20))
    (refined / "run_data.star").write_text(
        f"\ndata_particles\n\nloop_\n_rlnAngleRot #1\n_rlnAngleTilt #2\n_rlnAnglePsi #3\n{rows}\n\n"
    )
    return tmp_path


HALF1 = "Refine3D/job002/run_half1_class001_unfil.mrc"


def configure(name: str, *words: str):
    job = JOBS[name]
    return job.configure(read_call(["--o", JOB, *words, "--j", "3"], job.inputs))


# --- arguments -----------------------------------------------------------------------------------------


def test_values_with_spaces_are_joined_and_relions_own_arguments_are_not_parameters(project):
    (project / "my maps").mkdir()
    (project / "my maps" / "mask 1.mrc").touch()
    words = f"--o {JOB} --in_mask my maps/mask 1.mrc --limit-res 3.5 --pipeline_control {JOB} --j 4".split()
    call = read_call(words, ["in_mask"])
    assert call.inputs == {"in_mask": Path("my maps/mask 1.mrc")}
    assert call.parameters == {"limit_res": "3.5"}
    assert (call.folder, call.threads) == (Path(JOB), 4)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--in_mask missing.mrc", "Input mask missing.mrc does not exist"),
        ("--in_mics default_pipeline.star", "Input micrographs .* is not an input of this job"),
        ("--limit_res 3 --limit_res 4", "--limit_res is given twice"),
        ("--j none", "not a valid number of threads"),
    ],
)
def test_invalid_arguments_are_rejected(project, words, part):
    with pytest.raises(SpisonetError, match=part):
        read_call(["--o", JOB, *words.split()], ["in_3dref", "in_mask"])


def test_the_folder_is_found_among_invalid_arguments():
    assert find_folder(["nonsense", "--o", JOB]) == Path(JOB)
    with pytest.raises(SpisonetError, match="External job"):
        find_folder(["--in_mask", "m.mrc", "--o"])


def test_parameters_match_options_ignoring_case():
    options = as_options(
        {
            "gpuid": "0",
            "independent": "",
            "epochs": "auto",
            "half2": "b.mrc",
            "limit_res": "",
            "mask": "None",
        },
        ["gpuID", "independent", "epochs", "i2", "limit_res", "mask"],
        {"independent"},
        {"half2": "i2"},
    )
    assert options == {"gpuID": "0", "independent": "true", "i2": "b.mrc", "mask": None}


@pytest.mark.parametrize("name", ["limitres", "limit-reso", "Limit_Rez"])
def test_the_most_similar_parameter_is_suggested(project, name):
    with pytest.raises(SpisonetError, match="not a parameter of this job; did you mean limit_res"):
        configure("anisotropy", "--in_3dref", HALF1, f"--{name}", "3.5")


def test_a_profile_replaces_the_defaults_that_relion_passes(project):
    words = ("--in_3dref", HALF1, "--epochs", "30", "--n_subvolume", "500", "--profile", "quick")
    config = configure("anisotropy", *words)
    quick = type(config).profiles["quick"]
    assert (config.epochs, config.n_subvolume, config.filter_base) == (quick["epochs"], 500, 16)


def test_none_is_no_value_or_the_option_of_that_name(project):
    words = ("--in_3dref", HALF1, "--mask", "none", "--prior", "none", "--pretrained", "None")
    config = configure("anisotropy", *words)
    assert (config.mask, config.prior, config.pretrained) == (None, "none", "none")


# --- metadata of the inputs ----------------------------------------------------------------------------


@pytest.mark.parametrize("given", [HALF1, "Refine3D/job002/", "Refine3D/job002/run_class001.mrc"])
def test_a_refinement_gives_half_maps_mask_voxel_size_and_symmetry(project, given):
    metadata = find_map_metadata(Path(given))
    assert metadata.half1 == Path(HALF1)
    assert metadata.half2 == Path(HALF1.replace("half1", "half2"))
    assert (metadata.mask, metadata.pixel_size_angstrom) == (Path("mask.mrc"), PIXEL)
    assert (metadata.symmetry, metadata.unmasked_resolution_angstrom) == ("C3", 7.5)
    assert metadata.particles == Path("Refine3D/job002/run_data.star")
    config = configure("anisotropy", "--in_3dref", given, "--gpuID", "0:1", "--independent")
    assert (config.i1, config.i2, config.mask) == (metadata.half1, metadata.half2, metadata.mask)
    assert (config.gpuID, config.independent, config.ncpus, config.limit_res) == ("0,1", True, 3, None)
    assert (config.output_dir, config.resume) == (Path(JOB), False)


def test_the_last_finished_continuation_is_taken(project):
    folder = project / "Refine3D" / "job002"
    for half in (1, 2):
        data = (folder / f"run_half{half}_class001_unfil.mrc").read_bytes()
        (folder / f"run_ct12_half{half}_class001_unfil.mrc").write_bytes(data)
    metadata = find_map_metadata(Path("Refine3D/job002"))
    assert metadata.half1 == Path("Refine3D/job002/run_ct12_half1_class001_unfil.mrc")


def test_maps_of_an_iteration_are_not_final_half_maps(project):
    folder = project / "Refine3D" / "job002"
    for half in (1, 2):
        data = (folder / f"run_half{half}_class001_unfil.mrc").read_bytes()
        (folder / f"run_it012_half{half}_class001_unfil.mrc").write_bytes(data)
    assert find_map_metadata(Path("Refine3D/job002")).half1 == Path(HALF1)
    assert last_refined_half1(project) == Path(HALF1)
    given = Path("Refine3D/job002/run_it012_half1_class001_unfil.mrc")
    (folder / "run_it012_half1_model.star").write_text("\ndata_model_general\n\n_rlnPixelSize 2.5\n\n")
    metadata = find_map_metadata(given)  # given explicitly
    assert (metadata.half1, metadata.pixel_size_angstrom, metadata.mask) == (given, 2.5, None)
    (project / HALF1).unlink()
    with pytest.raises(SpisonetError, match="finished refinement"):
        find_map_metadata(Path("Refine3D/job002"))
    assert last_refined_half1(project) is None


def test_an_unfinished_refinement_is_rejected(project):
    (project / HALF1).unlink()
    with pytest.raises(SpisonetError, match="finished refinement"):
        find_map_metadata(Path("Refine3D/job002"))


def test_half_map_2_is_rejected_as_half_map_1(project):
    with pytest.raises(SpisonetError, match="half map 2"):
        find_map_metadata(Path(HALF1.replace("half1", "half2")))


@pytest.mark.parametrize("names", [("a_half_A.mrc", "a_half_B.mrc"), ("odd.mrc", "even.mrc")])
def test_names_of_half_maps_of_other_programs(tmp_path, names):
    for name in names:
        (tmp_path / name).touch()
    assert second_half(tmp_path / names[0]) == tmp_path / names[1]


def test_half_2_can_be_a_parameter_and_is_required(project):
    (project / "one.mrc").write_bytes((project / HALF1).read_bytes())
    with pytest.raises(SpisonetError, match="No half maps were found for"):
        configure("fsc3d", "--in_3dref", "one.mrc")
    config = configure("fsc3d", "--in_3dref", "one.mrc", "--half2", "two.mrc")
    assert (config.h, config.h2) == (Path("one.mrc"), Path("two.mrc"))


def test_the_resolution_of_a_postprocess_job_is_used(project):
    folder = project / "PostProcess" / "job003"
    folder.mkdir(parents=True)
    (folder / "postprocess.star").write_text(
        "\ndata_general\n\n_rlnFinalResolution 6.25\n_rlnMaskName mask.mrc\n"
        f"_rlnUnfilteredMapHalf1 {HALF1}\n_rlnUnfilteredMapHalf2 {HALF1.replace('half1', 'half2')}\n\n"
    )
    config = configure("anisotropy", "--in_3dref", "PostProcess/job003/")
    assert (config.i1, config.mask, config.limit_res) == (Path(HALF1), Path("mask.mrc"), 6.25)


def test_a_reconstruction_of_subtomograms_gives_half_maps_and_particles(project):
    folder = Path("Reconstruct/job020")
    folder.mkdir(parents=True)
    for name in ("half1.mrc", "half2.mrc", "merged.mrc"):
        (folder / name).touch()
    (folder / "job.star").write_text(
        "data_job\n\n_rlnJobTypeLabel relion.reconstructparticletomo\n_rlnJobIsContinue 0\n\n"
        "data_joboptions_values\n\nloop_\n_rlnJobOptionVariable #1\n_rlnJobOptionValue #2\n"
        "in_optimisation Refine3D/job019/run_optimisation_set.star\nsym_name C6\n"
    )
    for given in (folder, folder / "merged.mrc", folder / "half1.mrc"):
        found = find_map_metadata(given)
        assert found.require_halves(given) == (folder / "half1.mrc", folder / "half2.mrc")
        assert found.symmetry == "C6"
        assert found.particles == Path("Refine3D/job019/run_optimisation_set.star")
    # The set lists particles and tilts; it is read by the commands that need them.
    config = configure("diagnose", "--in_3dref", str(folder))
    assert (config.star, config.tomograms, config.sym) == (found.particles, None, "C6")


def test_a_parameter_overrides_the_resolution_of_the_refinement(project):
    given = "Refine3D/job002/run_class001.mrc"
    assert configure("whitening", "--in_3dref", given).high_res == 7.5
    assert configure("whitening", "--in_3dref", given, "--high_res", "9").high_res == 9
    with pytest.raises(SpisonetError, match="is a folder"):
        configure("whitening", "--in_3dref", "Refine3D/job002/")


def test_the_sampling_density_needs_no_parameter_after_a_refinement(project):
    config = configure("fsd3d", "--in_3dref", "Refine3D/job002/")
    assert (config.map_dim, config.sym, config.apix) == (BOX, "C3", PIXEL)
    assert config.star_file == Path("Refine3D/job002/run_data.star")
    with pytest.raises(SpisonetError, match="needs Input particles"):
        configure("fsd3d")


def test_a_mask_given_twice_is_rejected(project):
    with pytest.raises(SpisonetError, match="given twice"):
        configure("fsc3d", "--in_3dref", HALF1, "--in_mask", "mask.mrc", "--mask", "mask.mrc")


def test_a_missing_mask_of_the_refinement_is_an_error(project):
    (project / "mask.mrc").unlink()
    with pytest.raises(SpisonetError, match="mask of the job that wrote the map"):
        configure("anisotropy", "--in_3dref", HALF1)
    assert configure("anisotropy", "--in_3dref", HALF1, "--mask", "none").mask is None


def test_one_map_alone_can_be_corrected_with_a_3d_fsc(project):
    given = "Class3D/job009/run_it025_class002.mrc"
    path = project / given
    path.parent.mkdir(parents=True)
    path.write_bytes((project / HALF1).read_bytes())
    config = configure("anisotropy", "--in_3dref", given, "--aniso_file", "FSD3D.mrc")
    assert (config.i1, config.i2, config.aniso_file) == (Path(given), None, Path("FSD3D.mrc"))
    with pytest.raises(SpisonetError, match=r"The resolution of .* is unknown"):
        configure("whitening", "--in_3dref", given)
    with pytest.raises(SpisonetError, match="needs the parameter low_map"):
        configure("combine-map", "--in_3dref", given)
    (path.parent / "run_it025_model.star").write_text(
        f"\ndata_model_general\n\n_rlnPixelSize {PIXEL}\n_rlnCurrentResolution 8.25\n\n"
    )
    assert configure("whitening", "--in_3dref", given).high_res == 8.25


def test_a_job_that_is_run_again_resumes_with_the_same_options(project):
    config = configure("anisotropy", "--in_3dref", HALF1)
    record = {"command": "reconstruct", "config": config.model_dump(mode="json")}
    del record["config"]["seed"]  # an option that an older version did not have
    (project / JOB / "job.json").write_text(json.dumps(record))
    # Before the first checkpoint, what was made so far is used, unless an option has changed.
    assert configure("anisotropy", "--in_3dref", HALF1).resume
    assert not configure("anisotropy", "--in_3dref", HALF1, "--epochs", "7").resume
    (project / JOB / "job.json").write_text("[")
    assert not configure("anisotropy", "--in_3dref", HALF1).resume
    (project / JOB / "job.json").write_text(json.dumps(record))
    (project / JOB / "checkpoint.safetensors").touch()
    assert configure("anisotropy", "--in_3dref", HALF1, "--device", "cpu").resume
    with pytest.raises(
        SpisonetError, match="epochs was 30 when this job started and is now 7; start a new job"
    ):
        configure("anisotropy", "--in_3dref", HALF1, "--epochs", "7")
    with pytest.raises(SpisonetError, match="seed was None when this job started and is now 3"):
        configure("anisotropy", "--in_3dref", HALF1, "--seed=3")


# --- the folder ----------------------------------------------------------------------------------------


def test_nodes_are_written_for_all_versions_if_they_exist(project):
    (project / JOB / "a.mrc").touch()
    folder = JobFolder(Path(JOB))
    folder.write_nodes([Node("a.mrc", NodeType.HALF_MAP), Node("b.mrc", NodeType.MAP)])
    table = StarFile(Path(JOB) / "RELION_OUTPUT_NODES.star").tables["output_nodes"]
    assert table.to_numpy().tolist() == [[f"{JOB}a.mrc", "DensityMap.mrc.halfmap", 10]]


@pytest.mark.parametrize(
    ("form", "label"),
    [
        (None, "ParticleGroupMetadata.star.relion"),
        ("\n# version 50001\n\ndata_job\n", "ParticleGroupMetadata.star.relion"),
        ("\n# version 30001\n\ndata_job\n", "ParticlesData.star.relion"),
        (f"\n# version {'1' * 6000}\n\ndata_job\n", "ParticleGroupMetadata.star.relion"),
    ],
)
def test_particles_have_the_node_type_of_the_version(project, form, label):
    (project / JOB / "particles.star").touch()
    if form is not None:
        (project / JOB / "job.star").write_text(form)
    JobFolder(Path(JOB)).write_nodes([Node("particles.star", NodeType.PARTICLES)])
    table = StarFile(Path(JOB) / "RELION_OUTPUT_NODES.star").tables["output_nodes"]
    assert table.to_numpy().tolist() == [[f"{JOB}particles.star", label, 3]]


# --- whole runs ----------------------------------------------------------------------------------------


def exit_file() -> ExitFile:
    found = [e for e in ExitFile if (Path(JOB) / e.value).exists()]
    assert len(found) == 1
    return found[0]


def run(name: str, *words: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(name, ["--o", JOB, *words, "--j", "2"])
    return int(left.value.code or 0)


def test_a_run_writes_outputs_nodes_note_and_logfile_and_the_exit_file_last(project):
    assert run("fsc3d", "--in_3dref", "Refine3D/job002/", "--limit_res", "8") == 0
    assert exit_file() is ExitFile.SUCCESS
    folder = project / JOB
    nodes = StarFile(folder / "RELION_OUTPUT_NODES.star").tables["output_nodes"]
    assert list(nodes["rlnPipeLineNodeName"]) == [f"{JOB}FSC3D.mrc", f"{JOB}logfile.pdf"]
    assert (folder / "logfile.pdf").read_bytes().startswith(b"%PDF")
    assert f"spisonet.py fsc3d {HALF1}" in (folder / "note.txt").read_text()
    # The exit file is an older file that is renamed.
    written = {path.name: path.stat().st_ctime_ns for path in folder.iterdir()}
    assert written["RELION_JOB_EXIT_SUCCESS"] == max(written.values())


@pytest.mark.slow
def test_a_diagnosis_finds_the_refinements_particles_and_symmetry(project):
    assert run("diagnose", "--in_3dref", "Refine3D/job002/", "--limit_res", "8") == 0
    assert exit_file() is ExitFile.SUCCESS
    found = json.loads((project / JOB / "diagnosis.json").read_text(encoding="utf-8"))
    expected = configure("fsd3d", "--in_3dref", "Refine3D/job002/")
    assert found["config"]["star"] == str(expected.star_file)
    assert found["config"]["sym"] == expected.sym
    assert found["particles"]["n_particles"] > 0
    assert (project / JOB / "logfile.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["whitening", "angular-whiten", "combine-map", "fsd3d"])
def test_every_filter_job_succeeds_and_changes_its_map(project, name):
    given = "Refine3D/job002/" if name == "fsd3d" else "Refine3D/job002/run_class001.mrc"
    more = ["--low_map", HALF1, "--threshold_res", "20"] if name == "combine-map" else []
    assert run(name, "--in_3dref", given, *more, *(["--low_res", "30"] if "white" in name else [])) == 0
    assert exit_file() is ExitFile.SUCCESS
    nodes = StarFile(Path(JOB) / "RELION_OUTPUT_NODES.star").tables["output_nodes"]
    assert len(nodes) == 2
    assert all(Path(node).is_file() for node in nodes["rlnPipeLineNodeName"])
    result = read_volume(Path(nodes["rlnPipeLineNodeName"][0]))
    before = read_volume(Path("Refine3D/job002/run_class001.mrc"))
    assert (result.box, result.voxel_size_angstrom) == (BOX, PIXEL)
    correlation = np.corrcoef(before.data.ravel(), result.data.ravel())[0, 1]
    assert not np.allclose(before.data, result.data, atol=1e-3 * before.data.std())
    assert name == "fsd3d" or correlation > 0.3


@pytest.mark.slow
def test_each_tomogram_job_writes_a_table_for_the_next(project):
    """From a RELION 5 table to corrected tomograms: each job writes a table of its own."""
    for index in (1, 2):
        write_halves(project, f"TS_{index}", shape=(24, 32, 32), n=4, seed=index)
    Path("tomograms.star").write_text(
        "data_global\n\nloop_\n_rlnTomoName #1\n_rlnTomoTiltSeriesStarFile #2\n_rlnPixelSize #3\n"
        "_rlnDefocus #4\n_rlnTomoReconstructedTomogramHalf1 #5\n_rlnTomoReconstructedTomogramHalf2 #6\n"
        "_rlnTomoReconstructedTomogram #7\n"
        + "".join(f"TS_{i} x.star 10 30000 even/TS_{i}.mrc odd/TS_{i}.mrc even/TS_{i}.mrc\n" for i in (1, 2))
    )
    given = Path("tomograms.star").read_text()
    small = "--filter_base 4 --cube_size 16 --epochs 1 --n_subvolume 8 --device cpu".split()
    table, added = "tomograms.star", "rlnTomoReconstructedTomogramDenoised"
    for number, (name, words) in enumerate(
        (
            ("deconv", []),
            ("mask", ["--z_crop", "0.1"]),
            ("refine", [*small, "--with_predict", "False"]),
            ("predict", ["--model", "External/job003/network.safetensors", "--device", "cpu"]),
        ),
        start=1,
    ):
        folder = Path(f"External/job{number:03d}")
        folder.mkdir(parents=True)
        with pytest.raises(SystemExit) as left:
            main(name, ["--o", f"{folder}/", "--in_mics", table, *words, "--j", "1"])
        assert left.value.code == 0
        nodes = StarFile(folder / "RELION_OUTPUT_NODES.star").tables["output_nodes"]
        written = [f"{folder}/tomograms.star", f"{folder}/logfile.pdf"]
        assert list(nodes["rlnPipeLineNodeName"]) == written
        table = f"{folder}/tomograms.star"
    assert Path("tomograms.star").read_text() == given
    rows = TomogramTable.read(Path(table)).rows
    assert all(row.path(column).is_file() for row in rows for column in (added, "rlnMaskName"))
    whole = Path("External/job006")
    whole.mkdir()
    with pytest.raises(SystemExit) as left:
        main("correct", ["--o", f"{whole}/", "--tomograms", ".", *small, "--as_reconstructed", "Yes"])
    assert left.value.code == 0
    nodes = StarFile(whole / "RELION_OUTPUT_NODES.star").tables["output_nodes"]["rlnPipeLineNodeName"]
    names = ("tomograms.star", "tomograms_as_reconstructed.star", "logfile.pdf")
    assert list(nodes) == [f"{whole}/{name}" for name in names]
    columns = {row.shown: set(row.values) for row in TomogramTable.read(whole / names[0]).rows}
    assert all({"rlnDeconvTomoName", "rlnMaskName", added} <= found for found in columns.values())
    for row in TomogramTable.read(whole / names[1]).rows:
        assert row.path("rlnTomoReconstructedTomogram") == whole / "corrected" / f"corrected_{row.shown}.mrc"
        assert row.full == Path(f"even/{row.shown}.mrc")  # measured: what isonet.py reads


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--in_3dref Refine3D/job099/", "Input 3D reference Refine3D/job099 does not exist"),
        ("", "needs Input 3D reference"),
        (f"--in_3dref {HALF1} --limit_re 8", "did you mean limit_res"),
        (f"--in_3dref {HALF1} --limit_res fine", "--limit_res"),
        (f"--in_3dref {HALF1} --limit_res 2", "beyond Nyquist"),
        ("--in_3dref default_pipeline.star", "No half maps were found for"),
    ],
)
def test_invalid_input_fails_with_one_sentence(project, capfd, words, part):
    assert run("fsc3d", *words.split()) == 1
    assert exit_file() is ExitFile.FAILURE
    lines = capfd.readouterr().err.strip().splitlines()
    assert part in lines[0]
    assert all(line.startswith("spisonet: ") and line.endswith((".", "?")) for line in lines)
    assert not (Path(JOB) / "FSC3D.mrc").exists()


def test_a_missing_folder_fails_with_one_sentence(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    assert run("fsc3d", "--in_3dref", "x.mrc") == 1
    assert "is not a folder" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_old_exit_file_is_removed(project):
    (project / JOB / "RELION_JOB_EXIT_SUCCESS").touch()
    assert run("fsc3d") == 1
    assert exit_file() is ExitFile.FAILURE


def test_a_job_that_is_aborted_before_its_start_does_nothing(project):
    (project / JOB / "RELION_JOB_ABORT_NOW").touch()
    assert run("fsc3d", "--in_3dref", HALF1) == 130
    assert exit_file() is ExitFile.ABORTED
    assert not (project / JOB / "RELION_JOB_ABORT_NOW").exists()
    assert not (project / JOB / "FSC3D.mrc").exists()


def test_a_folder_that_cannot_be_written_fails_with_one_sentence(project, capfd):
    (project / JOB / "note.txt").mkdir()
    assert run("fsc3d", "--in_3dref", HALF1) == 1
    assert exit_file() is ExitFile.FAILURE
    assert "note.txt is a folder" in capfd.readouterr().err


def test_help_within_a_job_still_writes_an_exit_file(project):
    assert run("fsc3d", "--in_3dref", HALF1, "--help") == 1
    assert exit_file() is ExitFile.FAILURE


def test_a_program_that_cannot_start_is_a_failure(project):
    code = (
        "import sys\nsys.modules['relion_external.jobs.run'] = None\n"
        f"sys.argv = ['spisonet-job-fsc3d', '--o', '{JOB}']\nimport spisonet_launcher\n"
        "spisonet_launcher.relion_job()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert exit_file() is ExitFile.FAILURE


def launch(code: str) -> subprocess.CompletedProcess[str]:
    """Run code before the launcher of a job, without what the environment imports by itself."""
    code = (
        f"import sys\nsys.path.insert(0, {str(Path(__file__).parents[2])!r})\nimport spisonet_launcher\n"
        f"sys.argv = ['spisonet-job-fsc3d', '--o', '{JOB}']\n{code}\nspisonet_launcher.relion_job()"
    )
    return subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)


def test_signals_are_handled_before_slow_imports(project):
    done = launch(
        "import os, signal\ndef start(*_):\n"
        "    print({'typing', 'pathlib', 'importlib'} & {*sys.modules}, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGUSR1)\nspisonet_launcher._run = start"
    )
    assert done.stdout == "set()\n"
    assert exit_file() is ExitFile.ABORTED


def test_signals_wait_while_the_interpreter_starts_again_in_utf8_mode(project):
    # The program that takes the place of the first one is the same launcher, in another locale.
    done = launch(
        "import os, signal\nsys.getfilesystemencoding = lambda: 'ascii'\n"
        "def restart(*_):\n    os.kill(os.getpid(), signal.SIGTERM)\n    print('waits', flush=True)\n"
        "    sys.getfilesystemencoding = lambda: 'utf-8'\n    spisonet_launcher.relion_job()\n"
        "os.execv = restart"
    )
    assert (done.stdout, done.returncode) == ("waits\n", 130)
    assert exit_file() is ExitFile.ABORTED


def test_a_failed_logfile_leaves_the_result(project, monkeypatch, capsys):
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setitem(sys.modules, "relion_external.jobs.logfile", None)
    config = configure("fsc3d", "--in_3dref", HALF1, "--limit_res", "8")
    worker.main("fsc3d", Path(JOB), json.dumps(config.model_dump(mode="json")))
    assert (Path(JOB) / "FSC3D.mrc").is_file()
    assert "the results are complete, but logfile.pdf was not written" in capsys.readouterr().err


def test_names_that_are_not_utf8_reach_the_worker(project, monkeypatch):
    given, configs = [], []
    waiting = "relion_external.jobs.run._wait_for_worker"
    monkeypatch.setattr(waiting, lambda _, words: given.append(words) or 1)
    monkeypatch.setattr(worker, "end_with_parent", lambda: None)
    monkeypatch.setattr("spisonet.commands.main.run_config", configs.append)
    monkeypatch.setitem(sys.modules, "relion_external.jobs.logfile", None)
    folder = Path(os.fsdecode(b"External/caf\xe9"))
    folder.mkdir()
    with pytest.raises(SystemExit):
        main("fsc3d", ["--o", f"{folder}/", "--in_3dref", HALF1])
    name, path, text = given[0]
    worker.main(name, Path(path), text)
    assert configs[0].o == folder / "FSC3D.mrc"


WORKERS = {
    "sleeps": "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from relion_external.process import end_with_parent\nend_with_parent()\ntime.sleep(60)",
    "is killed": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "breaks": "raise ValueError('a defect')",
}
STARTER = (
    "from relion_external.jobs import run\nimport sys\nrun.WORKER = 'worker_of_a_test'\n"
    "run.POLL_SECONDS = 0.1\nrun.main('fsc3d', sys.argv[1:])"
)


@pytest.fixture
def started(project):
    """Start a job with a worker of this test."""
    processes = []

    def start(kind: str) -> subprocess.Popen[str]:
        body = WORKERS[kind]
        mark = f"import pathlib\npathlib.Path('{JOB}started').touch()\n"
        (project / "worker_of_a_test.py").write_text(mark + body)
        environment = os.environ | {"PYTHONPATH": f"{project}:{Path(__file__).parents[2]}"}
        words = [sys.executable, "-c", STARTER, "--o", JOB, "--in_3dref", HALF1]
        process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        until = time.monotonic() + 30
        while not (project / JOB / "started").exists() and time.monotonic() < until:
            time.sleep(0.05)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()


def test_relions_abort_file_stops_the_job(started):
    process = started("sleeps")
    (Path(JOB) / "RELION_JOB_ABORT_NOW").touch()
    _, errors = process.communicate(timeout=30)
    assert exit_file() is ExitFile.ABORTED
    assert process.returncode == 130
    assert "RELION_JOB_ABORT_NOW was found" in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_aborts_the_job(started, number):
    process = started("sleeps")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert exit_file() is ExitFile.ABORTED
    assert f"{number.name} was received" in errors


@pytest.mark.parametrize(
    ("kind", "part"),
    [("is killed", "the memory of the machine was exhausted"), ("breaks", "ValueError: a defect")],
)
def test_a_killed_or_crashed_worker_is_a_failure(started, kind, part):
    process = started(kind)
    _, errors = process.communicate(timeout=30)
    assert exit_file() is ExitFile.FAILURE
    assert process.returncode == 1
    assert part in errors


# --- job templates -------------------------------------------------------------------------------------


def test_job_templates_are_written_with_every_parameter(project):
    tomograms = project / "Tomograms" / "job006" / "tomograms.star"
    tomograms.parent.mkdir(parents=True)
    for path in (tomograms, tomograms.with_name("RELION_JOB_EXIT_SUCCESS")):
        path.touch()
    spisonet(["relion", "install-jobs", str(project), "--relion31", "anisotropy"])
    for name, job in JOBS.items():
        star = StarFile(project / "spisonet_jobs" / name / "job.star")
        assert star.value("rlnJobTypeLabel") == "relion.external"
        table = star.tables["joboptions_values"]
        values = dict(zip(table["rlnJobOptionVariable"], table["rlnJobOptionValue"], strict=True))
        assert Path(values["fn_exe"]).is_file()
        labels = [values[f"param{i}_label"] for i in range(1, len(job.shown_parameters) + 1)]
        assert labels == list(job.shown_parameters)
        assert set(labels) <= set(job.parameters)
        assert len(labels) <= 10
        if name in ("fsc3d", "anisotropy", "fsd3d"):
            assert values["in_3dref"] == HALF1
        chosen = [
            w for i, n in enumerate(labels, start=1) for w in (f"--{n}", str(values[f"param{i}_value"]))
        ]
        if name == "combine-map":
            assert chosen == ["--low_map", "", "--threshold_res", ""]  # for the user to fill in
        elif job.prefix == TOMOGRAM_PREFIX:
            assert values["in_mic"] == "Tomograms/job006/tomograms.star"
            (project / "t.star").touch()
            words = ["--in_mics", "t.star", *(w for w in chosen if w)]
            place = words.index("--tomograms") if "--tomograms" in words else len(words)
            del words[place : place + 1]  # without a value: given as an input already
            if name == "predict":
                words = [word for word in words if word != "--model"] + ["--model", "n.safetensors"]
            assert configure(name, *words).command == job.config.command
        elif name != "report":
            words = ["--in_3dref", "Refine3D/job002/run_class001.mrc", *(w for w in chosen if w)]
            assert configure(name, *words).command == job.config.command
    ready = (project / "spisonet_jobs" / "anisotropy" / "job.star").read_text()
    assert (project / ".gui_externaljob.star").read_text() == ready
    script = project / "spisonet_jobs" / "slurm_gpu.sh"
    assert "--gres=gpu" in script.read_text()
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize(
    ("words", "part"),
    [(["nowhere"], "not a RELION project"), ([".", "--relion31", "anisotrop"], "did you mean anisotropy")],
)
def test_job_templates_need_a_relion_project(project, capsys, words, part):
    with pytest.raises(SystemExit):
        spisonet(["relion", "install-jobs", *words])
    assert part in capsys.readouterr().err
    assert not (project / "spisonet_jobs").exists()


def test_jobs_are_listed_and_have_a_help(capsys):
    spisonet(["relion", "list-jobs"])
    listed = capsys.readouterr().out
    assert all(job.executable in listed for job in JOBS.values())
    with pytest.raises(SystemExit) as left:
        main("report", ["--help"])
    assert left.value.code == 0
    assert "a corrected map" in capsys.readouterr().out
