#!/usr/bin/env bash
# Mean held-out accuracy of `weightproof train` without options over five seeds, beside its float32 twin, on both data
# sets: everything is trained, proved and verified. Build first: cargo build --release. Needs python3.
#   benches/accuracy.sh [path of the weightproof binary]
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
command=${1:-$here/target/release/weightproof}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

run() { # data label
  for seed in 1 2 3 4 5; do
    "$command" train "$here/data/$1.csv" --label "$2" --seed "$seed" --out "$out/$1-$seed" --json \
      2>"$out/log" >"$out/$1-$seed.json" || { cat "$out/log" >&2; exit 1; }
  done
}
run breast_cancer diagnosis
run digits digit

python3 - "$out" <<'PYTHON'
import json, pathlib, sys

below = False
print("| data | seed | exact | float32 |")
print("|---|---|---|---|")
for data in ("breast_cancer", "digits"):
    runs = [json.loads(pathlib.Path(sys.argv[1], f"{data}-{seed}.json").read_text()) for seed in range(1, 6)]
    pairs = [(run["test_accuracy"], run["float_test_accuracy"]) for run in runs]
    for seed, (exact, twin) in enumerate(pairs, 1):
        print(f"| {data} | {seed} | {exact:.4f} | {twin:.4f} |")
    exact, twin = (sum(column) / len(pairs) for column in zip(*pairs))
    contributions = [one for run in runs for one in run["contributions"]]
    seconds = sum(one["prove_seconds"] for one in contributions) / len(contributions)
    size = max(one["proof_bytes"] for one in contributions) / 1024
    print(f"| **{data}** | **mean** | **{exact:.4f}** | **{twin:.4f}** |")
    print(f"{data}: {len(contributions)} contributions proved in {seconds:.2f} s on average, proofs up to {size:.0f} KiB",
          file=sys.stderr)
    below |= exact < 0.95 or abs(exact - twin) > 0.01
sys.exit("expected 0.95 or more and at most 0.01 from float32, found less" if below else 0)
PYTHON
