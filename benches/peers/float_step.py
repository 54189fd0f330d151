"""Seconds of the plain float32 training step: what training costs without a proof.

One step is forward pass, ReLU, softmax cross-entropy, backward pass and SGD update of a fully connected network, as the
bench programs define it. It is timed in NumPy and, where it can be imported, in PyTorch. Before anything is timed, the
NumPy step is checked against finite differences and, where possible, against PyTorch: a fast step that computes
something else would flatter nobody but the reader.

    python float_step.py [--json FILE] [--seconds 2] [--threads N] [NAME…]
"""

import argparse
import ctypes
import json
import os
import pathlib
import statistics
import sys
import time

# NAME: layers, batch, learning rate. a, c and d are the bench programs of the results page; peer is the shape that EZKL
# proves; e is wide enough that the weights, not the batch, are most of the work.
PROGRAMS = {
    "peer": ([30, 16, 2], 8, 0.125),
    "a": ([30, 32, 2], 32, 0.125),
    "c": ([784, 512, 512, 10], 64, 0.25),
    "d": ([3072] + [1024] * 8 + [10], 64, 0.25),
    "e": ([4096, 4096, 4096, 10], 64, 0.25),
}

# So many batches are drawn and taken in turn: a step then reads rows that it has not just read, as in real training.
POOL = 16


def cores():
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROGRAMS)}; all by default")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--seconds", type=float, default=2.0, help="time spent on each program and library")
    parser.add_argument("--threads", type=int, default=cores())
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in PROGRAMS:
            parser.error(f"expected one of {', '.join(PROGRAMS)}, found {name}")
    return arguments


if __name__ == "__main__":
    ARGUMENTS = parse()
    # The matrix libraries read these once, when they are loaded.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[variable] = str(ARGUMENTS.threads)

import numpy as np  # noqa: E402

try:
    import torch
except ImportError:
    torch = None


class Network:
    """A fully connected ReLU network with buffers for one step, so that a step allocates next to nothing."""

    def __init__(self, layers, batch, rate, dtype, seed=1):
        random = np.random.default_rng(seed)
        pairs = list(zip(layers, layers[1:]))
        self.weights = [random.normal(0, (2 / fan_in) ** 0.5, (fan_in, out)).astype(dtype) for fan_in, out in pairs]
        self.biases = [np.zeros(out, dtype) for out in layers[1:]]
        self.activations = [np.empty((batch, width), dtype) for width in layers[1:]]
        self.errors = [np.empty((batch, width), dtype) for width in layers[1:]]
        self.changes = [np.empty_like(weight) for weight in self.weights]
        self.scale = dtype(rate / batch)

    def forward(self, inputs):
        last = len(self.weights) - 1
        for layer, (weight, bias, output) in enumerate(zip(self.weights, self.biases, self.activations)):
            np.matmul(inputs, weight, out=output)
            output += bias
            if layer < last:
                np.maximum(output, 0, out=output)
            inputs = output
        return output

    def loss(self, inputs, labels):
        """Mean softmax cross-entropy; only the gradient check asks for it."""
        logits = self.forward(inputs)
        logits = logits - logits.max(axis=1, keepdims=True)
        return float((np.log(np.exp(logits).sum(axis=1)) - (logits * labels).sum(axis=1)).mean())

    def step(self, inputs, labels):
        """Forward, backward, update."""
        logits = self.forward(inputs)
        error = self.errors[-1]
        np.subtract(logits, logits.max(axis=1, keepdims=True), out=error)
        np.exp(error, out=error)
        error /= error.sum(axis=1, keepdims=True)
        error -= labels
        # Rate and mean go into the small error rather than into every weight's change: everything after is linear.
        error *= self.scale
        for layer in reversed(range(len(self.weights))):
            error = self.errors[layer]
            if layer > 0:
                back = self.errors[layer - 1]
                # Through the weights that made the forward pass, so before they change.
                np.matmul(error, self.weights[layer].T, out=back)
                back *= self.activations[layer - 1] > 0
            left = self.activations[layer - 1] if layer > 0 else inputs
            np.matmul(left.T, error, out=self.changes[layer])
            self.weights[layer] -= self.changes[layer]
            self.biases[layer] -= error.sum(axis=0)


def batches(layers, batch, dtype, count=POOL, spread=0.25, seed=2):
    """Random rows, like the bench programs' (features within ±0.25), and random classes."""
    random = np.random.default_rng(seed)
    classes = np.eye(layers[-1], dtype=dtype)
    return [
        (
            random.uniform(-spread, spread, (batch, layers[0])).astype(dtype),
            classes[random.integers(0, layers[-1], batch)],
        )
        for _ in range(count)
    ]


def check_against_differences():
    """Each parameter's change in a small double precision network must be −rate · ∂loss/∂parameter."""
    layers, batch, rate, nudge = [5, 7, 6, 3], 4, 0.5, 1e-6
    [(inputs, labels)] = batches(layers, batch, np.float64, count=1, spread=2.0)
    worst = 0.0
    network = Network(layers, batch, rate, np.float64)
    moved = Network(layers, batch, rate, np.float64)
    moved.step(inputs, labels)
    for before, after in zip(network.weights + network.biases, moved.weights + moved.biases):
        expected = np.empty_like(before)
        for place in np.ndindex(before.shape):
            kept = before[place]
            before[place] = kept + nudge
            above = network.loss(inputs, labels)
            before[place] = kept - nudge
            below = network.loss(inputs, labels)
            before[place] = kept
            expected[place] = -rate * (above - below) / (2 * nudge)
        worst = max(worst, float(np.abs(after - before - expected).max()))
    if worst > 1e-7:
        sys.exit(f"expected the step to follow the gradient within 1e-7, found a difference of {worst:.1e}")
    return worst


class Torch:
    """The same step in PyTorch: its own layers, loss, backward pass and optimizer."""

    def __init__(self, layers, network, rate):
        modules = []
        for layer, (weight, bias) in enumerate(zip(network.weights, network.biases)):
            linear = torch.nn.Linear(layers[layer], layers[layer + 1])
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.T.copy()))
                linear.bias.copy_(torch.from_numpy(bias.copy()))
            modules += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*modules[:-1])
        # The fused optimizer is the fastest that PyTorch has on a CPU.
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=rate, fused=True)
        self.loss = torch.nn.CrossEntropyLoss()

    def step(self, inputs, classes):
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(self.model(inputs), classes).backward()
        self.optimizer.step()

    @staticmethod
    def batch(inputs, labels):
        return torch.from_numpy(inputs), torch.from_numpy(labels.argmax(axis=1))


def check_against_torch():
    """Some steps in both libraries from the same weights must end at the same weights, but for rounding."""
    layers, batch, rate = PROGRAMS["a"]
    network = Network(layers, batch, rate, np.float32)
    twin = Torch(layers, network, rate)
    for pair in batches(layers, batch, np.float32):
        network.step(*pair)
        twin.step(*Torch.batch(*pair))
    linears = [module for module in twin.model if isinstance(module, torch.nn.Linear)]
    worst = max(
        float(np.abs(weight - linear.weight.detach().numpy().T).max())
        for weight, linear in zip(network.weights, linears)
    )
    if worst > 1e-5:
        sys.exit(f"expected NumPy and PyTorch to agree within 1e-5, found a difference of {worst:.1e}")
    return worst


def clock(step, pool, seconds):
    """Best and median seconds of repeated steps."""
    for pair in pool[:3]:
        step(*pair)
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 20 or (time.perf_counter() < end and len(times) < 100_000):
        pair = pool[len(times) % len(pool)]
        start = time.perf_counter_ns()
        step(*pair)
        times.append(time.perf_counter_ns() - start)
    return {"best": min(times) / 1e9, "median": statistics.median(times) / 1e9, "steps": len(times)}


def blas_kernel():
    """The processor that NumPy's matrix library took this machine for: a wrong guess makes the float step slow, and
    every ratio over it flattering."""
    for path in pathlib.Path(np.__file__).parent.parent.glob("numpy.libs/*openblas*"):
        name = getattr(ctypes.CDLL(str(path)), "scipy_openblas_get_corename64_", None)
        if name is not None:
            name.restype = ctypes.c_char_p
            return name().decode()
    return "unknown"


def main():
    arguments = ARGUMENTS
    figures = {"threads": arguments.threads, "numpy": np.__version__, "blas": blas_kernel(), "torch": None}
    figures["differences"] = check_against_differences()
    print(f"checked   NumPy step against finite differences: {figures['differences']:.1e}", file=sys.stderr)
    if torch is None:
        print("left out  PyTorch, which is not installed", file=sys.stderr)
    else:
        torch.set_num_threads(arguments.threads)
        figures["torch"] = torch.__version__
        worst = check_against_torch()
        print(f"checked   NumPy step against PyTorch's: {worst:.1e}", file=sys.stderr)
    figures["programs"] = {}
    print("| program | NumPy, best | median | PyTorch, best | median |")
    print("|---|---|---|---|---|")
    for name in arguments.names or PROGRAMS:
        layers, batch, rate = PROGRAMS[name]
        network = Network(layers, batch, rate, np.float32)
        pool = batches(layers, batch, np.float32)
        row = {"layers": layers, "batch": batch, "torch": None}
        if torch is not None:
            twin = Torch(layers, network, rate)
            row["torch"] = clock(twin.step, [Torch.batch(*pair) for pair in pool], arguments.seconds)
            del twin
        row["numpy"] = clock(network.step, pool, arguments.seconds)
        # A run into infinities or denormals would time something other than training.
        if not all(np.isfinite(weight).all() for weight in network.weights):
            sys.exit(f"{name}: expected finite weights after the timed steps, found some that are not")
        figures["programs"][name] = row
        cells = [row["numpy"], row["torch"]]
        shown = [f"{1e3 * cell[key]:.4f} ms" if cell else "–" for cell in cells for key in ("best", "median")]
        print(f"| {name}: {'-'.join(map(str, layers))}, B {batch} | {' | '.join(shown)} |", flush=True)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
