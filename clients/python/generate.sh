#!/usr/bin/env bash
# Generates build/weightproof/v1/*_pb2.py from the protos: generate.sh [PYTHON]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
protos=$here/../../specs/proto
rm -rf "$here/build"
mkdir -p "$here/build"
"${1:-python3}" -m grpc_tools.protoc -I "$protos" --python_out="$here/build" --grpc_python_out="$here/build" \
  "$protos"/weightproof/v1/*.proto
