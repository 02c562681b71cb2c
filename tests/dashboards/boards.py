"""The dashboards and alert rules of the repository, as Grafana and Prometheus read them."""
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'dashboards'
RULES = FOLDER / 'alerts.yaml'
NAMES = ('operator', 'jobs', 'rounds', 'gpus')


def load(name):
    return json.loads((FOLDER / f'{name}.json').read_text())


def panels(board):
    return [panel for panel in board['panels'] if panel['type'] != 'row']


def substitute(expr, variables):
    """As Grafana's Prometheus data source does: $name and ${name}, the longest name first."""
    for name in sorted(variables, key=len, reverse=True):
        expr = expr.replace('${' + name + '}', variables[name]).replace('$' + name, variables[name])
    return expr


def expressions_of_rules():
    """name -> expression"""
    return {rule['alert']: rule['expr'] for group in yaml.safe_load(RULES.read_text())['groups'] for rule in group['rules']}


def rules_with(minute_seconds):
    """The rules with every minute as so many seconds, so that a test sees them fire."""
    return re.sub(r'(?<=\[)(\d+)m(?=\])|(?<=for: )(\d+)m$',
                  lambda match: f'{round(int(match.group(1) or match.group(2)) * minute_seconds * 1000)}ms', RULES.read_text(), flags=re.M)


HISTOGRAM_PARTS = ('_bucket', '_sum', '_count')


def documented():
    """The metrics of docs/metrics.md, which is the catalogue."""
    return set(re.findall(r'^\| `([a-z0-9_]+)`', (ROOT / 'docs' / 'metrics.md').read_text(), flags=re.M))


def known(metric):
    catalogue = documented()
    return metric.startswith('DCGM_FI_') or metric in catalogue or \
        any(metric.endswith(part) and metric[:-len(part)] in catalogue for part in HISTOGRAM_PARTS)


# Words of PromQL that look like metrics.
WORDS = set('''abs absent avg by and or unless on ignoring group_left group_right sum max min count quantile rate increase bool
histogram_quantile label_replace changes avg_over_time last_over_time deriv'''.split())


def metrics_in(expr):
    """Names of the metrics that an expression asks for."""
    bare = re.sub(r'"[^"]*"', '""', expr)
    bare = re.sub(r'\{[^}]*\}', '', bare)
    bare = re.sub(r'\[[^\]]*\]', '', bare)
    bare = re.sub(r'\b(by|on|ignoring|without|group_left|group_right)\s*\([^)]*\)', '', bare)
    return {word for word in re.findall(r'[A-Za-z_:][A-Za-z0-9_:]*', bare) if word not in WORDS and not re.fullmatch(r'\d*e\d+|e\d+', word)}
