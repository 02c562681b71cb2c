"""PyTorch programs under Muster beside DistributedDataParallel over Gloo: python3 bench/python/main.py [--write] [--quick] [rate|network|bridge|kill]...

All by one interpreter with torch: that of TORCH_PYTHON, else this one. `network` needs root: a namespace is made whose loopback is shaped to 1 Gb/s."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / 'bench/training'))

import recovery  # noqa: E402: of the folder above
from runs import MUSTER, median, metric, Run, table  # noqa: E402

PYTHON = os.environ.get('TORCH_PYTHON', sys.executable)
SCRIPT = str(ROOT / 'bench/python/train.py')
TARGET = 0.8
BITS = 8  # of a compressed value
QUICK = '--quick' in sys.argv
ROUNDS = 1 if QUICK else 3
EXAMPLES = 9600 if QUICK else 60000
LIBRARY = {'PYTHONPATH': str(ROOT / 'python'), 'LD_LIBRARY_PATH': str(ROOT / 'build/release/lib')}


def manifest(workers, arguments, epochs=1, batch=64, topology='Auto', compression=None, socket=False, name='bench'):
    container = {'name': 'worker', 'image': 'example.org/bench:1', 'command': [PYTHON, SCRIPT, *arguments], 'env': [{'name': key, 'value': value} for key, value in LIBRARY.items()]}
    spec = {'workers': {'replicas': workers, 'minReplicas': 1, 'template': {'spec': {'containers': [container]}}},
            'training': {'program': {}, 'batchSize': batch, 'epochs': epochs, 'seed': 42}, 'synchronization': {'topology': topology}}
    if compression:
        spec['compression'] = {'quantizationBits': compression}
    if socket:  # else the ranks of one machine would share memory
        spec['security'] = {'encryptTraffic': True}
    return {'apiVersion': 'muster.dev/v1alpha1', 'kind': 'DistributedJob', 'metadata': {'name': name}, 'spec': spec}


def by_muster(mode, workers, model, epochs, inside=(), **more):
    with tempfile.TemporaryDirectory(prefix='muster-bench-') as folder:
        arguments = [mode, '--model', model, '--epochs', str(epochs), '--examples', str(EXAMPLES), '--target', str(TARGET), '--result', f'{folder}/result']
        path = pathlib.Path(folder) / 'job.yaml'
        path.write_text(json.dumps(manifest(workers, arguments, epochs, **more)))
        done = subprocess.run([*inside, MUSTER, 'run', '--output', 'json', '--output-dir', folder, str(path)], capture_output=True, text=True, timeout=900, check=False)
        if done.returncode != 0:
            raise SystemExit(f'muster run ended with {done.returncode}: {done.stderr[-2000:]}')
        return json.loads((pathlib.Path(folder) / 'result').read_text())


def by_gloo(workers, model, epochs, inside=()):
    with tempfile.TemporaryDirectory(prefix='muster-bench-') as folder:
        ranks = [subprocess.Popen([*inside, PYTHON, SCRIPT, 'gloo', '--model', model, '--epochs', str(epochs), '--examples', str(EXAMPLES), '--target', str(TARGET), '--meet',
                                   f'{folder}/meet,{rank},{workers}', '--result', f'{folder}/result'], env={**os.environ, 'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo'})
                 for rank in range(workers)]
        if any([rank.wait(timeout=900) for rank in ranks]):
            raise SystemExit('DDP over Gloo ended with an error')
        return json.loads((pathlib.Path(folder) / 'result').read_text())


def measure_rate():
    rows = []
    for workers in (2, 4):
        for _ in range(ROUNDS):
            for who, call in (('muster.Optimizer', lambda: by_muster('muster', workers, 'cnn', 2)), ('c10d muster', lambda: by_muster('c10d', workers, 'cnn', 2)),
                              ('DDP + Gloo', lambda: by_gloo(workers, 'cnn', 2))):
                rows.append({'workers': workers, 'who': who, **call()})
    return rows


def compare(rows, what):
    lines = []
    for workers in dict.fromkeys(row['workers'] for row in rows):
        def of(who, key):
            values = [row[key] for row in rows if (row['workers'], row['who']) == (workers, who)]
            return None if None in values else median(values)
        peer = of('DDP + Gloo', 'rate')
        for who in dict.fromkeys(row['who'] for row in rows):
            reached = of(who, 'to_target')
            lines.append([workers, who, f"{of(who, 'rate'):,.0f}", f"{of(who, 'rate') / peer:.2f}x", '-' if reached is None else f'{reached:.1f} s', f"{100 * of(who, 'accuracy'):.1f} %"])
    return what + '\n\n' + table(['workers', 'by', 'images/s', 'of DDP + Gloo', f'to {100 * TARGET:.0f} %', 'accuracy'], lines)


def tables_rate(rows):
    return compare(rows, f'A small CNN on {EXAMPLES:,} images of Fashion-MNIST, 2 epochs, batches of 64 a worker, one thread a rank, SGD 0.05 with momentum; medians of {ROUNDS} runs in turns.')


def measure_network():
    name, rows = f'mbench{os.getpid()}', []
    inside = ['ip', 'netns', 'exec', name]
    try:
        for command in (f'ip netns add {name}', f'ip -n {name} link set lo up', f'ip -n {name} link set lo mtu 9000',
                        f'ip netns exec {name} tc qdisc add dev lo root tbf rate 1gbit burst 256kb latency 50ms'):
            subprocess.run(command.split(), check=True)
        for workers in (2, 4):
            for _ in range(ROUNDS):
                for who, call in (('muster.Optimizer', lambda: by_muster('muster', workers, 'wide', 1, inside, socket=True)),
                                  (f'muster.Optimizer, {BITS} bits', lambda: by_muster('muster', workers, 'wide', 1, inside, socket=True, topology='Direct', compression=BITS)),
                                  ('c10d muster', lambda: by_muster('c10d', workers, 'wide', 1, inside, socket=True)),
                                  (f'c10d muster, {BITS} bits', lambda: by_muster('c10d-hook', workers, 'wide', 1, inside, socket=True, topology='Direct', compression=BITS)),
                                  ('DDP + Gloo', lambda: by_gloo(workers, 'wide', 1, inside))):
                    rows.append({'workers': workers, 'who': who, **call()})
    finally:
        subprocess.run(['ip', 'netns', 'del', name], check=False)
    return rows


def tables_network(rows):
    return compare(rows, f'1.9 million parameters (7.4 MB of gradient a step), {EXAMPLES:,} images, in a network namespace whose loopback lets 1 Gb/s through, which all ranks share; Muster with '
                   f'`encryptTraffic`, as its ranks of one machine share memory without it. Medians of {ROUNDS} runs in turns.')


def measure_bridge():
    with tempfile.TemporaryDirectory(prefix='muster-bench-') as folder:
        rows = []
        for model in ('cnn', 'wide'):
            arguments = ['muster', '--model', model, '--bridge', '--examples', str(EXAMPLES), '--result', f'{folder}/{model}']
            run = Run(manifest(1, arguments, batch=256))
            run.result()
            rows.append({'model': model, **json.loads((pathlib.Path(folder) / model).read_text())})
        return rows


def tables_bridge(rows):
    lines = [[row['model'], f"{row['bridge_ms']:.2f} ms", f"{row['bridge_ms'] / 20 * 100:.1f} %"] for row in rows]
    return ('What a step takes beside the forward and backward pass, the optimizer and the taking of the examples: `opt.step`, `opt.zero_grad` and the next batch, in a job of one worker; '
            'medians of all steps.\n\n' + table(['model', 'a step', 'of a step of 20 ms'], lines))


def program_gap():
    """The longest time without a step, in seconds, after the program of one of four ranks was killed."""
    begun = Run(manifest(recovery.WORKERS, ['muster', '--model', 'mlp'], epochs=200))
    return recovery.gap_of(begun, lambda: program_of(begun, 1))


def program_of(begun, index):
    for entry in pathlib.Path('/proc').iterdir():
        try:
            if entry.name.isdigit() and SCRIPT in (entry / 'cmdline').read_text() and f'MUSTER_INDEX={index}\0' in (entry / 'environ').read_text() and begun._is_mine(int(entry.name)):
                return int(entry.name)
        except (OSError, UnicodeDecodeError):
            continue
    raise SystemExit(f'no program of rank {index} runs')


def measure_kill():
    rows = []
    for _ in range(ROUNDS):
        rows.append({'who': 'muster', 'seconds': program_gap()})
        if recovery.python_with_torchrun():
            rows.append({'who': 'torchrun', 'seconds': recovery.torchrun_gap()})
    return rows


def tables_kill(rows):
    lines = []
    for who, words in (('muster', 'muster.Optimizer: the others go on'), ('torchrun', 'torchrun: all ranks are restarted')):
        of = [row['seconds'] for row in rows if row['who'] == who]
        if of:
            lines.append([words, f'{median(of):.2f} s', f'{max(of):.2f} s'])
    return f'The longest time without a step in the 8 s after a SIGKILL of the program of one of {recovery.WORKERS} ranks; {ROUNDS} kills each.\n\n' + table(['', 'median', 'longest'], lines)


def main():
    names = [argument for argument in sys.argv[1:] if not argument.startswith('--')] or ['rate', 'network', 'bridge', 'kill']
    known = {'rate': (measure_rate, tables_rate), 'network': (measure_network, tables_network), 'bridge': (measure_bridge, tables_bridge), 'kill': (measure_kill, tables_kill)}
    unknown = [name for name in names if name not in known] + [a for a in sys.argv[1:] if a.startswith('--') and a not in ('--write', '--quick')]
    if unknown:
        sys.exit(f'bench python: there is no {unknown[0]}; there are: {" ".join(known)}, --write and --quick')
    version = subprocess.run([PYTHON, '-c', 'import torch; print(torch.__version__)'], capture_output=True, text=True, check=False).stdout.strip()
    if not version:
        sys.exit(f'bench python: {PYTHON} has no torch; name an interpreter that has one by TORCH_PYTHON')
    for name in names:
        measure, tables = known[name]
        rows = measure()
        text = f'torch {version}. {tables(rows)}'
        print(f'\n## {name}\n\n{text}', flush=True)
        folder = ROOT / 'build/bench'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'python-{name}.json').write_text(json.dumps({'torch': version, 'rows': rows}, indent=1))
        if '--write' in sys.argv:
            path = ROOT / 'docs/benchmarks.md'
            begin, end = f'<!-- begin python-{name} -->', f'<!-- end python-{name} -->'
            before, rest = path.read_text().split(begin, 1)
            path.write_text(before + begin + '\n' + text + '\n' + end + rest.split(end, 1)[1])


if __name__ == '__main__':
    main()
