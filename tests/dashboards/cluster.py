"""A control plane of the real binaries on this machine: `muster local up --no-operator`, operators, objects, pods."""
import base64
import json
import os
import pathlib
import re
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ['MUSTER_BIN'])
SLOWER = int(os.environ.get('MUSTER_TIMEOUT_FACTOR', '1'))


def wait_for(what, seconds, condition):
    """The first value of condition() that is not false; polls."""
    deadline = time.monotonic() + seconds * SLOWER
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'waited {seconds * SLOWER} s in vain: {what}')
        time.sleep(0.1)


class Process:
    """A program with its output in a file; ended with the test."""

    def __init__(self, folder, name, command, environment=None):
        self.log = folder / f'{name}.log'
        with self.log.open('w') as log:
            self.process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT,
                                            env={**os.environ, **(environment or {})})

    def find(self, pattern, seconds=30):
        found = wait_for(f'{pattern} in {self.log}', seconds, lambda: re.search(pattern, self.log.read_text()))
        return found.group(1)

    def end(self, with_signal=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        try:
            self.process.wait(20 * SLOWER)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Cluster:
    def __init__(self, folder):
        self.folder = folder
        runtime = folder / 'runtime'
        runtime.mkdir(mode=0o700)
        self.environment = {'XDG_RUNTIME_DIR': str(runtime), 'TMPDIR': str(folder)}
        self.plane = Process(folder, 'up', [BIN / 'muster', 'local', 'up', '--no-operator', '--output-dir', folder / 'out'], self.environment)
        self.operators = []
        self.kubeconfig = self.plane.find(r'export KUBECONFIG=(\S+)')
        config = pathlib.Path(self.kubeconfig).read_text()
        self.server = re.search(r'server: (\S+)', config).group(1)
        self.token = re.search(r'token: (\S+)', config).group(1)
        authority = base64.b64decode(re.search(r'certificate-authority-data: (\S+)', config).group(1)).decode()
        self.tls = ssl.create_default_context(cadata=authority)
        self.create('/api/v1/namespaces', {'apiVersion': 'v1', 'kind': 'Namespace', 'metadata': {'name': 'muster-system'}})

    def request(self, method, path, body=None):
        request = urllib.request.Request(self.server + path, method=method, data=None if body is None else json.dumps(body).encode(),
                                         headers={'Authorization': 'Bearer ' + self.token, 'Content-Type': 'application/json'})
        with urllib.request.urlopen(request, context=self.tls, timeout=10) as answer:
            return json.load(answer)

    def create(self, path, body):
        try:
            return self.request('POST', path, body)
        except urllib.error.HTTPError as error:
            raise AssertionError(f'POST {path}: {error.read().decode()}') from error

    def apply(self, body):
        kinds = {'PersistentVolumeClaim': '/api/v1/namespaces/default/persistentvolumeclaims',
                 'DistributedJob': '/apis/muster.dev/v1alpha1/namespaces/default/distributedjobs',
                 'FederatedRound': '/apis/muster.dev/v1alpha1/namespaces/default/federatedrounds'}
        return self.create(kinds[body['kind']], body)

    def job(self, name, plural='distributedjobs'):
        return self.request('GET', f'/apis/muster.dev/v1alpha1/namespaces/default/{plural}/{name}')

    def pods(self):
        return self.request('GET', '/api/v1/pods')['items']

    def start_operator(self, name):
        """Its /metrics address. Replicas elect a leader."""
        operator = Process(self.folder, name, [BIN / 'muster-operator', '--kubeconfig', self.kubeconfig, '--metrics-address', '127.0.0.1:0', '--leader-elect'],
                           {**self.environment, 'POD_NAME': name})
        self.operators.append(operator)
        return operator.find(r'metrics=http://([0-9.:]+)/metrics')

    def kill_worker(self, pod):
        """kill -9 of the process that is the worker of a pod."""
        for entry in pathlib.Path('/proc').glob('[0-9]*'):
            try:
                environment = (entry / 'environ').read_bytes().split(b'\0')
                program = os.readlink(entry / 'exe')
            except OSError:
                continue
            ours = str(self.folder).encode() in b''.join(environment)
            if ours and program.endswith('/muster-worker') and f'MUSTER_POD_NAME={pod}'.encode() in environment:
                os.kill(int(entry.name), signal.SIGKILL)
                return
        raise AssertionError(f'no process is the worker of {pod}')

    def end(self):
        for operator in self.operators:
            operator.end(signal.SIGTERM)
        self.plane.end()
