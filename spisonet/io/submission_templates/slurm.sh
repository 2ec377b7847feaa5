#!/bin/bash
#SBATCH --job-name=XXXnameXXX
#SBATCH --partition=XXXqueueXXX
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --gres=gpu:XXXgpusXXX
#SBATCH --mem=XXXmemoryXXX
#SBATCH --time=XXXtimeXXX
#SBATCH --output=XXXoutfileXXX
#SBATCH --error=XXXerrfileXXX
#SBATCH --open-mode=append
#SBATCH --requeue

XXXcommandXXX
