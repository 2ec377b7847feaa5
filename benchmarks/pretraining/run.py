"""Train the networks that come with the program, on simulated data of known structures.

    python -m benchmarks.pretraining.run --models MODELS --cases CASES --out pretrained.safetensors
    python -m benchmarks.pretraining.run --models MODELS --cases CASES --network tomograms \
        --initial pretrained.safetensors --out pretrained_tomograms.safetensors

The folder of models contains coordinate files (``.cif.gz``, ``.cif``, ``.pdb``). For maps, a random part of
every structure in a random orientation is simulated and reconstructed, with random views, noise and errors of
the poses. For tomograms, crowded phantoms of random structures are tilted, projected with noise and
reconstructed. Cases are kept in their folder; those that exist are not made again. The network is then
trained for some minutes, and written every 50 updates. Needs gemmi.
"""

from __future__ import annotations

import argparse
import copy
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.pretraining.examples import Example
from benchmarks.pretraining.map_cases import PRIOR_EXAMPLE, START_EXAMPLE, make_map_cases
from benchmarks.pretraining.tomogram_cases import TOMOGRAM_EXAMPLE, make_tomogram_cases
from benchmarks.pretraining.train import (
    FILTER_BASE,
    KINDS,
    LEARNING_RATE,
    NetworkKind,
    new_network,
    start_of_prior,
    train,
)
from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.pretrained import OTHER_MAPS, OTHER_TOMOGRAMS, TRAINED_ON
from spisonet.learning.unet import PriorUNet, UNet

EXAMPLES = {"start": START_EXAMPLE, "prior": PRIOR_EXAMPLE, "tomograms": TOMOGRAM_EXAMPLE}
COORDINATES = ("cif.gz", "cif", "pdb")


def main(arguments: list[str] | None = None) -> int:
    """Make the cases, train and write the network; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of coordinate files")
    parser.add_argument("--cases", type=Path, required=True, help="folder of the simulated cases")
    parser.add_argument("--out", type=Path, required=True, help="file of the network")
    parser.add_argument(
        "--network",
        choices=KINDS,
        default="start",
        help="start: --pretrained of reconstruct; prior: --prior; tomograms: --pretrained of refine",
    )
    parser.add_argument("--initial", type=Path, help="network with the initial weights, of either kind")
    parser.add_argument("--repeats", type=int, default=4, help="maps of each structure")
    parser.add_argument("--tomograms", type=int, default=64, help="number of tomograms")
    parser.add_argument("--minutes", type=float, default=45, help="duration of the training")
    parser.add_argument("--filter_base", type=int, default=FILTER_BASE, help="base width of the network")
    parser.add_argument("--learning_rate", type=float, default=LEARNING_RATE, help="maximum of the schedule")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the training")
    args = parser.parse_args(arguments)
    kind = KINDS[args.network]
    try:
        files = sorted(p for p in args.models.iterdir() if p.name.split(".", 1)[-1] in COORDINATES)
        if args.network == "tomograms":
            make_tomogram_cases(files, args.cases, args.tomograms)
        else:
            make_map_cases(files, args.cases, args.repeats)
        paths = sorted(args.cases.glob(f"*/{EXAMPLES[args.network]}"))
        examples = [
            example for path in paths if min((example := Example.read(path)).target.shape) >= kind.edge
        ]
        if not examples:
            raise SpisonetError(f"{args.cases} contains no case of at least {kind.edge} voxels.")
        print(f"{len(examples)} cases", flush=True)
        network = _initial_network(kind, args.initial, args.filter_base, args.seed)

        def save(trained: UNet) -> None:
            data = OTHER_TOMOGRAMS if args.network == "tomograms" else OTHER_MAPS
            save_network(args.out, copy.deepcopy(trained).half(), {TRAINED_ON: data})

        save(train(examples, network, kind, args.minutes, args.seed, args.learning_rate, save))
    except SpisonetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _initial_network(kind: NetworkKind, initial: Path | None, filter_base: int, seed: int) -> UNet:
    if initial is None:
        return new_network(kind, filter_base, seed)
    network, _ = load_network(initial)
    if kind.network is not PriorUNet and isinstance(network, PriorUNet):
        network = start_of_prior(network)
    if not isinstance(network, UNet) or network.n_inputs != kind.network.n_inputs:
        raise SpisonetError(f"{initial} has another number of inputs than this network.")
    start = kind.network(network.filter_base)
    start.load_state_dict(network.state_dict())
    return start


if __name__ == "__main__":
    sys.exit(main())
