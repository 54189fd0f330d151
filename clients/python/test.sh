#!/usr/bin/env bash
# Generates the client, runs a node with a small space and a member, and runs the tests: test.sh PATH/TO/weightproof
set -euo pipefail
binary=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
data=$here/../../data/breast_cancer.csv
python=$here/.venv/bin/python

# The installed ones are kept while the list stays the same.
if ! cmp -s "$here/requirements.txt" "$here/.venv/requirements.txt"; then
  rm -rf "$here/.venv"
  python3 -m venv "$here/.venv"
  "$python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$here/.venv/requirements.txt"
fi
"$here/generate.sh" "$python"

work=$(mktemp -d)
node=
finish() {
  if [ -n "$node" ]; then kill -TERM "$node" 2>/dev/null || true; wait "$node" || true; fi
  rm -rf "$work"
}
trap finish EXIT

# Nothing of the person who runs this is read or written.
export HOME=$work XDG_CONFIG_HOME=$work/config XDG_CACHE_HOME=$work/cache XDG_DATA_HOME=$work/share
export WEIGHTPROOF_PASSPHRASE=test
cat > "$work/program.toml" <<'TOML'
[model]
layers = [30, 3, 2]
activation = "relu"
loss = "softmax-cross-entropy"
[optimizer]
learning_rate = 0.125
[contribution]
steps = 1
batch = 4
TOML
"$binary" space init "$data" --label diagnosis --name sample --model "$work/program.toml" --out "$work/sample.toml"
echo "spaces = [\"$work/sample.toml\"]" > "$work/node.toml"
"$binary" node --config "$work/node.toml" --data "$work/node" --listen 127.0.0.1:0 --metrics 127.0.0.1:0 \
  > "$work/said" 2> "$work/log" &
node=$!
for _ in $(seq 300); do
  address=$(sed -n 's/^listen *\([^ ]*\).*/\1/p' "$work/said")
  if [ -n "$address" ]; then break; fi
  if ! kill -0 "$node" 2>/dev/null; then break; fi
  sleep 0.1
done
if [ -z "$address" ]; then echo "the node does not listen:"; cat "$work/log"; exit 1; fi
"$binary" init
"$binary" join "$address" --space sample < /dev/null

export WEIGHTPROOF_ADDRESS=$address WEIGHTPROOF_CERTIFICATE=$work/node/tls-cert.pem
export WEIGHTPROOF_CONTRIBUTE="$binary contribute $data --every-round --rounds 1"
# What the library says of refused handshakes is asked for by the tests.
export GRPC_VERBOSITY=NONE
cd "$here"
"$python" -B -m unittest -v test_client
kill -TERM "$node"
wait "$node"
node=
