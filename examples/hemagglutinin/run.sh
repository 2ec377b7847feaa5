#!/bin/sh
# Correct the hemagglutinin trimer seen from the top only. About two minutes on two CPU cores.
set -eu
data=$(dirname "$0")
out=${1:-demo_output}
mkdir -p "$out"
spisonet.py fsc3d "$data/half1.mrc" "$data/half2.mrc" "$data/mask.mrc" --limit_res 6.5 -o "$out/FSC3D.mrc"
spisonet.py reconstruct "$data/half1.mrc" "$data/half2.mrc" --aniso_file "$out/FSC3D.mrc" \
    --mask "$data/mask.mrc" --limit_res 6.5 --filter_base 16 --cube_size 32 --epochs 4 --n_subvolume 400 \
    --output_dir "$out/corrected"
echo
echo "3D FSC:         $out/FSC3D.mrc, $out/FSC3D.png, $out/FSC3D.json"
echo "Corrected map:  $out/corrected/corrected_full.mrc (half maps: corrected_half1.mrc, corrected_half2.mrc)"
echo "Figures:        $out/corrected/slices.png, fourier.png, fsc.png, loss.png"
echo "Report:         $out/corrected/report.html"
