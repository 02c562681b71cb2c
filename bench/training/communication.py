"""What each topology sends for one gradient: the lecture's formulas beside what the workers' counters say."""
from runs import job, run, table

HIDDEN = 128
PARAMETERS = 784 * HIDDEN + HIDDEN + HIDDEN * 10 + 10
K = 4 * PARAMETERS  # bytes of a gradient
RANKS = range(1, 9)

# name, synchronization, formula in words, bytes of all in one step
TOPOLOGIES = [
    ('Ring', {'topology': 'Ring'}, '2k(n-1)', lambda n: 2 * K * (n - 1)),
    ('HalvingDoubling', {'topology': 'HalvingDoubling'}, '2k(n-1)', lambda n: 2 * K * (n - 1)),
    ('Tree', {'topology': 'Tree'}, '2k(n-1)', lambda n: 2 * K * (n - 1)),
    ('Direct', {'topology': 'Direct'}, '2k(n-1)', lambda n: 2 * K * (n - 1)),
    ('AllToAll', {'topology': 'AllToAll'}, 'kn(n-1)', lambda n: K * n * (n - 1)),
    ('ParameterServer, s = 1', {'topology': 'ParameterServer', 'parameterServers': {'shards': 1}}, 'kn up', lambda n: K * n),
    ('ParameterServer, s = 2', {'topology': 'ParameterServer', 'parameterServers': {'shards': 2}}, 'kn up', lambda n: K * n),
    ('Gossip, ring', {'topology': 'Gossip', 'gossip': {'graph': 'Ring'}}, '2kn (n > 2), kn (n = 2)', lambda n: K * n * min(n - 1, 2)),
]


def measure():
    rows = []
    for name, synchronization, words, formula in TOPOLOGIES:
        for ranks in RANKS:
            told = run(job(ranks, synchronization, batch_size=3000 // ranks))  # 20 steps whatever n is
            rows.append({'topology': name, 'formula': words, 'ranks': ranks, 'expected': formula(ranks) * told['steps'],
                         'counted': told.get('payloadBytesSent', 0), 'of_workers': told.get('payloadBytesExpected', 0), 'steps': told['steps'],
                         'seconds': told['seconds']})
    return rows


def tables(rows):
    lines = []
    for name, _, words, _ in TOPOLOGIES:
        of = [row for row in rows if row['topology'] == name]
        cells = []
        for row in of:
            equal = row['counted'] == row['expected']
            cells.append(f"{row['counted'] / row['steps'] / K:.2f} k{'' if equal else ' (formula ' + format(row['expected'] / row['steps'] / K, '.2f') + ')'}")
        lines.append([name, words, *cells])
    return (f'Bytes that the workers send for one gradient of k = {K:,} bytes, in k, by their own counters of what the connections took; where nothing stands '
            'behind it, the sum of the whole run is the formula\'s to the byte.\n\n' + table(['topology', 'formula, all workers', *(f'n = {n}' for n in RANKS)], lines))
