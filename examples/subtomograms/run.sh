#!/bin/sh
# Correct a subtomogram average with one missing cone. Two to three minutes on two CPU cores.
set -eu
data=$(dirname "$0")
out=${1:-subtomogram_output}
mkdir -p "$out"
spisonet.py fsd3d "$data/particles.star" --tilt_min -60 --tilt_max 60 --sym c3 --map_dim 48 --low_res 50 \
    --high_res 8 -o "$out/FSD3D.mrc"
spisonet.py diagnose "$data/half1.mrc" "$data/half2.mrc" --mask "$data/mask.mrc" --star "$data/particles.star" \
    --tilt_min -60 --tilt_max 60 --sym c3 --output_dir "$out/diagnosis"
spisonet.py reconstruct "$data/half1.mrc" "$data/half2.mrc" --aniso_file "$out/FSD3D.mrc" \
    --mask "$data/mask.mrc" --filter_base 16 --cube_size 32 --epochs 4 --n_subvolume 300 \
    --output_dir "$out/corrected"
echo
echo "Sampling by the tilts:   $out/FSD3D.mrc"
echo "Diagnosis:               $out/diagnosis"
echo "Corrected averages:      $out/corrected/corrected_half1.mrc, $out/corrected/corrected_half2.mrc"
echo "Report:                  $out/corrected/report.html"
