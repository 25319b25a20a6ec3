#!/usr/bin/env bash
# A run on a SLURM cluster:  bash submit.sh DIR CONFIG K [options of sbatch]
# K processes share the rollouts, then the gradients, each on a GPU of its own; DIR is on a file system that all machines share.
# Submitted again after a failure, it goes on: what is finished stays. `learnalign status DIR` tells how far it is.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: bash $0 DIR CONFIG K [options of sbatch, e.g. --partition=gpu --time=12:00:00]" >&2; exit 2; }
directory=$(printf %q "$1") config=$(printf %q "$2") k=$3
shift 3
last=""

submit() { # NAME COMMAND [OPTION...]: a job that begins when the one before has ended well
  local name=$1 command=$2
  shift 2
  last=$(sbatch --parsable --job-name="learnalign-$name" --gres=gpu:1 --kill-on-invalid-dep=yes ${last:+--dependency=afterok:$last} "$@" --wrap "$command")
  echo "$name: job $last"
}

submit warmup "learnalign warmup $directory --config $config" "$@"
submit rollout "learnalign rollout $directory --slice \$SLURM_ARRAY_TASK_ID/$k" "$@" --array="1-$k"
# With grad.projection: exact, have this line twice: its second pass needs the first one of all slices.
submit grad "learnalign grad $directory --slice \$SLURM_ARRAY_TASK_ID/$k" "$@" --array="1-$k"
submit select "learnalign select $directory" "$@"
