"""Images a second and time to an accuracy: Muster against PyTorch's DDP over Gloo, same network, data, batches, threads."""
import json
import os
import pathlib
import subprocess

from recovery import python_with_torch
from runs import job, median, run, table

ROUNDS = 3
CASES = [('mlp', 2, 4), ('mlp', 4, 4), ('cnn', 2, 2), ('cnn', 4, 2)]  # model, workers, epochs


def ddp(model, workers, epochs):
    script = pathlib.Path(__file__).resolve().parent / 'ddp_gloo.py'
    done = subprocess.run([python_with_torch(), '-m', 'torch.distributed.run', f'--nproc_per_node={workers}', '--rdzv_backend=c10d', '--rdzv_endpoint=127.0.0.1:0', str(script),
                           '--model', model, '--epochs', str(epochs), '--batch', '64'],
                          capture_output=True, text=True, check=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    last = json.loads([line for line in done.stdout.splitlines() if line.startswith('{')][-1])
    return {'rate': last['images'] / last['seconds'], 'accuracy': last['accuracy']}


def muster(model, workers, epochs):
    told = run(job(workers, {'topology': 'Auto'}, batch_size=64, epochs=epochs, model={'name': 'mlp', 'hidden': [128]} if model == 'mlp' else {'name': 'cnn'}))
    return {'rate': told['examplesPerSecond'], 'accuracy': told['accuracy'], 'topology': told['topology']}


def measure():
    rows = []
    for model, workers, epochs in CASES:
        for _ in range(ROUNDS):
            rows.append({'model': model, 'workers': workers, 'who': 'muster', **muster(model, workers, epochs)})
            if python_with_torch():
                rows.append({'model': model, 'workers': workers, 'who': 'ddp', **ddp(model, workers, epochs)})
    return rows


def tables(rows):
    version = 'none is installed'
    if python_with_torch():
        version = subprocess.run([python_with_torch(), '-c', 'import torch; print(torch.__version__)'], capture_output=True, text=True, check=True).stdout.strip()
    lines = []
    for model, workers, epochs in CASES:
        cells = [model, workers, epochs]
        medians = {}
        for who in ('muster', 'ddp'):
            of = [row for row in rows if (row['model'], row['workers'], row['who']) == (model, workers, who)]
            if of:
                medians[who] = median([row['rate'] for row in of])
            cells += [f'{medians[who]:,.0f}', f"{100 * median([row['accuracy'] for row in of]):.1f} %"] if of else ['-', '-']
        cells.append(f"{medians['muster'] / medians['ddp']:.2f}x" if 'ddp' in medians else '-')
        lines.append(cells)
    return (f'Batches of 64 a worker, SGD 0.05 with momentum 0.9, one thread a rank, medians of {ROUNDS} runs in turns; torch {version}. Muster: topology Auto.\n\n' +
            table(['network', 'workers', 'epochs', 'Muster, images/s', 'accuracy', 'DDP + Gloo, images/s', 'accuracy', 'ratio'], lines))
