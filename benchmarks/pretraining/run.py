"""Train the networks that come with the program, on simulated half maps of known structures.

    python -m benchmarks.pretraining.run --models MODELS --cases CASES --out pretrained.safetensors

The folder of models contains coordinate files (``.cif.gz``, ``.cif``, ``.pdb``). For every file and repeat, a
random part of the structure in a random orientation is simulated and reconstructed, with random views, noise
and errors of the poses, and kept in the folder of cases; those that exist are kept. The network is then
trained for some minutes, and written every 50 updates. Needs gemmi.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))  # the checkout
from benchmarks.pretraining.cases import PRIOR_EXAMPLE, START_EXAMPLE, make_cases
from benchmarks.pretraining.train import (
    EDGE,
    FILTER_BASE,
    LEARNING_RATE,
    Example,
    new_network,
    start_of_prior,
    train,
)
from spisonet.errors import SpisonetError
from spisonet.learning.checkpoint import load_network, save_network
from spisonet.learning.pretrained import OTHER_STRUCTURES, TRAINED_ON
from spisonet.learning.unet import PriorUNet, UNet, WhitenedUNet


def main(arguments: list[str] | None = None) -> int:
    """Make the cases, train and write the network; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=Path, required=True, help="folder of coordinate files")
    parser.add_argument("--cases", type=Path, required=True, help="folder of the simulated cases")
    parser.add_argument("--out", type=Path, required=True, help="file of the network")
    parser.add_argument(
        "--network", choices=("start", "prior"), default="start", help="see --pretrained, --prior"
    )
    parser.add_argument("--initial", type=Path, help="network with the initial weights, of either kind")
    parser.add_argument("--repeats", type=int, default=4, help="cases of each structure")
    parser.add_argument("--minutes", type=float, default=45, help="duration of the training")
    parser.add_argument("--filter_base", type=int, default=FILTER_BASE, help="base width of the network")
    parser.add_argument("--learning_rate", type=float, default=LEARNING_RATE, help="maximum of the schedule")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the training")
    args = parser.parse_args(arguments)
    try:
        make_cases(args.models, args.cases, args.repeats)
        name = START_EXAMPLE if args.network == "start" else PRIOR_EXAMPLE
        examples = [Example.read(path) for path in sorted(args.cases.glob(f"*/{name}"))]
        examples = [example for example in examples if len(example.target) >= EDGE]
        if not examples:
            raise SpisonetError(f"{args.cases} contains no case of at least {EDGE} voxels.")
        print(f"{len(examples)} cases", flush=True)
        network = _initial_network(args.network, args.initial, args.filter_base, args.seed)

        def save(trained: UNet) -> None:
            save_network(args.out, trained, {TRAINED_ON: OTHER_STRUCTURES})

        save(train(examples, network, args.minutes, args.seed, args.learning_rate, save))
    except SpisonetError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _initial_network(kind: str, initial: Path | None, filter_base: int, seed: int) -> UNet:
    if initial is None:
        return new_network(kind, filter_base, seed)
    network, _ = load_network(initial)
    if kind == "start" and isinstance(network, PriorUNet):
        return start_of_prior(network)
    if not isinstance(network, WhitenedUNet if kind == "start" else PriorUNet):
        raise SpisonetError(f"{initial} contains a network of another kind than --network {kind}.")
    return network.float().train()


if __name__ == "__main__":
    sys.exit(main())
