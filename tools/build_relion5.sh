#!/bin/sh
# Build the programs of RELION 5 that the tests use: on the CPU, in single precision, without the GUI.
#
#     tools/build_relion5.sh SOURCE [FOLDER [TARGET ...]]
#
# SOURCE is a checkout of RELION: git clone -b 5.0.1 --depth 1 https://github.com/3dem/relion
# The programs are written to FOLDER/<commit>/bin (default FOLDER: ~/.cache/spisonet/relion5; the version is used where
# SOURCE is no git repository). That path is the only line on standard output. Programs that are already there are not
# built again. Two cores take about 15 minutes; CMAKE_BUILD_PARALLEL_LEVEL limits the processes (1 GB of memory each).
set -eu

targets="refine refine_mpi external_reconstruct reconstruct project image_handler pipeliner schemer postprocess
    mask_create star_handler subtomo reconstruct_particle reconstruct_tomogram make_optimisation_set
    convert_projections bin_stack"

fail() {
    echo "build_relion5.sh: $*" >&2
    exit 1
}

# Whether the compiler finds a header.
has_header() {
    echo "#include <$1>" | "$compiler" -E -x c++ - >/dev/null 2>&1
}

# The path of the program that a target makes.
program() {
    if [ -f "$source/src/jaz/tomography/apps/$1.cpp" ]; then
        echo "$build/bin/relion_tomo_$1"
    else
        echo "$build/bin/relion_$1"
    fi
}

[ $# -ge 1 ] || fail "give the folder of RELION's source, for example: tools/build_relion5.sh ~/relion"
source=$1
folder=${2:-$HOME/.cache/spisonet/relion5}
if [ $# -gt 2 ]; then
    shift 2
    targets=$*
fi

[ -f "$source/src/macros.h" ] || fail "$source is not a checkout of RELION (it has no src/macros.h)"
version=$(sed -n 's/^#define RELION_SHORT_VERSION "\(.*\)"/\1/p' "$source/src/macros.h")
case $version in
    5.*) ;;
    *) fail "$source is version ${version:-unknown} of RELION; check out the tag 5.0.1" ;;
esac
commit=$version
if [ -e "$source/.git" ]; then
    commit=$(git -C "$source" rev-parse --short HEAD)
fi
build=$folder/$commit

missing=
for target in $targets; do
    [ -x "$(program "$target")" ] || missing="$missing $target"
done
if [ -n "$missing" ]; then
    compiler=${CXX:-c++}
    for needed in cmake make mpicxx "$compiler"; do
        command -v "$needed" >/dev/null ||
            fail "$needed is not installed (Debian: apt install cmake make g++ libopenmpi-dev)"
    done
    for header in fftw3.h tiffio.h png.h jpeglib.h; do
        has_header "$header" || fail "the header $header is not installed" \
            "(Debian: apt install libfftw3-dev libtiff-dev libpng-dev libjpeg-dev)"
    done
    mkdir -p "$build"
    cmake -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_POLICY_VERSION_MINIMUM=3.5 -DGUI=OFF \
        -DCUDA=OFF -DDoublePrec_CPU=OFF -DFETCH_WEIGHTS=OFF -DPYTHON_EXE_PATH="$(command -v python3)" \
        -DTORCH_HOME_PATH="$build" >&2
    # shellcheck disable=SC2086
    cmake --build "$build" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" --target $missing >&2
    for target in $missing; do
        [ -x "$(program "$target")" ] || fail "the target $target was built, but $(program "$target") is missing"
    done
fi
echo "$build/bin"
