"""Runs of `muster run` as the tables need them: a manifest in, what the run tells out."""
import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MUSTER = ROOT / 'build/release/bin/muster'
DATA = '/usr/share/datasets/fashion-mnist'


def job(workers, synchronization, batch_size=250, epochs=1, model=None, compression=None, learning_rate=0.05, momentum=0.9, checkpoint=None, seed=42):
    """A DistributedJob on Fashion-MNIST, as JSON (which is YAML)."""
    spec = {
        'workers': {'replicas': workers, 'template': {'spec': {
            'containers': [{'name': 'worker', 'volumeMounts': [{'name': 'data', 'mountPath': '/data', 'readOnly': True}]}],
            'volumes': [{'name': 'data', 'hostPath': {'path': DATA, 'type': 'Directory'}}]}}},
        'training': {'model': model or {'name': 'mlp', 'hidden': [128]}, 'dataset': {'name': 'fashion-mnist', 'path': '/data'},
                     'optimizer': {'name': 'SGD', 'learningRate': learning_rate, 'momentum': momentum},
                     'batchSize': batch_size, 'epochs': epochs, 'seed': seed},
        'synchronization': synchronization,
    }
    if compression:
        spec['compression'] = compression
    if checkpoint:
        spec['training']['checkpoint'] = checkpoint
    return {'apiVersion': 'muster.dev/v1alpha1', 'kind': 'DistributedJob', 'metadata': {'name': 'bench'}, 'spec': spec}


class Run:
    """`muster run` of one job, begun; `result()` waits for its end and gives its object of the JSON output."""

    def __init__(self, manifest, timeout=600):
        self.folder = tempfile.TemporaryDirectory(prefix='muster-bench-')
        path = pathlib.Path(self.folder.name) / 'job.yaml'
        path.write_text(json.dumps(manifest))
        self.timeout = timeout
        self.process = subprocess.Popen([MUSTER, 'run', '--output', 'json', '--output-dir', self.folder.name, str(path)],
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def result(self):
        out, errors = self.process.communicate(timeout=self.timeout)
        if self.process.returncode != 0:
            raise SystemExit(f'muster run ended with {self.process.returncode}: {errors[-2000:]}')
        self.folder.cleanup()
        return json.loads(out)['objects'][0]

    def worker(self, index, timeout=60):
        """(pid, IP) of the muster-worker of that pod, once it is there."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for pid, environment in self.workers():
                if environment.get('MUSTER_INDEX') == str(index) and environment.get('MUSTER_ROLE') == 'worker':
                    return pid, environment['MUSTER_POD_IP']
            time.sleep(0.01)
        raise SystemExit(f'no worker {index} after {timeout} s')

    def workers(self):
        """(pid, environment) of each muster-worker of this run."""
        for entry in pathlib.Path('/proc').iterdir():
            try:
                if not entry.name.isdigit() or (entry / 'comm').read_text().strip() != 'muster-worker':
                    continue
                pairs = (entry / 'environ').read_bytes().split(b'\0')
            except OSError:
                continue
            environment = dict(pair.decode(errors='replace').split('=', 1) for pair in pairs if b'=' in pair)
            if self._is_mine(int(entry.name)):
                yield int(entry.name), environment

    def _is_mine(self, pid):
        while pid > 1:
            if pid == self.process.pid:
                return True
            try:
                pid = int(pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[1])
            except (OSError, ValueError):
                return False
        return False


def run(manifest):
    return Run(manifest).result()


class Straggler:
    """A worker that runs for 10 of each 100 ms, until the run ends."""

    def __init__(self, begun, index):
        self.begun = begun
        self.pid, _ = begun.worker(index)
        self.thread = threading.Thread(target=self._slow, daemon=True)
        self.thread.start()

    def _slow(self):
        while self.begun.process.poll() is None:
            for number, seconds in ((signal.SIGSTOP, 0.09), (signal.SIGCONT, 0.01)):
                try:
                    os.kill(self.pid, number)
                except ProcessLookupError:
                    return
                time.sleep(seconds)


def metric(ip, name):
    """A metric of the pod at that address; None when it does not answer."""
    try:
        with urllib.request.urlopen(f'http://{ip}:8472/metrics', timeout=0.5) as page:
            for line in page.read().decode().splitlines():
                if line.startswith(name + ' '):
                    return float(line.split()[1])
    except (OSError, ValueError):
        pass
    return None


def median(values):
    return statistics.median(values)


def table(head, rows):
    """Markdown."""
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    return '\n'.join(lines + ['| ' + ' | '.join(str(cell) for cell in row) + ' |' for row in rows])
