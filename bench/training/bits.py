"""What the width of a value costs and brings."""
from runs import job, median, run, table

WORKERS = 4
EPOCHS = 4
ROUNDS = 3
BITS = (32, 16, 8, 4, 2, 1)


def measure():
    rows = []
    for _ in range(ROUNDS):
        for bits in BITS:
            told = run(job(WORKERS, {'topology': 'Direct'}, batch_size=64, epochs=EPOCHS, compression={'quantizationBits': bits} if bits < 32 else None))
            rows.append({'bits': bits, 'bytes': told['payloadBytesSent'] / told['steps'], 'equal': told['payloadBytesSent'] == told['payloadBytesExpected'],
                         'accuracy': told['accuracy'], 'rate': told['examplesPerSecond']})
    return rows


def tables(rows):
    whole = median([row['bytes'] for row in rows if row['bits'] == 32])
    lines = []
    for bits in BITS:
        of = [row for row in rows if row['bits'] == bits]
        sent = median([row['bytes'] for row in of])
        lines.append([bits, f'{sent:,.0f}', f'{sent / whole:.4f}', f'{bits / 32 + (1 / 512 if bits < 16 else 0):.4f}', 'yes' if all(row['equal'] for row in of) else 'NO',
                      f"{100 * median([row['accuracy'] for row in of]):.1f} %", f"{median([row['rate'] for row in of]):,.0f}"])
    return (f'{WORKERS} workers, topology Direct, {EPOCHS} epochs, medians of {ROUNDS} runs. The cost falls in a line with the width: bits / 32, and 1 / 512 more for the scale of each '
            '512 values.\n\n' + table(['bits', 'bytes a step, all workers', 'of 32 bits', 'the line', 'equal to the formula', 'accuracy', 'images/s'], lines))
