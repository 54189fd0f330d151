"""EZKL's proof of one training step of the network 30-16-2 on a batch of 8, phase by phase.

The step is written as an ONNX graph: forward pass with ReLU, softmax, its cross-entropy gradient, backward pass, and the
new weights W − ηG as outputs. EZKL turns the graph into a halo2 circuit over BN254 with KZG commitments.

What the proof says: there are inputs (rows x, labels y, old weights W, biases b) for which the graph, in EZKL's fixed-point
arithmetic at the given scale, yields these public new weights and biases.

What it does not say:

* which rows. They are private and bound to nothing; any rows that give the outputs will do. With `--inputs hashed` the
  Poseidon hash of each input is public, which binds rows and weights but without salt, so guessed rows can be tested
  against it; nor does it show that rows belong to a larger dataset, or that somebody else chose them.
* from which model. The old weights are inputs like the rows, since EZKL's visibility is one for all inputs.
* that y is one-hot, or that the step follows another one. Nothing chains two proofs, unless hashes are compared.
* float32 arithmetic. Values are rounded to the scale, with the error against double precision printed beside the figures.

The structured reference string is made here (`gen_srs`), because a ceremony's file would have to be downloaded. Time and
sizes are the same, but whoever made the string could forge proofs: measure with it, never rely on it.

    python ezkl_step.py [--json FILE] [--inputs private|hashed] [--scale 12] [--work DIR] [--limit 900]

Every phase runs in a process of its own, so that its peak memory is its own. Needs about 3 GB of memory (4 GB hashed)
and 1.5 GB of disk in the working folder.
"""

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

LAYERS, BATCH, RATE = [30, 16, 2], 8, 0.125
PARAMETERS = ["w1", "b1", "w2", "b2"]

# What EZKL is allowed to grow to while it calibrates; this step needs 2^16 rows.
MAX_LOGROWS = 20


def graph():
    """The training step as an ONNX model, of operators that EZKL takes."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    features, hidden, classes = LAYERS
    shapes = {"w1": [features, hidden], "b1": [1, hidden], "w2": [hidden, classes], "b2": [1, classes]}

    def value(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [value("x", [BATCH, features]), value("y", [BATCH, classes])]
    inputs += [value(name, shapes[name]) for name in PARAMETERS]
    outputs = [value(f"new_{name}", shapes[name]) for name in PARAMETERS]
    constants = [
        numpy_helper.from_array(np.array([RATE / BATCH], np.float32), "rate"),
        numpy_helper.from_array(np.array([0], np.float32), "zero"),
        numpy_helper.from_array(np.array([0], np.int64), "rows"),
    ]
    node = helper.make_node
    nodes = [
        # Forward.
        node("MatMul", ["x", "w1"], ["xw1"]),
        node("Add", ["xw1", "b1"], ["z1"]),
        node("Relu", ["z1"], ["a1"]),
        node("MatMul", ["a1", "w2"], ["aw2"]),
        node("Add", ["aw2", "b2"], ["z2"]),
        node("Softmax", ["z2"], ["p"], axis=1),
        # Backward: the gradient of softmax cross-entropy is p − y.
        node("Sub", ["p", "y"], ["e2"]),
        node("Transpose", ["a1"], ["a1t"], perm=[1, 0]),
        node("MatMul", ["a1t", "e2"], ["g_w2"]),
        node("ReduceSum", ["e2", "rows"], ["g_b2"], keepdims=1),
        node("Transpose", ["w2"], ["w2t"], perm=[1, 0]),
        node("MatMul", ["e2", "w2t"], ["back"]),
        node("Greater", ["z1", "zero"], ["active"]),
        node("Cast", ["active"], ["mask"], to=TensorProto.FLOAT),
        node("Mul", ["back", "mask"], ["e1"]),
        node("Transpose", ["x"], ["xt"], perm=[1, 0]),
        node("MatMul", ["xt", "e1"], ["g_w1"]),
        node("ReduceSum", ["e1", "rows"], ["g_b1"], keepdims=1),
    ]
    for name in PARAMETERS:
        nodes.append(node("Mul", [f"g_{name}", "rate"], [f"change_{name}"]))
        nodes.append(node("Sub", [name, f"change_{name}"], [f"new_{name}"]))
    model = helper.make_model(
        helper.make_graph(nodes, "training-step", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def example():
    """Inputs of the step in the graph's order, and the new parameters that double precision gives."""
    import numpy as np
    from float_step import Network

    random = np.random.default_rng(1)
    # Columns as standardisation leaves them.
    x = random.normal(0, 1, (BATCH, LAYERS[0]))
    y = np.eye(LAYERS[-1])[random.integers(0, LAYERS[-1], BATCH)]
    network = Network(LAYERS, BATCH, RATE, np.float64)
    old = [each.copy() for pair in zip(network.weights, network.biases) for each in pair]
    network.step(x, y)
    new = [each for pair in zip(network.weights, network.biases) for each in pair]
    return [x, y, *old], old, new


def prepare(work):
    """Writes graph and inputs."""
    import onnx

    onnx.save(graph(), str(work / "step.onnx"))
    inputs, _, _ = example()
    (work / "input.json").write_text(json.dumps({"input_data": [each.ravel().tolist() for each in inputs]}))


def run_phase(name, work, inputs, scale):
    """One phase by itself. What it takes is written to took-NAME.json; EZKL prints to standard output what it likes."""
    import ezkl

    os.chdir(work)
    run = ezkl.PyRunArgs()
    run.input_visibility, run.output_visibility, run.param_visibility = inputs, "public", "fixed"
    run.input_scale = run.param_scale = scale
    settings = json.loads(pathlib.Path("settings.json").read_text()) if name != "settings" else None

    def tampered():
        """Verifies the honest proof for other new weights than it was made for."""
        proof = json.loads(pathlib.Path("proof.json").read_text())
        first = proof["instances"][0]
        first[-1] = next(felt for felt in first if felt != first[-1])
        pathlib.Path("tampered.json").write_text(json.dumps(proof))
        try:
            return not ezkl.verify("tampered.json", "settings.json", "verifying.key", "srs")
        except RuntimeError:
            return True

    phases = {
        "settings": lambda: ezkl.gen_settings("step.onnx", "settings.json", py_run_args=run),
        "calibrate": lambda: ezkl.calibrate_settings(
            "input.json", "step.onnx", "settings.json", "resources", scales=[scale], max_logrows=MAX_LOGROWS
        ),
        "compile": lambda: ezkl.compile_circuit("step.onnx", "circuit", "settings.json"),
        "witness": lambda: ezkl.gen_witness("input.json", "circuit", "witness.json"),
        "srs": lambda: ezkl.gen_srs("srs", settings["run_args"]["logrows"]),
        "setup": lambda: ezkl.setup("circuit", "verifying.key", "proving.key", "srs"),
        "prove": lambda: ezkl.prove("witness.json", "circuit", "proving.key", "proof.json", "srs"),
        "verify": lambda: ezkl.verify("proof.json", "settings.json", "verifying.key", "srs"),
        "tampered": tampered,
    }
    before, clock = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    done = phases[name]()
    wall, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_SELF)
    if done is False:
        sys.exit(f"{name}: EZKL said no")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pathlib.Path(f"took-{name}.json").write_text(json.dumps({"wall": wall, "cpu": cpu, "peak": peak_memory(after)}))


def peak_memory(usage):
    """Bytes of peak resident memory. Linux carries ru_maxrss over from the parent through exec, so the process's own mark
    is read where there is one."""
    try:
        status = pathlib.Path("/proc/self/status").read_text()
        return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1])
    except (OSError, StopIteration):
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


PHASES = ["settings", "calibrate", "compile", "witness", "srs", "setup", "prove", "verify", "tampered"]


def update_error(work):
    """How far EZKL's update is from double precision's, relative to the update: fixed-point rounding, or a wrong graph."""
    import ezkl
    import numpy as np

    _, old, new = example()
    scales = json.loads((work / "settings.json").read_text())["model_output_scales"]
    outputs = json.loads((work / "witness.json").read_text())["outputs"]
    off = total = 0.0
    for felts, scale, before, after in zip(outputs, scales, old, new):
        found = np.array([ezkl.felt_to_float(felt, scale) for felt in felts])
        off += float(((found - after.ravel()) ** 2).sum())
        total += float(((after - before) ** 2).sum())
    return (off / total) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--inputs", choices=["private", "hashed"], default="private")
    parser.add_argument("--scale", type=int, default=12, help="bits of fraction of every value")
    parser.add_argument("--work", type=pathlib.Path, metavar="DIR", help="keep the files there")
    parser.add_argument("--limit", type=float, default=900, help="seconds that one phase may take")
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phase:
        run_phase(arguments.phase, arguments.work, arguments.inputs, arguments.scale)
        return
    if arguments.work is None:
        with tempfile.TemporaryDirectory() as folder:
            measure(arguments, pathlib.Path(folder))
    else:
        arguments.work.mkdir(parents=True, exist_ok=True)
        measure(arguments, arguments.work.resolve())


def measure(arguments, work):
    import ezkl

    prepare(work)
    figures = {"ezkl": ezkl.__version__, "inputs": arguments.inputs, "scale": arguments.scale, "phases": {}}
    command = [sys.executable, __file__, "--work", str(work)]
    command += ["--inputs", arguments.inputs, "--scale", str(arguments.scale)]
    print("| phase | wall | CPU | peak memory |\n|---|---|---|---|")
    for phase in PHASES:
        with open(work / f"{phase}.log", "w", encoding="utf-8") as log:
            try:
                done = subprocess.run(
                    [*command, "--phase", phase], stdout=log, stderr=subprocess.STDOUT, timeout=arguments.limit
                )
            except subprocess.TimeoutExpired:
                sys.exit(f"{phase}: expected an end within {arguments.limit:.0f} s, found none")
        if done.returncode != 0:
            sys.exit(f"{phase}: failed\n" + "\n".join((work / f"{phase}.log").read_text().splitlines()[-10:]))
        taken = json.loads((work / f"took-{phase}.json").read_text())
        figures["phases"][phase] = taken
        print(f"| {phase} | {taken['wall']:.2f} s | {taken['cpu']:.2f} s | {taken['peak'] / 2**30:.2f} GiB |", flush=True)
        if phase == "witness":
            figures["update_error"] = update_error(work)
            if figures["update_error"] > 0.1:
                sys.exit(f"expected the update within 10 % of double precision's, found {figures['update_error']:.1%}")
    settings = json.loads((work / "settings.json").read_text())
    proof = json.loads((work / "proof.json").read_text())
    figures["logrows"] = settings["run_args"]["logrows"]
    figures["rows"] = settings["num_rows"]
    figures["proof_bytes"] = len(bytes.fromhex(proof["hex_proof"].removeprefix("0x")))
    figures["public_values"] = sum(len(each) for each in proof["instances"])
    for file, name in (("proving.key", "proving_key"), ("verifying.key", "verifying_key"), ("srs", "srs")):
        figures[f"{name}_bytes"] = (work / file).stat().st_size
    print(
        f"\nproof {figures['proof_bytes']:,} bytes for {figures['public_values']:,} public values, "
        f"proving key {figures['proving_key_bytes'] / 1e6:,.0f} MB, "
        f"verifying key {figures['verifying_key_bytes'] / 1e3:,.0f} kB, SRS {figures['srs_bytes'] / 1e6:.1f} MB, "
        f"2^{figures['logrows']} rows; update off by {figures['update_error']:.1%}; other outputs were refused"
    )
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
