"""Several processes train as one: by ``torchrun``, or started by the program itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from spisonet.errors import SpisonetError
from spisonet.io.mrc import read_volume
from spisonet.learning.checkpoint import load_tensors, save_tensors
from spisonet.learning.process_group import (
    SINGLE_PROCESS,
    ProcessGroup,
    map_tasks,
    process_group,
    run_in_processes,
    started_by_torchrun,
)
from spisonet.learning.trainer import Trainer, TrainingOptions
from spisonet.learning.unet import UNet

CPU = torch.device("cpu")
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
SCRIPT = str(Path(sys.executable).parent / "spisonet.py")


def add_ranks(folder: Path) -> None:
    with process_group(CPU) as group:
        number = torch.tensor([float(group.rank + 1)])
        group.all_reduce(number)
        parameter = torch.nn.Parameter(torch.zeros(2, 3))
        parameter.grad = torch.full((2, 3), float(group.rank))
        group.all_reduce_gradients([parameter])
        result = {
            "sum": number.item(),
            "gradient": parameter.grad.unique().tolist(),
            "broadcast": group.broadcast(f"from {group.rank}"),
            "session": os.getsid(0) == os.getpid(),
        }
        (folder / f"{group.rank}.json").write_text(json.dumps(result))


def fail_in_one(text: str) -> None:
    with process_group(CPU) as group:
        if group.is_main:
            raise SpisonetError(text, code="file_not_found", field="h1", path=Path("half1.mrc"))
        group.broadcast(None)  # waits for the one that failed


def wait_for_ever(folder: Path) -> None:
    with process_group(CPU) as group:
        (folder / f"{group.rank}.pid").write_text(str(os.getpid()))
        if group.is_main:
            try:
                time.sleep(600)
            except KeyboardInterrupt:
                (folder / "cleaned up").touch()
                raise
        group.broadcast(None)


def test_processes_sum_and_broadcast(tmp_path):
    run_in_processes(add_ranks, tmp_path, 2)
    results = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    expected = {"sum": 3.0, "gradient": [1.0], "broadcast": "from 0", "session": True}
    assert results == [expected, expected]


def test_the_error_of_a_failed_process_is_passed_on():
    with pytest.raises(SpisonetError) as caught:
        run_in_processes(fail_in_one, "half1.mrc does not exist.", 2)
    expected = {"message": "half1.mrc does not exist.", "code": "file_not_found", "field": "h1"}
    assert caught.value.as_record() == expected
    assert caught.value.path == Path("half1.mrc")


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_parent_ends_its_processes_and_no_others(tmp_path, sent, status):
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.learning.test_process_group import wait_for_ever\n"
        "from spisonet.learning.process_group import run_in_processes\n"
        "try:\n    run_in_processes(wait_for_ever, Path(sys.argv[1]), 2)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2])
    files = [tmp_path / "0.pid", tmp_path / "1.pid"]
    while parent.poll() is None and not all(f.is_file() and f.read_text() for f in files):
        time.sleep(0.05)
    parent.send_signal(sent)
    assert parent.wait(timeout=60) == status
    assert (tmp_path / "cleaned up").is_file()
    for file in files:
        assert not Path("/proc", file.read_text()).exists()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_a_killed_parent_leaves_no_orphans(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.learning.test_process_group import wait_for_ever\n"
        "from spisonet.learning.process_group import run_in_processes\n"
        "run_in_processes(wait_for_ever, Path(sys.argv[1]), 2)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2])
    files = [tmp_path / "0.pid", tmp_path / "1.pid"]
    while parent.poll() is None and not all(f.is_file() and f.read_text() for f in files):
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60
    while any(Path("/proc", file.read_text()).exists() for file in files):
        assert time.monotonic() < end
        time.sleep(0.1)


class UnlikeSubvolumes:
    """Batches of noise of different contrast, with their mean squared prediction as the loss."""

    def begin_epoch(self, number):
        pass

    def refresh_interval(self, batch_size):
        return 0

    def memory_settings(self):
        return {}

    def restore_memory_settings(self, settings):
        pass

    n_predictions = 0

    def draw(self, n_subvolumes, rng):
        scales = np.logspace(-1, 1, n_subvolumes)[:, None, None, None]
        self.subvolumes = torch.from_numpy(scales * rng.normal(size=(n_subvolumes, 16, 16, 16))).float()
        return self

    def loss(self, network, part):
        return network(self.subvolumes[part]).square().mean()


def save_two_updates(folder: Path) -> None:
    torch.set_num_threads(1)
    with process_group(CPU) as group:
        torch.manual_seed(0)
        network = UNet(4)
        torch.nn.init.normal_(network.last.weight)
        options = TrainingOptions(1, 80, batch_size=5, n_splits=1, learning_rate=1e-3, seed=0)
        trainer = Trainer(network, UnlikeSubvolumes(), options, CPU, tile_size=64, group=group)
        for number in (1, 2):  # in the middle of an epoch
            trainer.update()
            # One vector: the gradients of biases before a normalisation vanish but for rounding.
            tensors = {"gradient": torch.cat([p.grad.ravel() for p in trainer.network.parameters()])}
            tensors |= dict(trainer.network.named_buffers())
            tensors |= {f"average {name}": value for name, value in trainer.average.named_buffers()}
            save_tensors(folder / f"{group.count} {group.rank} {number}.safetensors", tensors, {})


def test_processes_compute_the_gradients_and_statistics_of_one_after_every_update(tmp_path):
    save_two_updates(tmp_path)
    run_in_processes(save_two_updates, tmp_path, 2)
    for number in (1, 2):
        one, first, second = (
            load_tensors(tmp_path / f"{process} {number}.safetensors")[0] for process in ("1 0", "2 0", "2 1")
        )
        for name, value in one.items():
            assert torch.equal(first[name], second[name]), name
            error = (first[name].double() - value.double()).norm()
            # The second update starts from weights that differ by rounding, which Adam amplifies.
            assert error <= (1e-4 if number == 1 else 1e-2) * value.double().norm(), name


def train_until_plateau(folder: Path) -> None:
    torch.set_num_threads(1)
    with process_group(CPU) as group:
        torch.manual_seed(0)
        options = TrainingOptions(30, 4, 4, 1, learning_rate=1e-3, seed=0, until_plateau=True)
        trainer = Trainer(UNet(4), UnlikeSubvolumes(), options, CPU, tile_size=64, group=group)
        trainer.train("t", None, resume=False, score=(lambda *_: 0.5) if group.is_main else None)
        weights = torch.cat([p.detach().ravel() for p in trainer.network.parameters()])
        record = trainer.end_record | {"n_epochs": len(trainer.epoch_losses)}
        save_tensors(folder / f"{group.rank}.safetensors", {"weights": weights}, record)


def test_the_main_process_decides_when_a_training_of_variable_length_ends(tmp_path):
    run_in_processes(train_until_plateau, tmp_path, 2)
    (first, main), (second, other) = (load_tensors(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    assert main == other
    assert (main["reason"], main["scores"], main["n_epochs"]) == ("plateau", [0.5] * 4, 8)
    assert torch.equal(first["weights"], second["weights"])


def test_one_process_alone_needs_no_others():
    assert not started_by_torchrun()
    with process_group(CPU) as group:
        assert group is SINGLE_PROCESS
    assert group.broadcast(3) == 3
    ranges = [ProcessGroup(rank, 3).local_range(8) for rank in range(3)]
    assert [piece for part in ranges for piece in part] == list(range(8))
    assert [len(part) for part in ranges] == [2, 3, 3]


@pytest.mark.slow
def test_two_processes_make_the_map_that_one_makes(example, tmp_path):
    words = [
        SCRIPT, "reconstruct", str(example / "half1.mrc"), str(example / "half2.mrc"), "--mask",
        str(example / "mask.mrc"), "--limit_res", "6.5", "--filter_base", "8", "--cube_size", "32",
        "--epochs", "2", "--n_subvolume", "100", "--batch_size", "4", "--device", "cpu", "--output_dir",
    ]  # fmt: skip
    with socket.socket() as taken:  # torchrun's usual port must not matter
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 29500))
        both = subprocess.run([*TORCHRUN, *words, str(tmp_path / "two")], capture_output=True, text=True)
    assert both.returncode == 0, both.stderr
    assert both.stdout.count("2 processes train together") == 1
    subprocess.run([sys.executable, *words, str(tmp_path / "one")], check=True, capture_output=True)
    assert json.loads((tmp_path / "two" / "job.json").read_text())["processes"] == 2
    for name in ("corrected_half1.mrc", "corrected_half2.mrc"):
        before = read_volume(example / name.removeprefix("corrected_")).data
        one, two = (read_volume(tmp_path / folder / name).data for folder in ("one", "two"))
        assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.995
        # In the inferred part, and not only in the measured one.
        assert np.corrcoef((one - before).ravel(), (two - before).ravel())[0, 1] > 0.995


def test_bad_input_under_torchrun_is_one_sentence(tmp_path):
    words = [
        SCRIPT,
        "reconstruct",
        str(tmp_path / "none1.mrc"),
        str(tmp_path / "none2.mrc"),
        "--device",
        "cpu",
    ]
    run = subprocess.run([*TORCHRUN, *words], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode != 0
    assert run.stderr.count("spisonet: ") == 1
    assert "none1.mrc does not exist." in run.stderr
    assert not list(tmp_path.iterdir())


def divide(worker: str, task: tuple[Path, int]) -> tuple[str, float]:
    folder, number = task
    (folder / f"{os.getpid()}.pid").touch()
    if number == 3:
        raise SpisonetError("three is not a valid number")
    if number == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return worker, 12 / number


@pytest.mark.parametrize("workers", [["a"], ["a", "b"]])
def test_tasks_are_distributed_and_a_failed_one_stops_no_other(tmp_path, workers):
    tasks = [(tmp_path, number) for number in (1, 0, 2, 3, 6)]
    results = {task[1]: result for task, result in map_tasks(divide, tasks, workers)}
    assert len(results) == 5
    assert {number: results[number][1] for number in (1, 2, 6)} == {1: 12, 2: 6, 6: 2}
    assert "ZeroDivisionError" in results[0]
    assert results[3] == "three is not a valid number"
    processes = {int(path.stem) for path in tmp_path.glob("*.pid")}
    assert len(processes) == len(workers)
    assert (os.getpid() in processes) == (len(workers) == 1)


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    tasks = [(tmp_path, number) for number in (4, 1, 4, 2, 6)]
    results = list(map_tasks(divide, tasks, ["a", "b"]))
    died = [task for task, result in results if isinstance(result, str)]
    assert died == [(tmp_path, 4)] * 2
    assert all("status -9" in result for _, result in results if isinstance(result, str))
    assert len(results) == 5


def test_workers_end_with_their_iterator(tmp_path):
    running = map_tasks(divide, [(tmp_path, number) for number in (1, 2, 5, 6)], ["a", "b"])
    next(running)
    running.close()
    deadline = time.monotonic() + 20
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
