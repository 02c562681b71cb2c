#!/usr/bin/env python3
"""./dev bench federation: folding, durable ingest, rounds, memory, and Flower and NVFlare beside Muster.

usage: bench/federation/main.py [PART...] [--json FILE] [--write]
  PART      fold, ingest, memory, flower, nvflare, large (all without one, but for large)
  --json    the figures of all parts
  --write   puts the tables into docs/benchmarks.md, in place of those parts' last ones

Flower and NVFlare are found in the Python that MUSTER_BENCH_PYTHON names, else in build/bench-venv and build/bench-venv-nvflare,
which are made by pip where they can be; else that part says what it lacks. large: a model of 2.3 GB, checked value by value. TMPDIR is the disk that is measured. Sizes that take gigabytes: MUSTER_BENCH_LARGE=1.
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
    cases += [(10, 32 * MB, 3, strategy) for strategy in ("FedAvg", "FedAvgM", "FedAdam")]
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
        "at once, 32 MiB for downloads and 96 MiB for the process. Pages of the mapped journal are not in it.\n\n"
    )
    return found, words + table(["strategy", "clients", "model, MB", "peak, MB", "bound, MB", "within"], rows)


def resident(pid: int) -> int:
    """Bytes that the kernel cannot take back; 0 once the process is gone."""
    try:
        lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon:", "RssShmem:"))) * 1024


def peer_python(package: str, folder: str) -> str | None:
    """A Python that has the package, or None."""
    has = ["-c", f"import {package}, numpy"]
    named = os.environ.get("MUSTER_BENCH_PYTHON")
    if named:
        return named if subprocess.run([named, *has], check=False, stderr=subprocess.DEVNULL).returncode == 0 else None
    python = ROOT / "build" / folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ROOT / "build" / folder)], check=True)
    if subprocess.run([str(python), *has], check=False, stderr=subprocess.DEVNULL).returncode != 0:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", package, "numpy"], check=False)
    return str(python) if subprocess.run([str(python), *has], check=False, stderr=subprocess.DEVNULL).returncode == 0 else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Watch:
    """The most memory of a process, looked at often, from when it is known until it ends."""

    def __init__(self, find) -> None:
        self.peak = 0
        self._over = False
        self._find = find  # its number, or None as long as nobody knows it
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        pid = None
        while not self._over:
            pid = pid or self._find()
            if pid:
                self.peak = max(self.peak, resident(pid))
            time.sleep(0.005)

    def end(self) -> int:
        self._over = True
        self._thread.join()
        return self.peak


def figures(case: tuple, begins: dict, ends: dict, whole: dict, peak: int) -> dict:
    """Of rounds that are numbered from 1: when the first client began, the last one ended, the server had all updates."""
    clients, model_bytes, rounds = case
    return {
        "clients": clients,
        "model_bytes": model_bytes,
        "rounds": rounds,
        "wall_s": (ends[rounds] - begins[1]) * rounds / (rounds - 1),
        "between_rounds_p50_s": statistics.median(begins[r + 1] - whole[r] for r in range(1, rounds)),
        "peak_bytes": peak,
    }


def lines(path: pathlib.Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def flower_rounds(python: str, clients: int, model_bytes: int, rounds: int) -> dict:
    script = str(ROOT / "bench/federation/flower_peer.py")
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with open(folder / "log", "wb") as log:
            server = subprocess.Popen(
                [python, script, "server", address, str(clients), str(model_bytes), str(rounds), str(folder / "whole")], stdout=log, stderr=log)
            watch = Watch(lambda: server.pid)
            try:
                subprocess.run([python, script, "clients", address, str(clients), str(folder / "fits")], stdout=log, stderr=log, check=True,
                               timeout=PATIENCE)
                server.wait(timeout=60)
            finally:
                server.kill()
                peak = watch.end()
        fits = lines(folder / "fits")
        whole = {line["round"]: line["whole"] for line in lines(folder / "whole")}
    begins = {r: min(f["begin"] for f in fits if f["round"] == r) for r in range(1, rounds + 1)}
    ends = {r: max(f["end"] for f in fits if f["round"] == r) for r in range(1, rounds + 1)}
    return figures((clients, model_bytes, rounds), begins, ends, whole, peak)


def nvflare_rounds(python: str, clients: int, model_bytes: int, rounds: int) -> dict:
    script = ROOT / "bench/federation/nvflare_peer.py"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)

        def server() -> int | None:  # is who told that a round is whole
            for file in folder.glob("events-*"):
                if '"whole"' in file.read_text(encoding="ascii"):
                    return int(file.name.rsplit("-", 1)[1])
            return None

        watch = Watch(server)
        try:
            with open(folder / "log", "wb") as log:
                subprocess.run([python, str(script), str(folder), str(clients), str(model_bytes), str(rounds)], stdout=log, stderr=log, check=True,
                               cwd=folder, env={**os.environ, "PYTHONPATH": str(script.parent)}, timeout=PATIENCE)
        finally:
            peak = watch.end()
        events = [event for file in folder.glob("events-*") for event in lines(file)]

    def of(kind: str, key: str, choose) -> dict:
        return {r: choose(e[key] for e in events if e["event"] == kind and e["round"] == r - 1) for r in range(1, rounds + 1)}

    return figures((clients, model_bytes, rounds), of("fit", "begin", min), of("fit", "end", max), of("whole", "begin", min), peak)


def beside(peer: str, cases: list, run, turns: int) -> tuple[list, list]:
    """Muster and a peer in turns, so that both have the same machine; medians."""
    found, rows = [], []
    for case in cases:
        ours, theirs = [], []
        for _ in range(turns):
            ours.append(muster_rounds(*case))
            theirs.append(run(*case))
        found.append({"muster": ours, peer: theirs})
        print(json.dumps(found[-1]), file=sys.stderr)

        def pair(key: str) -> tuple[float, float]:
            return statistics.median(row[key] for row in ours), statistics.median(row[key] for row in theirs)

        between, peak, wall = pair("between_rounds_p50_s"), pair("peak_bytes"), pair("wall_s")
        rows.append([
            f"{case[0]:,}, {case[1] // MB} MB",
            f"{1e3 * between[0]:.0f} / {1e3 * between[1]:.0f} ms", f"{between[1] / between[0]:.1f}",
            f"{peak[0] / MB:.0f} / {peak[1] / MB:.0f} MB", f"{peak[1] / peak[0]:.1f}",
            f"{wall[0] / case[2]:.2f} / {wall[1] / case[2]:.2f} s", f"{wall[1] / wall[0]:.1f}",
        ])
    return found, rows


BESIDE_HEAD = ["clients, model", "between rounds", "ratio", "server memory", "ratio", "a round", "ratio"]
BESIDE_WORDS = (
    "and how many times as much the other takes. Muster's updates go over TLS and are durable before they are acknowledged; the other's do neither. "
    "Between rounds: from the time when the server has all updates (for Muster: when the last client has sent its) until the first client has the "
    "model of the next round.\n\n"
)


def load() -> str:
    return f"Load of the machine at the end: {os.getloadavg()[1]:.0f} processes on {os.cpu_count()} cores.\n\n"


def flower() -> tuple[list, str]:
    python = peer_python("flwr", "bench-venv")
    if python is None:
        words = "Flower was not found: name a Python with flwr and numpy in MUSTER_BENCH_PYTHON, or let pip reach an index.\n"
        print(words, file=sys.stderr)
        return [], words
    cases = [(10, MB, 20), (100, MB, 8), (10, 100 * MB, 3)]
    if LARGE:
        cases += [(1000, MB, 3), (100, 100 * MB, 2)]
    found, rows = beside("flower", cases, lambda *case: flower_rounds(python, *case), 3)
    version = subprocess.run([python, "-c", "import flwr; print(flwr.__version__)"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    words = f"FedAvg of clients that train nothing, Muster / Flower {version} (`start_server`, its leanest way), medians of 3 runs in turns, "
    return found, words + BESIDE_WORDS + load() + table(BESIDE_HEAD, rows)


def nvflare() -> tuple[list, str]:
    python = peer_python("nvflare", "bench-venv-nvflare")
    if python is None:
        words = "NVFlare was not found: name a Python with nvflare and numpy in MUSTER_BENCH_PYTHON, or let pip reach an index.\n"
        print(words, file=sys.stderr)
        return [], words
    cases = [(10, MB, 10)]
    if LARGE:  # each of its clients is a process
        cases += [(10, 100 * MB, 3), (100, MB, 3)]
    found, rows = beside("nvflare", cases, lambda *case: nvflare_rounds(python, *case), 3)
    version = subprocess.run([python, "-c", "import nvflare; print(nvflare.__version__)"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout.strip()
    words = (
        f"FedAvg of clients that train nothing, Muster / NVFlare {version} (`ScatterAndGather` in its simulator, a process for each client), medians "
        "of 3 runs in turns, "
    )
    return found, words + BESIDE_WORDS + load() + table(BESIDE_HEAD, rows)


def large() -> tuple[list, str]:
    """A model of more than 2 GiB through the real binary."""
    done = subprocess.run([str(BIN / "large_model_check")], stdout=subprocess.PIPE, text=True, timeout=PATIENCE, check=True)
    return [done.stdout], done.stdout


PARTS = {"fold": fold, "ingest": ingest, "memory": memory, "flower": flower, "nvflare": nvflare, "large": large}


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
    found = {}
    for name in names or [part for part in PARTS if part != "large"]:
        found[name], text = PARTS[name]()
        print(f"\n{name}\n\n{text}", flush=True)
        if write:
            write_page(name, text)
    if file is not None:
        pathlib.Path(file).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
