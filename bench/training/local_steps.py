"""What local steps, and frames to parameter servers, save and cost."""
import os

from runs import job, median, run, table

WORKERS = 4
EPOCHS = int(os.environ.get('MUSTER_BENCH_EPOCHS', '4'))
ROUNDS = int(os.environ.get('MUSTER_BENCH_ROUNDS', '3'))
RING = {'topology': 'Ring'}
SERVERS = {'topology': 'ParameterServer', 'parameterServers': {'shards': 2}}
AVERAGE = {'optimizer': 'SGD'}
WAYS = {
    'Ring': (RING, None),
    **{f'Ring, localSteps {steps}, mean': ({**RING, 'localSteps': steps, 'outer': AVERAGE}, None) for steps in (4, 16, 64)},
    **{f'Ring, localSteps {steps}, Nesterov': ({**RING, 'localSteps': steps}, None) for steps in (4, 16, 64)},
    'Direct, localSteps 16, Nesterov, 8 bits': ({'topology': 'Direct', 'localSteps': 16}, {'quantizationBits': 8}),
    'ParameterServer': (SERVERS, None),
    'ParameterServer, 8 bits': (SERVERS, {'quantizationBits': 8}),
    'ParameterServer, top 1 %': (SERVERS, {'topKFraction': 0.01}),
}


def measure():
    rows = []
    for _ in range(ROUNDS):
        for way, (synchronization, compression) in WAYS.items():
            told = run(job(WORKERS, synchronization, batch_size=64, epochs=EPOCHS, compression=compression))
            rows.append({'way': way, 'bytes': told['payloadBytesSent'] / told['steps'], 'equal': told['payloadBytesSent'] == told['payloadBytesExpected'],
                         'loss': told['loss'], 'accuracy': told['accuracy'], 'rate': told['examplesPerSecond']})
    return rows


def tables(rows):
    whole = median([row['bytes'] for row in rows if row['way'] == 'Ring'])
    lines = []
    for way in WAYS:
        of = [row for row in rows if row['way'] == way]
        sent = median([row['bytes'] for row in of])
        lines.append([way, f'{sent:,.0f}', f'{sent / whole:.4f}', 'yes' if all(row['equal'] for row in of) else 'NO', f"{median([row['loss'] for row in of]):.3f}",
                      f"{100 * median([row['accuracy'] for row in of]):.1f} %", f"{median([row['rate'] for row in of]):,.0f}"])
    return (f'{WORKERS} workers, SGD with momentum, {EPOCHS} epochs, medians of {ROUNDS} runs. Bytes are those that workers send: gradients, with parameter servers those that go up.\n\n' +
            table(['way', 'bytes a step, all workers', 'of the ring', 'equal to the formula', 'loss', 'accuracy', 'images/s'], lines))
