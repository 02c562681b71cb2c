#!/usr/bin/env python3
"""Dashboards and alerts on paper: layout, words, names of metrics; rules by promtool where it is there."""
import re
import shutil
import subprocess
import tempfile
import pathlib
import unittest

import boards


class Dashboards(unittest.TestCase):
    def test_they_are_what_their_source_says(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([boards.FOLDER / 'make', folder], check=True)
            for name in boards.NAMES:
                self.assertEqual((boards.FOLDER / f'{name}.json').read_text(), (pathlib.Path(folder) / f'{name}.json').read_text(),
                                 f'dashboards/{name}.json is not what dashboards/panels.py says: run ./dev docs and commit it')

    def test_every_panel_says_what_it_is_and_fits(self):
        for name in boards.NAMES:
            board = boards.load(name)
            self.assertEqual(board['uid'], 'muster-' + name)
            ids = [panel['id'] for panel in board['panels']]
            self.assertEqual(len(ids), len(set(ids)), name)
            taken = set()
            for panel in board['panels']:
                at = f'{name}: {panel["title"]}'
                place = panel['gridPos']
                self.assertLessEqual(place['x'] + place['w'], 24, at)
                cells = {(x, y) for x in range(place['x'], place['x'] + place['w']) for y in range(place['y'], place['y'] + place['h'])}
                self.assertFalse(cells & taken, at + ' lies over another')
                taken |= cells
                if panel['type'] == 'row':
                    continue
                self.assertTrue(panel['description'].endswith('.'), at)
                self.assertTrue(panel['targets'], at)
                for part in [panel] + panel['targets']:
                    self.assertEqual(part['datasource']['uid'], '${datasource}', at)

    def test_queries_use_known_metrics_and_no_made_up_zero(self):
        for name in boards.NAMES:
            board = boards.load(name)
            variables = [v['name'] for v in board['templating']['list']]
            for panel in boards.panels(board):
                for query in panel['targets']:
                    at = f'{name}: {panel["title"]}: {query["expr"]}'
                    self.assertNotIn('vector(', query['expr'], at)
                    for used in re.findall(r'\$(\w+)', query['expr'].replace('"$1"', '')):
                        self.assertIn(used, variables + ['__rate_interval'], at)
                    metrics = boards.metrics_in(query['expr'])
                    self.assertTrue(metrics, at)
                    for metric in metrics:
                        self.assertTrue(boards.known(metric), f'{at}: {metric} is in no catalogue')

    def test_they_link_to_each_other(self):
        for name in boards.NAMES:
            board = boards.load(name)
            self.assertIn('muster', board['tags'])
            self.assertEqual([(link['type'], link['tags'], link['includeVars']) for link in board['links']], [('dashboards', ['muster'], True)])


class Alerts(unittest.TestCase):
    def test_each_has_severity_words_and_a_runbook_entry(self):
        text = boards.RULES.read_text()
        headings = set(re.findall(r'^### (Muster\w+)$', (boards.ROOT / 'docs' / 'operations.md').read_text(), flags=re.M))
        blocks = re.split(r'^  - alert: ', text, flags=re.M)[1:]
        self.assertGreater(len(blocks), 20)
        for block in blocks:
            name = block.split('\n', 1)[0]
            self.assertRegex(block, r'labels: \{severity: (critical|warning|info)\}', name)
            for word in ('summary', 'description'):
                self.assertRegex(block, rf'\n      {word}: \S', name)
            self.assertIn(f'\n      runbook: docs/operations.md#{name.lower()}\n', block, name)
            self.assertIn(name, headings, 'docs/operations.md has no such heading')
        self.assertEqual(headings, set(boards.expressions_of_rules()), 'docs/operations.md tells of other alerts')

    def test_they_use_known_metrics(self):
        for name, expr in boards.expressions_of_rules().items():
            metrics = boards.metrics_in(expr)
            self.assertTrue(metrics, name)
            for metric in metrics:
                self.assertTrue(boards.known(metric), f'{name}: {metric} is in no catalogue')

    @unittest.skipUnless(shutil.which('promtool'), 'promtool is not on PATH')
    def test_each_fires_for_what_is_wrong_alone(self):
        cases = (pathlib.Path(__file__).parent / 'alerts_test.yaml').read_text()
        for name in boards.expressions_of_rules():
            self.assertIn(f'ALERTS{{alertname="{name}",alertstate="firing",severity=', cases, f'no case lets {name} fire')
        with tempfile.TemporaryDirectory() as folder:
            for source in (boards.RULES, pathlib.Path(__file__).parent / 'alerts_test.yaml'):
                shutil.copy(source, folder)
            for verb in (['check', 'rules', 'alerts.yaml'], ['test', 'rules', 'alerts_test.yaml']):
                done = subprocess.run(['promtool'] + verb, cwd=folder, capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == '__main__':
    unittest.main()
