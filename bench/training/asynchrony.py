"""Synchronous against asynchronous updates, with and without a worker that is slow."""
from runs import Run, Straggler, job, median, table

WORKERS = 4
EPOCHS = 4
ROUNDS = 3
WAYS = [
    ('Ring, synchronous', {'topology': 'Ring'}, 64, 0.05),
    ('ParameterServer, synchronous', {'topology': 'ParameterServer', 'parameterServers': {'shards': 2}}, 64, 0.05),
    ('ParameterServer, asynchronous', {'topology': 'ParameterServer', 'parameterServers': {'shards': 2}, 'updates': 'Asynchronous'}, 64, 0.02),
    ('ParameterServer, asynchronous, maxStaleness 16, DC-ASGD',
     {'topology': 'ParameterServer', 'parameterServers': {'shards': 2}, 'updates': 'Asynchronous', 'maxStaleness': 16, 'delayCompensation': 0.04}, 64, 0.02),
]
TARGET = 0.82


def first_epoch_at(history, steps, epochs):
    """The first epoch after which the test accuracy reached TARGET; None: none."""
    for point in history:
        if point['accuracy'] is not None and point['accuracy'] >= TARGET:
            return round(point['at'] / steps * epochs)
    return None


def measure():
    rows = []
    for straggler in (False, True):
        for _ in range(ROUNDS):
            for name, synchronization, batch, rate in WAYS:
                # Asynchronous updates that pile momentum on stale gradients diverge: none there, as for its rival without one.
                begun = Run(job(WORKERS, synchronization, batch_size=batch, epochs=EPOCHS, learning_rate=rate, momentum=0.9 if rate == 0.05 else 0.5))
                if straggler:
                    Straggler(begun, WORKERS - 1)
                told = begun.result()
                rows.append({'way': name, 'straggler': straggler, 'seconds': told['seconds'], 'accuracy': told['accuracy'], 'steps': told['steps'],
                             'target_epoch': first_epoch_at(told['history'], told['steps'], EPOCHS)})
    return rows


def tables(rows):
    lines = []
    for straggler in (False, True):
        base = None
        for name, *_ in WAYS:
            of = [row for row in rows if row['way'] == name and row['straggler'] == straggler]
            seconds = median([row['seconds'] for row in of]) / EPOCHS
            base = base or seconds
            reached = [row['target_epoch'] for row in of if row['target_epoch'] is not None]
            lines.append([name, 'one of four runs 10 of 100 ms' if straggler else 'none', f'{seconds:.2f} s', f'{base / seconds:.2f}x', f"{of[0]['steps']:,}",
                          f'{median(reached):.0f}' if len(reached) == len(of) else f'not reached in {EPOCHS}', f"{100 * median([row['accuracy'] for row in of]):.1f} %"])
    return (f'{WORKERS} workers, {EPOCHS} epochs, medians of {ROUNDS} runs in turns; an epoch is the time of the whole run by its epochs, with start-up and evaluations. The lecture says: '
            'synchronous is slow an epoch and fast to converge, with better accuracy; asynchronous is fast an epoch, slow to converge, and worse.\n\n' +
            table(['updates', 'straggler', 'an epoch', 'speed', 'updates of the model', f'epochs to {100 * TARGET:.0f} %', 'accuracy at the end'], lines))
