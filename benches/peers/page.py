"""Turns one run's figures into the Markdown page that run.sh prints; reads float.json, ezkl-*.json, ours-*.txt and
left-out.txt from a folder. It only divides, and measures nothing."""

import argparse
import json
import os
import pathlib
import platform
import re

PRIVATE, HASHED = "data and old weights private and bound to nothing", "the same, their Poseidon hashes public, unsalted"
OURS = re.compile(
    r"^(?P<name>\S+) \| (?P<description>.*?) \| train (?P<train>[\d.]+) s \| float32 (?P<float>[\d.]+) s \| prove (?P<prove>[\d.]+) s "
    r"\((?P<step>[\d.]+) s a step\) \| overhead (?P<overhead>\d+) \| verify (?P<verify>[\d.]+) s \([^)]*\) \| "
    r"proof (?P<proof>[\d.]+) KiB \| peak (?P<peak>[\d.]+) GiB \| generators (?P<generators>[\d.]+) s \| "
    r"commit data (?P<commit>[\d.]+) s"
)
KEYS = re.compile(r"^ +halo2: keys (?P<keys>[\d.]+) s")


def machine():
    """Processor, cores and memory, as far as the system tells."""
    processor = platform.processor() or platform.machine()
    try:
        processor = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M).group(1)
    except (OSError, AttributeError):
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB"


def read_ours(text):
    """What the example `results` printed, by program."""
    found = {}
    for line in text.splitlines():
        if match := OURS.match(line):
            row = match.groupdict()
            one = {key: row[key] if key in ("name", "description") else float(row[key]) for key in row}
            steps = re.search(r"\bK (\d+)", one["description"])
            if steps is None:
                raise SystemExit(f"expected the steps (K …) in the description of {one['name']}, found none")
            one["steps"] = int(steps.group(1))
            one["step"] = one["prove"] / one["steps"]
            # Printed to the microsecond, which is coarse for the shortest runs; the overhead has more digits there.
            short = one["float"] < 1e-3 and one["overhead"] > 0
            one["float"] = (one["prove"] / one["overhead"] if short else one["float"]) / one["steps"]
            found[one["name"]] = one
        elif match := KEYS.match(line):
            one["keys"] = float(match["keys"])
    return found


def seconds(value):
    """A time in the unit that shows three digits."""
    if value is None:
        return "–"
    if value == 0:
        return "0 s"
    for unit, scale in (("s", 1), ("ms", 1e3)):
        if value * scale >= 1:
            return f"{value * scale:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def times(value, of):
    """A ratio to three digits, never in exponents."""
    if not value or not of:
        return "–"
    ratio = value / of
    return f"{float(f'{ratio:.3g}'):,.{max(0, 2 if ratio < 10 else 1 if ratio < 100 else 0)}f}"


def size(count):
    """Bytes, in decimal units."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.2f} {unit}"
    return f"{count / 1e3:.1f} kB"


def row(*cells):
    print("| " + " | ".join(cells) + " |")


def header(*cells):
    row(*cells)
    print("|" + "---|" * len(cells))


def step_table(float32, ezkl, ours, sealed, threads):
    """The shape that all can prove. Ratios are over the fastest plain float32 step of this run."""
    peer = float32["programs"]["peer"]
    plain = {"NumPy": peer["numpy"], "PyTorch": peer["torch"]}
    mine = [ours[name] for name in ("peer1", "peer16") if name in ours]
    trained = mine[-1]["float"] if mine else None
    fastest = min([one["best"] for one in plain.values() if one] + [trained or float("inf")])
    reference = ours.get("peer1", {}).get("step")
    print("## One training step of 30-16-2, batch 8\n")
    header("", "says", "a step", "÷ float32", "÷ ours, 1 step", "verify", "proof", "once before", "keys", "peak memory")
    for name, one in plain.items():
        if one:
            row(f"float32, {name}", "nothing", seconds(one["best"]), times(one["best"], fastest), *["–"] * 6)
    if trained:
        row("float32, our trainer", "nothing", seconds(trained), times(trained, fastest), *["–"] * 6)
    for one in [*mine, *sealed.values()]:
        seal = "halo2" if "keys" in one else "sigma"
        row(
            f"Weightproof, {seal} seal, {one['steps']} step{'s' if one['steps'] > 1 else ''}",
            "data committed beforehand, batches drawn, old and new weights public",
            seconds(one["step"]),
            times(one["step"], fastest),
            times(one["step"], reference),
            seconds(one["verify"]),
            size(1024 * one["proof"]),
            f"{seconds(one['generators'])} generators, {seconds(one['commit'])} data"
            + (f", {seconds(one['keys'])} keys" if "keys" in one else ""),
            "rebuilt from the program" if "keys" in one else "none",
            f"{one['peak']:.2f} GiB",
        )
    for kind, says in (("private", PRIVATE), ("hashed", HASHED)):
        if one := ezkl.get(kind):
            phases = one["phases"]
            prove, setup, srs = phases["prove"], phases["setup"], phases["srs"]
            row(
                f"EZKL {one['ezkl']}, {kind} inputs",
                says,
                seconds(prove["wall"]),
                times(prove["wall"], fastest),
                times(prove["wall"], reference),
                seconds(phases["verify"]["wall"]),
                size(one["proof_bytes"]),
                f"{seconds(setup['wall'])} keys, {seconds(srs['wall'])} SRS, trusted",
                f"{size(one['proving_key_bytes'])}, {size(one['verifying_key_bytes'])}",
                f"{prove['peak'] / 2**30:.2f} GiB",
            )
    print()
    for kind in ("private", "hashed"):
        if one := ezkl.get(kind):
            phases = one["phases"]
            # On a busy machine the wall time of a minute suffers more than that of a quarter of a second; the CPU time hardly.
            least = phases["prove"]["cpu"] / threads
            print(
                f"EZKL, {kind} inputs: {phases['prove']['cpu']:.0f} CPU s to prove, so at least {seconds(least)} on {threads} idle "
                f"cores, {times(least, reference)} times ours; {phases['setup']['cpu']:.0f} CPU s for the keys; scale "
                f"2^{one['scale']}, 2^{one['logrows']} rows, {one['public_values']} public values; its update is "
                f"{100 * one['update_error']:.1f} % from double precision's (relative L2 norm); a proof with other outputs was "
                f"refused.\n"
            )


def program_table(float32, ours):
    """The bench programs, which only we prove here."""
    print("## Proving over plain training, a step\n")
    ratios = ["÷ NumPy", "÷ PyTorch", "÷ our float32"]
    header("program", "NumPy", "PyTorch", "our float32", "prove, a step", *ratios, "verify", "proof")
    for name, one in float32["programs"].items():
        if name == "peer":
            continue
        proved = ours.get(name)
        plain, torch = one["numpy"]["best"], (one["torch"] or {}).get("best")
        layers = proved["description"] if proved else f"{'-'.join(map(str, one['layers']))}, B {one['batch']}"
        step = proved["step"] if proved else None
        row(
            f"({name}) {layers}",
            f"{seconds(plain)} ({seconds(one['numpy']['median'])})",
            f"{seconds(torch)} ({seconds(one['torch']['median'])})" if torch else "–",
            seconds(proved["float"]) if proved else "–",
            seconds(step),
            times(step, plain),
            times(step, torch),
            times(step, proved["float"]) if proved else "–",
            seconds(proved["verify"]) if proved else "–",
            size(1024 * proved["proof"]) if proved else "–",
        )
    print("\nPlain steps: best of many, median in brackets. Ratios are over the best.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    for name in ("commit", "date", "command", "load"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--threads", type=int, required=True)
    arguments = parser.parse_args()
    folder = arguments.folder
    float32 = json.loads((folder / "float.json").read_text())
    ezkl = {path.stem.removeprefix("ezkl-"): json.loads(path.read_text()) for path in folder.glob("ezkl-*.json")}
    ours, sealed = (
        read_ours(path.read_text()) if (path := folder / f"ours-{seal}.txt").exists() else {} for seal in ("sigma", "halo2")
    )

    print("# Peers, side by side\n")
    step_table(float32, ezkl, ours, sealed, arguments.threads)
    program_table(float32, ours)
    for line in (folder / "left-out.txt").read_text().splitlines():
        print(f"- left out: {line}")
    torch = f", PyTorch {float32['torch']}" if float32["torch"] else ""
    print(f"- NumPy {float32['numpy']} (OpenBLAS for {float32['blas']}){torch}, {arguments.threads} threads for all")
    print(f"- commit {arguments.commit}, {machine()}, {arguments.date} UTC, load {arguments.load}, one run")
    print(f"- `{arguments.command}`")


if __name__ == "__main__":
    main()
