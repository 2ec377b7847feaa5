#!/bin/bash
#BSUB -J XXXnameXXX
#BSUB -q XXXqueueXXX
#BSUB -n XXXthreadsXXX
#BSUB -R "span[hosts=1]"
#BSUB -gpu "num=XXXgpusXXX"
#BSUB -M XXXmemoryXXX
#BSUB -W XXXtimeXXX
#BSUB -o XXXoutfileXXX
#BSUB -r

XXXcommandXXX
