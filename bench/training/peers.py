"""Images a second and time to an accuracy: Muster against PyTorch's DDP over Gloo, same network, data, batches, threads."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from runs import job, median, run, table

ROUNDS = 3
CASES = [('mlp', 2, 4), ('mlp', 4, 4), ('cnn', 2, 2), ('cnn', 4, 2)]  # model, workers, epochs


def pythons():
    """Interpreters that have torch, by its version: TORCH_PYTHON, this one, and that of Debian's package python3-torch."""
    found = {}
    for python in (os.environ.get('TORCH_PYTHON'), sys.executable, '/usr/bin/python3'):
        told = python and subprocess.run([python, '-c', 'import torch; print(torch.__version__)'], capture_output=True, text=True, check=False)
        if told and told.returncode == 0:
            found.setdefault(told.stdout.strip(), python)
    return found


def ddp(python, model, workers, epochs):
    script = pathlib.Path(__file__).resolve().parent / 'ddp_gloo.py'
    with tempfile.TemporaryDirectory(prefix='muster-bench-') as folder:
        ranks = [subprocess.Popen([python, str(script), '--model', model, '--epochs', str(epochs), '--batch', '64', '--meet', f'{folder}/meet,{rank},{workers}'],
                                  stdout=subprocess.PIPE, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1', 'GLOO_SOCKET_IFNAME': 'lo'}) for rank in range(workers)]
        told = [rank.communicate(timeout=600)[0] for rank in ranks]
    if any(rank.returncode != 0 for rank in ranks):
        raise SystemExit('the peer ended with an error')
    last = json.loads(told[0].splitlines()[-1])
    return {'rate': last['images'] / last['seconds'], 'accuracy': last['accuracy']}


def muster(model, workers, epochs):
    told = run(job(workers, {'topology': 'Auto'}, batch_size=64, epochs=epochs, model={'name': 'mlp', 'hidden': [128]} if model == 'mlp' else {'name': 'cnn'}))
    return {'rate': told['examplesPerSecond'], 'accuracy': told['accuracy'], 'topology': told['topology']}


def measure():
    rows = []
    for model, workers, epochs in CASES:
        for _ in range(ROUNDS):
            rows.append({'model': model, 'workers': workers, 'who': 'muster', **muster(model, workers, epochs)})
            for version, python in pythons().items():
                rows.append({'model': model, 'workers': workers, 'who': 'DDP + Gloo, torch ' + version, **ddp(python, model, workers, epochs)})
    return rows


def tables(rows):
    lines = []
    for model, workers, epochs in CASES:
        of_case = [row for row in rows if (row['model'], row['workers']) == (model, workers)]
        ours = median([row['rate'] for row in of_case if row['who'] == 'muster'])
        for who in dict.fromkeys(row['who'] for row in of_case):
            of = [row for row in of_case if row['who'] == who]
            rate = median([row['rate'] for row in of])
            lines.append([model, workers, epochs, 'Muster, topology Auto' if who == 'muster' else who, f'{rate:,.0f}', f'{ours / rate:.2f}x',
                          f"{100 * median([row['accuracy'] for row in of]):.1f} %"])
    return (f'Batches of 64 a worker, SGD 0.05 with momentum 0.9, one thread a rank, medians of {ROUNDS} runs in turns; the ratio says how many times as fast Muster is.\n\n' +
            table(['network', 'workers', 'epochs', 'by', 'images/s', 'Muster', 'accuracy'], lines))
