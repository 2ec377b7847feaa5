"""``--submit``: scripts for Slurm, Grid Engine and LSF, with their programs replaced by scripts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from spisonet.commands.main import isonet, main
from spisonet.io.schedulers import SCHEDULERS, Submission
from spisonet.io.tomogram_table import TomogramTable
from tests.tomography.isonet import QUICK, failure, run
from tests.tomography.simulation import write_halves

PRINTED = {
    "sbatch": 'echo "$number;cluster"',
    "qsub": 'case "$*" in *-t*) echo "$number.1-2:1" ;; *) echo "$number" ;; esac',
    "bsub": 'cat > /dev/null; echo "Job <$number> is submitted to queue <normal>."',
}
# Count the jobs, from 101, and note the arguments of each.
FAKE = """#!/bin/sh
echo x >> "$0.calls"
number=$((100 + $(wc -l < "$0.calls")))
echo "$*" >> "$0.arguments"
{printed}
"""
EXPECTED = {
    "slurm": (
        [
            "--chdir={here}",
            "--array=1-2 --dependency=afterok:101 --kill-on-invalid-dep=yes",
            "--dependency=afterany:102",
        ],
        "$SLURM_ARRAY_TASK_ID",
    ),
    "sge": (["-wd {here}", "-t 1-2 -hold_jid 101", "-hold_jid 102"], "$SGE_TASK_ID"),
    "lsf": (["-cwd {here}", "-J predict[1-2] -w done(101) -ti", "-w ended(102)"], "$LSB_JOBINDEX"),
}


@pytest.fixture
def programs(monkeypatch, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("schedulers")
    for name, printed in PRINTED.items():
        (folder / name).write_text(FAKE.format(printed=printed), encoding="utf-8")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def listed(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        write_halves(tmp_path, name, shape=(24, 40, 40), n=5, seed=seed)
    run("prepare_star --even even --odd odd --pixel_size 10")
    return tmp_path


@pytest.fixture
def maps(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in ("h 1.mrc", "h2.mrc", "m.mrc"):
        Path(name).touch()
    return "tests need words of a shell"


def submitted(program: Path) -> list[str]:
    return Path(f"{program}.arguments").read_text(encoding="utf-8").splitlines()


def command_of(script: Path, **variables: str) -> list[str]:
    """Return the words of the command of a script, as the shell of a node sees them."""
    text = script.read_text(encoding="utf-8")
    line = text.splitlines()[-1]
    words = ["bash", "-c", f"printf '%s\\n' {line}"]
    return subprocess.check_output(words, env={**os.environ, **variables}, text=True).splitlines()


@pytest.mark.parametrize(("name", "program"), [("slurm", "sbatch"), ("sge", "qsub"), ("lsf", "bsub")])
def test_a_training_an_array_and_its_merging_wait_for_each_other(programs, listed, name, program, capsys):
    run(f"refine tomograms.star {QUICK} --submit {name} --submit_options queue=gpu")
    options, task = EXPECTED[name]
    calls = submitted(programs / program)
    assert len(calls) == len(options) == 3
    for call, option in zip(calls, options, strict=True):
        assert option.format(here=listed) in call
    folder = Path("isonet_maps/submission")
    scripts = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("*.sh")}
    assert scripts.keys() == {"refine", "predict", "merge"}
    assert f'--shard "{task}/2"' in scripts["predict"]
    assert "--no-with_predict" in scripts["refine"]
    for text in scripts.values():
        assert "XXX" not in text
        assert "gpu" in text.split("\n\n")[0]
        assert not re.search("gres|num=|-l gpu", text)  # --device cpu
        assert os.access(folder / "predict.sh", os.X_OK)


def test_the_submitted_commands_correct_the_tomograms(programs, listed):
    run(f"refine tomograms.star {QUICK} --submit slurm")
    folder = Path("isonet_maps/submission")
    words = command_of(folder / "refine.sh")
    assert "--resume" not in words
    isonet(words[1:])
    assert "--resume" in command_of(folder / "refine.sh")  # from here on, a repeated start resumes
    for number in ("2", "1"):
        words = command_of(folder / "predict.sh", SLURM_ARRAY_TASK_ID=number)
        assert words[-2:] == ["--shard", f"{number}/2"]
        isonet(words[1:])
    isonet(command_of(folder / "merge.sh")[1:])
    for row in TomogramTable.read(Path("tomograms.star")).rows:
        assert row.path("rlnCorrectedTomoName").is_file()


def test_a_run_of_maps_is_one_job(programs, maps, capsys):
    main(["reconstruct", "h 1.mrc", "h2.mrc", "--mask", "m.mrc", "--gpuID", "0,1", "--submit", "slurm"])
    (call,) = submitted(programs / "sbatch")
    assert call.endswith("isonet_maps/submission/reconstruct.sh")
    text = Path("isonet_maps/submission/reconstruct.sh").read_text(encoding="utf-8")
    assert "#SBATCH --gres=gpu:2\n" in text
    assert "--partition" not in text
    assert "--time" not in text
    assert command_of(Path("isonet_maps/submission/reconstruct.sh"))[1:3] == ["reconstruct", "h 1.mrc"]
    assert "job 101" in capsys.readouterr().out


def test_a_dry_run_prints_scripts_and_starts_nothing(listed, capsys):
    run(f"refine tomograms.star {QUICK} --submit lsf --dry_run --shards 1")  # without bsub
    printed = capsys.readouterr().out
    assert printed.count("#!/bin/bash") == 3
    assert "bsub -cwd" in printed
    assert "-J 'predict[1-1]' -w 'done(NUMBER)' -ti < isonet_maps/submission/predict.sh" in printed
    assert not Path("isonet_maps").exists()


def test_a_template_of_relion_works_unchanged(programs, maps):
    Path("qsub.sh").write_text(
        "#!/bin/bash\n#SBATCH -n XXXmpinodesXXX -c XXXthreadsXXX -N XXXnodesXXX --mem XXXextra1XXX\n"
        "#SBATCH -p XXXqueueXXX\n#SBATCH -e XXXerrfileXXX\n#SBATCH -o XXXoutfileXXX\n"
        "mpirun -n XXXmpinodesXXX XXXcommandXXX\n",
        encoding="utf-8",
    )
    line = "reconstruct h2.mrc h2.mrc --ncpus 8 --submit slurm --submit_template qsub.sh"
    main([*line.split(), "--submit_options", "extra1=9G"])
    text = Path("isonet_maps/submission/reconstruct.sh").read_text(encoding="utf-8")
    assert "#SBATCH -n 1 -c 8 -N 1 --mem 9G\n" in text
    assert "-p" not in text.splitlines()[2]
    assert "\nmpirun -n 1 /" in text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--submit pbs", "'pbs' is not one of 'slurm', 'sge', 'lsf'"),
        ("--submit slurm", "sbatch is not installed on this machine"),
        ("--submit slurm --submit_template none.sh --dry_run", "none.sh cannot be read."),
        ("--submit slurm --submit_template empty.sh --dry_run", "empty.sh lacks XXXcommandXXX"),
        ("--submit slurm --submit_template own.sh --dry_run", "own.sh: the field account has no value"),
        ("--submit slurm --submit_options queue --dry_run", "queue is not a list such as queue=gpu"),
        (
            "--submit slurm --submit_options quue=gpu --dry_run",
            "slurm.sh has no field quue; its fields are queue,",
        ),
        ("--dry_run", "--dry_run needs --submit"),
        ("--shards 3", "--shards needs --submit"),
        ("--submit slurm --shard 1/2", "give --shards to --submit"),
        ("--shard 1/2", "--shard is an option of predict only"),
        ("--submit slurm --dry_run --mask none.mrc", "none.mrc does not exist"),
    ],
)
def test_faults_are_one_sentence(maps, monkeypatch, capsys, options, message):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    Path("empty.sh").write_text("#!/bin/sh\n", encoding="utf-8")
    Path("own.sh").write_text("#SBATCH -A XXXaccountXXX\nXXXcommandXXX\n", encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        main(["reconstruct", "h 1.mrc", "h2.mrc", *options.split()])
    assert stopped.value.code
    error = capsys.readouterr().err
    assert message in " ".join(error.split())
    assert not Path("isonet_maps").exists()


def test_a_rejected_script_and_an_output_folder_that_cannot_be_written(programs, listed, capsys):
    (programs / "sbatch").write_text("#!/bin/sh\necho Invalid partition >&2; exit 1\n", encoding="utf-8")
    line = f"refine tomograms.star {QUICK} --submit slurm"
    assert "sbatch: Invalid partition" in failure(line, capsys)
    shutil.rmtree("isonet_maps")
    Path("isonet_maps").touch()
    assert "isonet_maps" in failure(line, capsys)


@pytest.mark.parametrize("scheduler", SCHEDULERS.values(), ids=lambda scheduler: scheduler.name)
def test_names_with_spaces_stay_one_word(scheduler):
    job = Submission(scheduler, Path("a b/s.sh"), Path("/x y"), "3", "7")
    assert any("/x y" in word for word in job.words)
    assert "'/x y'" in job.line or "'--chdir=/x y'" in job.line
    assert "a b/s.sh" in job.line


@pytest.mark.parametrize("name", SCHEDULERS)
def test_directives_take_folders_with_spaces_and_refuse_what_schedulers_replace(name, maps, capsys):
    line = ["reconstruct", "h2.mrc", "h2.mrc", "--submit", name, "--dry_run", "--output_dir"]
    main([*line, "out dir"])
    directives = [words for words in capsys.readouterr().out.splitlines() if words.startswith("#")]
    files = [shlex.split(words, comments=False)[-1] for words in directives if "reconstruct.out" in words]
    assert files
    assert all(file.rsplit("=")[-1] == f"{Path.cwd()}/out dir/submission/reconstruct.out" for file in files)
    special = {"slurm": ("out%j",), "sge": ("$HOME", "08:00", "a,b"), "lsf": ("out%J",)}[name]
    for folder in (*special, "out#1", "o'ut", 'o"ut', "out\n#SBATCH --wrap=x", "out\\x"):
        with pytest.raises(SystemExit):
            main([*line, folder])
        assert "cannot be used with" in capsys.readouterr().err


def test_jobs_that_wait_for_one_that_was_submitted_are_named_if_the_scheduler_rejects_them(
    programs, listed, capsys
):
    fake = (programs / "sbatch").read_text(encoding="utf-8")
    rejected = fake.replace(
        "#!/bin/sh\n", '#!/bin/sh\ncase "$*" in *--array*) echo Too many >&2; exit 1 ;; esac\n'
    )
    (programs / "sbatch").write_text(rejected, encoding="utf-8")
    error = failure(f"refine tomograms.star {QUICK} --submit slurm", capsys)
    assert "predict.sh was not submitted: sbatch: Too many" in error
    assert "scancel 101" in error
    assert "--array=1-2 isonet_maps/submission/predict.sh" in error
    assert {path.name for path in Path("isonet_maps/submission").glob("*.sh")} == {
        "refine.sh",
        "predict.sh",
        "merge.sh",
    }


def test_a_new_submission_forgets_the_records_of_parts_and_no_other_file(programs, listed):
    Path("network").touch()
    record = Path("out/shards/1_of_2/job.json")
    record.parent.mkdir(parents=True)
    record.write_text("{}", encoding="utf-8")
    other = Path("out/shards/notes.txt")
    other.touch()
    run("predict tomograms.star network --output_dir out --submit slurm")
    assert other.is_file()
    assert not record.exists()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not on PATH")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_templates_and_scripts_pass_shellcheck(listed, capsys, name):
    run(f"refine tomograms.star {QUICK} --submit {name} --dry_run")
    scripts = re.split(r"^# \S+\.sh\n", capsys.readouterr().out, flags=re.MULTILINE)[1:]
    assert len(scripts) == 3
    for text in scripts:
        script = text.rsplit("\n\n", 2)[0] + "\n"
        done = subprocess.run(
            ["shellcheck", "--exclude=SC2046", "-"], input=script, capture_output=True, text=True
        )
        assert not done.returncode, done.stdout


@pytest.mark.checkout
def test_the_documentation_shows_the_templates():
    page = (Path(__file__).parents[2] / "docs" / "schedulers.md").read_text(encoding="utf-8")
    for scheduler in SCHEDULERS.values():
        assert f"```sh\n{scheduler.template.read_text(encoding='utf-8')}```" in page
