"""The tables of training: python3 bench/training/main.py [--write] [NAME...]; goodput takes ten minutes, or MUSTER_BENCH_MINUTES

Each prints its table; --write also puts it into docs/benchmarks.md, between the comments of its name."""
import json
import pathlib
import sys

import asynchrony
import bits
import communication
import goodput
import local_steps
import peers
import recovery
from runs import ROOT

TABLES = {'communication': communication, 'asynchrony': asynchrony, 'bits': bits, 'local_steps': local_steps, 'peers': peers, 'recovery': recovery, 'goodput': goodput}


def write(name, text):
    path = ROOT / 'docs/benchmarks.md'
    page = path.read_text()
    begin, end = f'<!-- begin {name} -->', f'<!-- end {name} -->'
    before, rest = page.split(begin, 1)
    path.write_text(before + begin + '\n' + text + '\n' + end + rest.split(end, 1)[1])


def main():
    arguments = sys.argv[1:]
    names = [argument for argument in arguments if not argument.startswith('--')] or [name for name in TABLES if name not in ('recovery', 'goodput')]
    unknown = [name for name in names if name not in TABLES] + [a for a in arguments if a.startswith('--') and a != '--write']
    if unknown:
        sys.exit(f'bench training: there is no {unknown[0]}; there are: {" ".join(TABLES)}, and --write')
    for name in names:
        rows = TABLES[name].measure()
        text = TABLES[name].tables(rows)
        print(f'\n## {name}\n\n{text}', flush=True)
        folder = ROOT / 'build/bench'
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{name}.json').write_text(json.dumps(rows, indent=1))
        if '--write' in arguments:
            write(name, text)


if __name__ == '__main__':
    main()
