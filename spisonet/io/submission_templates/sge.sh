#!/bin/bash
# The parallel environment (smp) and the name of the GPU resource (gpu) differ between sites: qconf -spl, qconf -sc.
#$ -N XXXnameXXX
#$ -S /bin/bash
#$ -q XXXqueueXXX
#$ -pe smp XXXthreadsXXX
#$ -l gpu=XXXgpusXXX
#$ -l mem_free=XXXmemoryXXX
#$ -l h_rt=XXXtimeXXX
#$ -o XXXoutfileXXX
#$ -j y
#$ -r y

XXXcommandXXX
