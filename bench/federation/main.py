#!/usr/bin/env python3
"""./dev bench federation: folding, durable ingest, rounds, memory, and Flower beside Muster.

usage: bench/federation/main.py [PART...] [--json FILE] [--write]
  PART      fold, ingest, memory, flower (all without one)
  --json    the figures of all parts
  --write   puts the tables into docs/benchmarks.md, in place of those parts' last ones

Flower is found in the Python that MUSTER_BENCH_PYTHON names, else in build/bench-venv, which is made by pip where it can be;
else that part says what it lacks. TMPDIR is the disk that is measured. Sizes that take gigabytes: MUSTER_BENCH_LARGE=1.
"""

import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/release/bin"
PAGE = ROOT / "docs/benchmarks.md"
LARGE = os.environ.get("MUSTER_BENCH_LARGE") == "1"
MB = 1_000_000
PATIENCE = 1800  # seconds for one measurement


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def bench(*command: str) -> dict:
    """The JSON that a program writes; what it prints goes to standard error."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        subprocess.run([str(BIN / command[0]), *command[1:], "--json", file.name], check=True, stdout=sys.stderr, timeout=PATIENCE)
        return json.load(file)


def fold() -> tuple[dict, str]:
    found = bench("fold_bench")
    rows = [
        [f"{row['bytes']:,}", *(f"{row[key]:.1f}" for key in ("fold", "checked", "fold_int8", "memcpy", "add")),
         f"{row['fold'] / row['add']:.2f}", f"{row['fold_int8'] / row['add']:.2f}"]
        for row in found["rows"]
    ]
    head = ["bytes of an update", "folded", "checked and folded", "int8, decoded and added", "memcpy", "addition", "folded / addition",
            "int8 / addition"]
    return found, "One core, GB/s of float32; the goal is 0.7 of the addition beyond the caches.\n\n" + table(head, rows)


def ingest() -> tuple[dict, str]:
    found = bench("ingest_bench")
    took, over = found["ingest"], found["overhead"]
    words = (
        f"{took['clients']} clients at once, {took['bytes'] / MB:.1f} MB each; a round of {over['clients']} clients that train nothing.\n\n"
    )
    rows = [
        ["updates acknowledged as durable", f"{took['durable']:.3f} GB/s", f"{took['ratio']:.2f} of the slower of the next two; goal {took['goal']}"],
        ["bare gRPC streams over TLS", f"{took['stream']:.3f} GB/s", ""],
        ["durable writes, one after another", f"{took['writes']:.3f} GB/s", ""],
        ["a round, p50", f"{1e3 * over['round_p50_s']:.1f} ms", f"goal {1e3 * over['goal_s']:.1f} ms"],
        ["an fdatasync of 4 KiB, p50", f"{1e3 * over['fdatasync_s']:.2f} ms", ""],
    ]
    return found, words + table(["what", "measured", ""], rows)


def muster_rounds(clients: int, model_bytes: int, rounds: int, strategy: str = "FedAvg") -> dict:
    done = subprocess.run([str(BIN / "rounds_bench"), str(clients), str(model_bytes), str(rounds), strategy], stdout=subprocess.PIPE,
                          timeout=PATIENCE, check=False)
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"rounds_bench {clients} {model_bytes} {rounds} {strategy} ended with {done.returncode}")
    return json.loads(done.stdout)


def memory() -> tuple[list, str]:
    cases = [(10, 64 * MB, 3, strategy) for strategy in ("FedAvg", "FedAvgM", "FedAdam", "FedYogi", "FedAdagrad", "Nesterov", "SCAFFOLD")]
    cases += [(1000, MB, 2, "FedAvg")]
    found = []
    for case in cases:
        found.append(muster_rounds(*case))
        print(json.dumps(found[-1]), file=sys.stderr)
    rows = [
        [row["strategy"], str(row["clients"]), f"{row['model_bytes'] / MB:.1f}", f"{row['peak_bytes'] / MB:.0f}",
         f"{row['bound_bytes'] / MB:.0f}", "yes" if row["met"] else "NO"]
        for row in found
    ]
    words = (
        "Peak of RssAnon + RssShmem of the aggregator in MB; the bound is (2 + s) models, the room of the uploads that are on their way "
        "at once, 32 MiB for downloads, 256 MiB for what gRPC receives and 96 MiB for the process. Pages of the mapped journal are not in it.\n\n"
    )
    return found, words + table(["strategy", "clients", "model, MB", "peak, MB", "bound, MB", "within"], rows)


def resident(pid: int) -> int:
    """Bytes that the kernel cannot take back; 0 once the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) * 1024


def peer_python(package: str) -> str | None:
    """A Python that has the package, or None."""
    has = ["-c", f"import {package}, numpy"]
    named = os.environ.get("MUSTER_BENCH_PYTHON")
    if named:
        return named if subprocess.run([named, *has], check=False, stderr=subprocess.DEVNULL).returncode == 0 else None
    folder = ROOT / "build/bench-venv"
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    if subprocess.run([str(python), *has], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", package, "numpy"], check=False)
    return str(python) if subprocess.run([str(python), *has], check=False, stderr=subprocess.DEVNULL).returncode == 0 else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def flower_rounds(python: str, clients: int, model_bytes: int, rounds: int) -> dict:
    script = str(ROOT / "bench/federation/flower_peer.py")
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "fits"
        with open(pathlib.Path(folder) / "log", "wb") as log:
            server = subprocess.Popen([python, script, "server", address, str(clients), str(model_bytes), str(rounds)], stdout=log, stderr=log)
            peak = 0

            def watch() -> None:
                nonlocal peak
                while server.poll() is None:
                    peak = max(peak, resident(server.pid))
                    time.sleep(0.005)

            watcher = threading.Thread(target=watch)
            watcher.start()
            try:
                subprocess.run([python, script, "clients", address, str(clients), str(out)], stdout=log, stderr=log, check=True, timeout=PATIENCE)
                server.wait(timeout=60)
            finally:
                server.kill()
                watcher.join()
        fits = [json.loads(line) for line in out.read_text(encoding="ascii").splitlines()]
    begins = {r: min(f["begin"] for f in fits if f["round"] == r) for r in range(1, rounds + 1)}
    ends = {r: max(f["end"] for f in fits if f["round"] == r) for r in range(1, rounds + 1)}
    return {
        "clients": clients,
        "model_bytes": model_bytes,
        "rounds": rounds,
        "wall_s": (ends[rounds] - begins[1]) * rounds / (rounds - 1),
        "between_rounds_p50_s": statistics.median(begins[r + 1] - ends[r] for r in range(1, rounds)),
        "peak_bytes": peak,
    }


def flower() -> tuple[list, str]:
    python = peer_python("flwr")
    if python is None:
        words = "Flower was not found: name a Python with flwr and numpy in MUSTER_BENCH_PYTHON, or let pip reach an index.\n"
        print(words, file=sys.stderr)
        return [], words
    cases = [(10, MB, 20), (100, MB, 5), (10, 100 * MB, 3)]
    if LARGE:
        cases += [(1000, MB, 3), (100, 100 * MB, 2)]
    found, rows = [], []
    for case in cases:
        ours, theirs = muster_rounds(*case), flower_rounds(python, *case)
        found.append({"muster": ours, "flower": theirs})
        print(json.dumps(found[-1]), file=sys.stderr)
        ratio = [theirs[key] / ours[key] for key in ("between_rounds_p50_s", "peak_bytes", "wall_s")]
        rows.append([
            f"{case[0]}, {case[1] // MB} MB",
            f"{1e3 * ours['between_rounds_p50_s']:.0f} / {1e3 * theirs['between_rounds_p50_s']:.0f} ms", f"{ratio[0]:.1f}",
            f"{ours['peak_bytes'] / MB:.0f} / {theirs['peak_bytes'] / MB:.0f} MB", f"{ratio[1]:.1f}",
            f"{ours['wall_s']:.1f} / {theirs['wall_s']:.1f} s", f"{ratio[2]:.1f}",
        ])
    version = subprocess.run([python, "-c", "import flwr; print(flwr.__version__)"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    words = (
        f"FedAvg of clients that train nothing, Muster / Flower {version} (`start_server`, its leanest way), and how many times as much Flower takes. "
        "Muster's updates go over TLS and are durable before they are acknowledged; Flower's do neither. From the last client's end of training to the "
        "first one's begin of the next: its upload, the new model and a download are in it.\n\n"
    )
    head = ["clients, model", "between rounds", "ratio", "server memory", "ratio", "wall time", "ratio"]
    return found, words + table(head, rows)


PARTS = {"fold": fold, "ingest": ingest, "memory": memory, "flower": flower}


def write_page(name: str, text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- begin federation-{name} -->\n", f"<!-- end federation-{name} -->"
    head, rest = page.split(begin)
    PAGE.write_text(head + begin + text + end + rest.split(end, 1)[1], encoding="utf-8")


def main() -> None:
    arguments = sys.argv[1:]
    write = "--write" in arguments
    file = None
    if "--json" in arguments:
        at = arguments.index("--json")
        if at + 1 == len(arguments):
            sys.exit("bench/federation/main.py: --json needs a file")
        file = arguments[at + 1]
        del arguments[at : at + 2]
    names = [argument for argument in arguments if argument != "--write"]
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        sys.exit(f"bench/federation/main.py: there is no part {unknown[0]!r}; there are: {' '.join(PARTS)}")
    figures = {}
    for name in names or PARTS:
        figures[name], text = PARTS[name]()
        print(f"\n{name}\n\n{text}", flush=True)
        if write:
            write_page(name, text)
    if file is not None:
        pathlib.Path(file).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
