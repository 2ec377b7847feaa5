#!/bin/sh
# All measurements on a GPU, in blocks of at most four minutes, each of which writes its results as it ends:
#   sh benchmarks/gpu/run.sh MODELS OUT [BLOCK ...]
# MODELS is a folder of atomic models, OUT a folder for the results; blocks: rates stages recovery tests memory.
# SMALL=1 runs everything at sizes for a CPU, to try the script.
set -u
models=$1 out=$2
shift 2
blocks=${*:-rates stages recovery tests memory}
limit=${BLOCK_SECONDS:-240}
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$out"
if [ -n "${SMALL:-}" ]; then
    model=hemagglutinin_1rvx_trimer.pdb
    rates="--box 32 --cube_size 16 --filter_base 8 --batch_sizes 2 4 --updates 2 --convolution_edge 16"
    stages="--model $model --boxes 32 --extent 150 -- --epochs 2 --n_subvolume 4 --cube_size 16 --filter_base 4"
    recovery="--model $model --box 48 --voxel_size 3.2 --resolution 8 --published_epochs 1 --epochs 1
        --subvolumes 8 --published_base 8 --filter_base 8 --cube_size 16"
    memory="--model $model --boxes 32 --extent 150 -- --epochs 1 --n_subvolume 4 --cube_size 16 --filter_base 4
        --no-report"
else
    rates="--batch_sizes 2 4 8 16 32"
    stages="--boxes 256"
    recovery="--subvolumes 500 --published_epochs 3 --epochs 10"
    memory="--boxes 128 256 384 512 -- --epochs 1 --n_subvolume 20 --no-report"
fi

block() { # NAME COMMAND...
    name=$1
    shift
    case " $blocks " in *" $name "*) ;; *) return ;; esac
    start=$(date +%s)
    timeout "$limit" "$@" >"$out/$name.log" 2>&1
    echo "$name: exit status $?, $(($(date +%s) - start)) s"
}

# Only the files that contain such tests: collecting all takes minutes.
tests=$(grep -rl --include="*.py" "pytest.mark.gpu" "$here/../tests")
# The lists of options and files are meant to be split into words.
# shellcheck disable=SC2086
{
    block rates python "$here/training_speed.py" --json "$out/rates.json" $rates
    block stages python "$here/run_stages.py" --models "$models" --json "$out/stages.json" $stages
    block recovery python "$here/quality/time_to_quality.py" --models "$models" --json "$out/recovery.json" $recovery
    block tests python -m pytest -q -m gpu $tests --junitxml "$out/tests.xml"
    block memory python "$here/run_stages.py" --models "$models" --json "$out/memory.json" $memory
}
