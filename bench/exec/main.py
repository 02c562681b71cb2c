"""How soon all commands of a job with runPolicy.restart InPlace run again: bench/run in_place [--pods N] [--rounds N].

The real control plane, operator and muster-exec, with N pods whose command only writes its rank. One command is killed; measured is
how long it takes from the kill, which includes that the operator hears of it and decides, until the last of them has written its
rank in the next membership. Each round is a job of its own, since restarts in a row have pauses."""
import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(__file__).resolve().parents[2] / "build" / "release" / "bin"

JOB = """
apiVersion: muster.dev/v1alpha1
kind: DistributedJob
metadata: {{name: place}}
spec:
  workers:
    replicas: {pods}
    template:
      spec:
        containers:
        - name: worker
          image: debian:12
          command: [sh, -c]
          args: ["cd {folder}/$MUSTER_MEMBERSHIP && echo $$$$ > $RANK.part && mv $RANK.part $RANK && exec sleep 100000"]
          resources: {{requests: {{cpu: 1m, memory: 1Mi}}}}
  runPolicy: {{restart: InPlace}}
"""


def wait(what, seconds, condition):
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.002)
    return found


def status():
    told = subprocess.run([BIN / "muster", "get", "dj", "place", "-o", "json"], capture_output=True, text=True, check=True)
    return json.loads(told.stdout).get("status", {})


def measure(pods, folder):
    for membership in (1, 2):
        (folder / str(membership)).mkdir()

    def written(membership):
        return [each for each in os.scandir(folder / str(membership)) if not each.name.endswith(".part")]

    job = folder / "job.yaml"
    job.write_text(JOB.format(pods=pods, folder=folder))
    server = subprocess.Popen([BIN / "muster", "run", job, "--output-dir", folder / "out"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        config = wait("the control plane", 60, lambda: next(folder.glob("muster-run*/api/kubeconfig"), None))
        os.environ["KUBECONFIG"] = str(config)
        wait("the first start", 300, lambda: len(written(1)) == pods)
        first = time.monotonic() - began
        wait("Running", 60, lambda: status().get("phase") == "Running")
        killed = time.time()
        os.kill(int((folder / "1" / str(pods // 2)).read_text()), signal.SIGKILL)
        wait("all commands", 120, lambda: len(written(2)) == pods)
        again = max(each.stat().st_mtime for each in written(2)) - killed
        # Of a file system that tells whole ticks, the first may seem to come before the kill.
        return {"first_start": first, "again": max(again, 0.0), "load": os.getloadavg()[0]}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    print(f"{arguments.pods} pods\n{'first start':>13} {'kill to all again':>18} {'load':>6}")
    rows = []
    for _ in range(arguments.rounds):
        folder = pathlib.Path(tempfile.mkdtemp())
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        rows.append(measure(arguments.pods, folder))
        shutil.rmtree(folder, ignore_errors=True)
        print(f"{rows[-1]['first_start']:>11.1f} s {rows[-1]['again']:>16.2f} s {rows[-1]['load']:>6.1f}", flush=True)
    print(f"median of {len(rows)}: {statistics.median(row['again'] for row in rows):.2f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps({"pods": arguments.pods, "rows": rows}) + "\n")


main()
