"""How much of the time a training goes on while its workers are killed, one every 30 s on average."""
import os
import random
import signal
import time

from runs import Run, job, metric, table

WORKERS = 4
MINUTES = float(os.environ.get('MUSTER_BENCH_MINUTES', '10'))
MEAN_SECONDS = 30
STALL = 0.5  # seconds without a step; steps take milliseconds


def measure():
    seed = int.from_bytes(os.urandom(4), 'big')
    draw = random.Random(seed)
    manifest = job(WORKERS, {'topology': 'Ring'}, batch_size=64, epochs=10000)
    manifest['spec']['runPolicy'] = {'maxRestarts': 1000}
    begun = Run(manifest)
    addresses = [begun.worker(index)[1] for index in range(WORKERS)]
    while not metric(addresses[0], 'muster_worker_step'):
        time.sleep(0.05)
    start = last_change = time.monotonic()
    next_kill = start + draw.expovariate(1 / MEAN_SECONDS)
    best, stalled, kills = 0, 0.0, 0
    while time.monotonic() < start + 60 * MINUTES:
        if begun.process.poll() is not None:
            raise SystemExit('the training ended by itself')
        now = time.monotonic()
        if now >= next_kill:
            next_kill = now + draw.expovariate(1 / MEAN_SECONDS)
            try:
                os.kill(begun.worker(draw.randrange(WORKERS))[0], signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        # A pod keeps its address when its worker is replaced, or gets another: ask whoever is there.
        step = max((metric(ip, 'muster_worker_step') or 0 for ip in {environment['MUSTER_POD_IP'] for _, environment in begun.workers()}), default=0)
        if step > best:
            now = time.monotonic()
            if now - last_change > STALL:
                stalled += now - last_change
            best, last_change = step, now
        time.sleep(0.02)
    elapsed = time.monotonic() - start
    begun.process.send_signal(signal.SIGINT)
    begun.process.communicate(timeout=60)
    return [{'seed': seed, 'seconds': elapsed, 'kills': kills, 'stalled': stalled, 'steps': best, 'goodput': 1 - stalled / elapsed}]


def tables(rows):
    row = rows[0]
    return (f'Four workers, each {MEAN_SECONDS} s on average one of them is killed; time counts as lost while no step is made for more than {STALL} s.\n\n' +
            table(['time', 'kills', 'steps', 'lost', 'goodput'],
                  [[f"{row['seconds'] / 60:.1f} min", row['kills'], f"{row['steps']:,.0f}", f"{row['stalled']:.1f} s", f"{row['goodput']:.3f}"]]))
