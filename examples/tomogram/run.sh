#!/bin/sh
# Fill the missing wedge of a small tomogram. One to two minutes on two CPU cores.
set -eu
data=$(dirname "$0")
out=${1:-tomogram_output}
mkdir -p "$out"
isonet.py prepare_star --even "$data/even" --odd "$data/odd" --tilt_folder "$data" --output_star "$out/tomograms.star"
isonet.py refine "$out/tomograms.star" --epochs 10 --n_subvolume 100 --cube_size 32 --filter_base 16 \
    --output_dir "$out/corrected"
echo
echo "Corrected tomogram:  $out/corrected/corrected/corrected_vesicles.mrc"
echo "Summary:             $out/corrected/corrected/summary.html"
