"""How long a training stands still when one of four workers is killed, and torchrun's restart beside it."""
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from runs import Run, job, median, metric, table

WORKERS = 4
ROUNDS = 5
KILL_AFTER = 100  # steps


def muster_gap():
    """The longest time without a step, in seconds, after one of four workers was killed."""
    begun = Run(job(WORKERS, {'topology': 'Ring'}, batch_size=64, epochs=200))
    return gap_of(begun, lambda: begun.worker(1)[0])


def gap_of(begun, victim):
    """The longest time without a step of rank 0, in seconds, after the process `victim()` was killed; ends the run."""
    _, ip = begun.worker(0)
    while (metric(ip, 'muster_worker_step') or 0) < KILL_AFTER:
        time.sleep(0.02)
    os.kill(victim(), signal.SIGKILL)
    killed = time.monotonic()
    step, since, gap = metric(ip, 'muster_worker_step') or 0, killed, 0
    while time.monotonic() < killed + 8:
        now = metric(ip, 'muster_worker_step')
        if now is not None and now != step:
            gap = max(gap, time.monotonic() - since)
            step, since = now, time.monotonic()
        time.sleep(0.005)
    ended = time.monotonic()
    begun.process.send_signal(signal.SIGINT)
    begun.process.communicate(timeout=30)
    return max(gap, ended - since)  # who has not gone on has stood still for all of that time


def torchrun_gap():
    """The same under torchrun, which restarts all ranks from their checkpoint."""
    script = pathlib.Path(__file__).resolve().parent / 'ddp_gloo.py'
    with tempfile.TemporaryDirectory(prefix='muster-bench-') as folder:
        process = subprocess.Popen([python_with_torchrun(), '-m', 'torch.distributed.run', f'--nproc_per_node={WORKERS}', '--max_restarts=3', '--rdzv_backend=c10d',
                                    '--rdzv_endpoint=127.0.0.1:0', str(script), '--epochs', '200', '--batch', '64', '--steps-file', folder + '/steps', '--pids', folder],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, 'OMP_NUM_THREADS': '1'})
        steps = pathlib.Path(folder) / 'steps'

        def newest():
            try:
                return steps.stat().st_mtime_ns, int(steps.read_text() or 0)
            except (OSError, ValueError):
                return 0, 0

        while newest()[1] < KILL_AFTER:
            if process.poll() is not None:
                raise SystemExit('the script under torchrun ended by itself')
            time.sleep(0.02)
        os.kill(int((pathlib.Path(folder) / 'rank-1').read_text()), signal.SIGKILL)
        killed = time.monotonic()
        step, since, gap = newest()[1], killed, 0
        while time.monotonic() < killed + 30:
            now = newest()[1]
            if now != step:
                gap = max(gap, time.monotonic() - since)
                step, since = now, time.monotonic()
                if gap > 1 and time.monotonic() > killed + gap + 2:
                    break
            time.sleep(0.005)
        ended = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        return max(gap, ended - since)


def python_with_torchrun():
    """An interpreter whose torchrun works; None: there is none. TORCH_PYTHON names one; that of Debian's torch 1.13 does not."""
    for python in (os.environ.get('TORCH_PYTHON'), sys.executable):
        if python and subprocess.run([python, '-c', 'import torch; assert torch.__version__ >= "2"'], capture_output=True, check=False).returncode == 0:
            return python
    return None


def measure():
    rows = []
    for _ in range(ROUNDS):
        rows.append({'who': 'muster', 'seconds': muster_gap()})
        if python_with_torchrun():
            rows.append({'who': 'torchrun', 'seconds': torchrun_gap()})
    return rows


def tables(rows):
    lines = []
    for who, words in (('muster', 'Muster: the others go on without it, then with its successor'), ('torchrun', 'torchrun: all ranks are restarted, and read their checkpoint')):
        of = [row['seconds'] for row in rows if row['who'] == who]
        if of:
            lines.append([words, f'{median(of):.2f} s', f'{max(of):.2f} s'])
    return (f'The longest time without a step in the 8 s after a SIGKILL of one of {WORKERS} workers, {ROUNDS} kills each, in turns.\n\n' + table(['', 'median', 'longest'], lines))
