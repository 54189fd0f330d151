#!/usr/bin/env bash
# Plain float32 training, EZKL and Weightproof side by side: everything is measured one after another in this one run, and
# a Markdown page with ratios, machine and commit goes to standard output. Needs python3 (3.11 or later) with venv, cargo,
# and the package index for whatever is not installed yet; what cannot be had is left out, with a line that says so.
#
#   benches/peers/run.sh [--torch] [--ezkl] [--cases "peer1 peer16 a c d"] [--results BINARY] [--out DIR]
#
#   --torch      installs PyTorch too (from PyPI some 5 GB with its GPU libraries, of which only the CPU part is used)
#   --ezkl       installs EZKL and ONNX too and proves with them (3 GB of memory, 1.5 GB of disk, some three minutes)
#   --cases      bench programs to prove; d wants 3 GiB of memory
#   --results    an example `results` that is built already, instead of building it
#   --out        keeps the figures there as they were measured
#
# PEERS_VENV names a Python environment to reuse, or to make and keep; without it one is made and thrown away.
# PEERS_THREADS sets the threads of all contestants; all cores by default.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
shown=benches/peers/run.sh
[ $# -eq 0 ] || shown+=$(printf ' %q' "$@")

usage() {
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "$0"
}
torch= ezkl= cases="peer1 peer16 a c d" results= out=
while [ $# -gt 0 ]; do
  case $1 in
    --torch) torch=yes ;;
    --ezkl) ezkl=yes ;;
    --cases | --results | --out)
      [ $# -ge 2 ] || { echo "expected a value after $1, found none" >&2; exit 2; }
      case $1 in
        --cases) cases=$2 ;;
        --results) results=$(realpath "$2") ;;
        --out) mkdir -p "$2" && out=$(realpath "$2") ;;
      esac
      shift
      ;;
    -h | --help) usage; exit 0 ;;
    *) echo "expected --torch, --ezkl, --cases, --results or --out, found $1" >&2; exit 2 ;;
  esac
  shift
done

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
out=${out:-$scratch/out}
mkdir -p "$out"
# A folder that is kept may hold an earlier run's figures, which are not to be mixed into this one.
rm -f "$out"/float.json "$out"/ezkl-*.json "$out"/ours-*.txt "$out"/left-out.txt
touch "$out/left-out.txt"
say() { printf '%s\n' "$*" >&2; }
leave_out() { say "left out  $*"; printf '%s\n' "$*" >>"$out/left-out.txt"; }
# The 1-, 5- and 15-minute load: how much else the machine did.
load() { uptime | sed 's/.*load average[s]*: *//'; }

# Running this leaves nothing in the repository.
export PYTHONDONTWRITEBYTECODE=1

say "python    an environment, and what it lacks"
environment=${PEERS_VENV:-$scratch/venv}
[ -x "$environment/bin/python" ] || python3 -m venv "$environment"
python=$environment/bin/python
install() { "$python" -m pip install --quiet --disable-pip-version-check -r "$here/$1" >&2; }
install requirements.txt
if [ -n "$torch" ] && ! install requirements-torch.txt; then
  leave_out "PyTorch: it could not be installed"
elif [ -z "$torch" ] && ! "$python" -c 'import torch' 2>/dev/null; then
  leave_out "PyTorch: not installed and not asked for (--torch)"
fi
if [ -n "$ezkl" ] && ! install requirements-ezkl.txt; then
  ezkl=
  leave_out "EZKL: it could not be installed"
elif [ -z "$ezkl" ]; then
  leave_out "EZKL: not asked for (--ezkl)"
fi

# Before anything is built: what somebody commits meanwhile is not what is measured.
commit=$(git -C "$repository" rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git -C "$repository" status --porcelain 2>/dev/null)" ] || commit="$commit with uncommitted changes"

if [ -z "$results" ]; then
  say "cargo     the example results"
  if (cd "$repository" && cargo build --quiet --release -p weightproof-benches --example results) >&2; then
    results=${CARGO_TARGET_DIR:-$repository/target}/release/examples/results
  else
    leave_out "Weightproof: it could not be built"
  fi
fi

threads=${PEERS_THREADS:-$("$python" -c 'import os; print(os.cpu_count())')}
export RAYON_NUM_THREADS=$threads
load_before=$(load)
started=$(date -u '+%Y-%m-%d %H:%M')

say "measure   float32 steps on $threads threads, load $load_before"
# A core type that somebody set for older builds of OpenBLAS makes a current one slow, and our ratio too good.
env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE \
  "$python" "$here/float_step.py" --threads "$threads" --json "$out/float.json" >&2

# Prints one program's figures and keeps them in $1: measure_ours FILE NAME [--halo2]
measure_ours() {
  local file=$1 name=$2
  shift 2
  say "measure   Weightproof, program $name${*:+ $*}, load $(load)"
  if "$results" "$@" "$name" >"$scratch/one.txt"; then
    tee -a "$out/$file" <"$scratch/one.txt" >&2
  else
    leave_out "Weightproof, program $name${*:+ $*}: it could not be measured"
  fi
}
for name in ${results:+$cases}; do
  measure_ours ours-sigma.txt "$name"
  case $name in peer*) measure_ours ours-halo2.txt "$name" --halo2 ;; esac
done

if [ -n "$ezkl" ]; then
  for inputs in private hashed; do
    say "measure   EZKL, inputs $inputs, load $(load)"
    "$python" "$here/ezkl_step.py" --inputs "$inputs" --work "$scratch/ezkl" --json "$out/ezkl-$inputs.json" >&2 ||
      leave_out "EZKL with $inputs inputs: it could not be measured"
    rm -rf "$scratch/ezkl"
  done
fi

"$python" "$here/page.py" "$out" --commit "$commit" --date "$started" --command "$shown" \
  --threads "$threads" --load "$load_before at the start, $(load) at the end"
