#!/usr/bin/env python3
"""A real Prometheus scrapes the real programs during a real run: every panel has data, its figures are those of the run, and alerts
fire for what is done to the run, and for nothing else. One minute of the rules is half a second here."""
import http.server
import math
import pathlib
import re
import socket
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

import boards
import workloads
from cluster import Cluster, wait_for
from prometheus import PROGRAM, SCRAPE_SECONDS, Prometheus, discovered, honors_labels_of_the_operator, of_pods

MINUTE = 0.5  # seconds of a minute of the rules
RATE = '4s'
HISTORY = 4 + 2 * SCRAPE_SECONDS  # seconds back that the healthy run is asked of
VARIABLES = {'namespace': '.*', 'job': '.*', '__rate_interval': RATE, 'datasource': 'prometheus'}
EXPORTERS = {'4.8': {'honor_labels': True}, '4.9': {'honor_labels': False}}
EXPORTER_FOLDER = pathlib.Path(__file__).parent / 'exporter'


class Exporter:
    """A recorded page of DCGM exporter; `change` edits what it answers from now on."""

    def __init__(self, release):
        self.page = (EXPORTER_FOLDER / f'dcgm-exporter-{release}.txt').read_text()
        exporter = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header('Content-Type', 'text/plain; version=0.0.4')
                self.end_headers()
                self.wfile.write(exporter.page.encode())

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # a scrape that was broken off

        self.server = Server(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f'127.0.0.1:{self.server.server_port}'

    def change(self, pattern, value):
        self.page = re.sub(rf'^({pattern}.*) \S+$', rf'\1 {value}', self.page, flags=re.M)


def metric_page(address):
    """name{labels} -> value of a page of /metrics."""
    with urllib.request.urlopen(f'http://{address}/metrics', timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rsplit(' ', 1)[0]: float(line.rsplit(' ', 1)[1]) for line in lines if line and not line.startswith('#')}


class Run(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix='muster-dashboards.')
        folder = pathlib.Path(cls.temporary.name)
        cls.cluster = Cluster(folder)
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.addClassCleanup(cls.cluster.end)
        operators = {name: cls.cluster.start_operator(name) for name in ('operator-a', 'operator-b')}
        cls.exporters = {release: Exporter(release) for release in EXPORTERS}
        jobs = {'operator': {'honor_labels': honors_labels_of_the_operator()}, 'pods': {'relabel_configs': of_pods()},
                **{f'dcgm-{release}': more for release, more in EXPORTERS.items()}}
        cls.prometheus = Prometheus(folder, jobs, boards.rules_with(MINUTE))
        cls.addClassCleanup(cls.prometheus.end)
        cls.prometheus.set_targets('operator', [{'targets': [address], 'labels': {'namespace': 'muster-system', 'pod': name}}
                                                for name, address in operators.items()])
        for release, exporter in cls.exporters.items():
            labels = {} if EXPORTERS[release]['honor_labels'] else {'namespace': 'gpu-operator', 'pod': 'dcgm-exporter-x'}
            cls.prometheus.set_targets(f'dcgm-{release}', [{'targets': [exporter.address], 'labels': labels}])
        cls.stop_discovery = threading.Event()
        cls.discovery = threading.Thread(target=cls.discover)
        cls.discovery.start()
        cls.addClassCleanup(lambda: (cls.stop_discovery.set(), cls.discovery.join()))
        cls.begin = time.time()
        for thing in workloads.ring() + workloads.served() + workloads.rounds() + workloads.waiting():
            cls.cluster.apply(thing)

    @classmethod
    def discover(cls):
        """As Prometheus' discovery of pods, which Debian's is built without."""
        before = None
        while not cls.stop_discovery.wait(0.2):
            try:
                pods = [pod for pod in cls.cluster.pods() if pod.get('status', {}).get('phase') == 'Running' and pod['status'].get('podIP')]
            except OSError:
                continue  # it ends
            targets = [target for pod in pods for target in discovered(pod)]
            if targets != before:
                cls.prometheus.set_targets('pods', targets)
            before = targets

    def whole_instant(self):
        """A moment ago, when every scrape had been answered: what is asked at it is of the same scrapes, whichever is asked."""
        def found():
            at = time.time() - 2 * SCRAPE_SECONDS
            return at if self.prometheus.value('min(up)', at, default=0) == 1 else None
        return wait_for('an instant at which every scrape was answered', 30, found)

    def of_one_instant(self):
        at = self.whole_instant()
        return lambda expr: self.prometheus.value(expr, at)

    def progress(self, name, plural='distributedjobs'):
        return self.cluster.job(name, plural).get('status', {}).get('progress') or {}

    def test_dashboards_and_alerts(self):
        for phase in (self.until_it_runs, self.nothing_fires_in_a_healthy_run, self.steps_and_bytes_are_those_of_the_job,
                      self.servers_make_the_updates_of_the_workers_steps,
                      self.rounds_clients_and_bytes_are_those_of_the_federation, self.disturb, self.restarts_are_counted,
                      self.every_panel_has_data, self.both_vocabularies_of_the_gpu_exporter_say_the_same, self.its_end_is_told):
            with self.subTest(phase.__name__):
                phase()

    def until_it_runs(self):
        wait_for('80 steps', 120, lambda: self.progress('ring').get('step', 0) >= 80)
        wait_for('3 rounds', 120, lambda: self.progress('rounds', 'federatedrounds').get('round', 0) >= 3)
        # So that rates, and questions of some seconds ago, are those of steps and rounds: Prometheus takes new targets after up to 5 s.
        known = 'count({__name__=~"muster_worker_step|muster_aggregator_round"} > 0)'
        wait_for('80 steps by servers', 60, lambda: self.progress('served').get('step', 0) >= 80)
        wait_for('scrapes of what runs', 40,
                 lambda: self.prometheus.value(known, time.time() - HISTORY, default=0) == workloads.WORKERS + workloads.SERVED + 1)

    def nothing_fires_in_a_healthy_run(self):
        # A minute is half a second: what waits for its GPU has done so for 30 of these minutes, and a machine that is busy with other
        # things for two seconds is a bad quarter of an hour. Such an alert ends by itself.
        wait_for('no alert', 30, lambda: {name for name, alert in self.prometheus.firing().items()
                                          if alert['labels']['severity'] != 'info'} <= {'MusterJobWaiting'})

    def steps_and_bytes_are_those_of_the_job(self):
        address = next(target['targets'][0] for pod in self.cluster.pods() if pod['metadata']['name'] == 'ring-worker-0'
                       for target in discovered(pod) if target['targets'][0].endswith(':8472'))
        before = metric_page(address)['muster_worker_step']
        step = wait_for('a scrape', 20, lambda: max(0, self.prometheus.value('max(muster_worker_step{job_name="ring"})', default=0) - before)) + before
        after = metric_page(address)['muster_worker_step']
        self.assertLessEqual(step, after + 1)  # ranks may differ by one
        self.assertEqual(self.prometheus.value('max(muster_worker_steps_wanted{job_name="ring"})'), self.progress('ring')['totalSteps'])
        # 2k(n-1)/n a worker and step, so 2k(n-1) a step by all. A scrape may fall between two figures of one step.
        k = int(self.progress('ring')['gradientBytes'])
        expected = 2 * k * (workloads.WORKERS - 1)
        ask = self.of_one_instant()
        sent, steps = (ask(f'sum(muster_worker_{name}_total{{job_name="ring"}})') for name in ('payload_bytes', 'steps'))
        self.assertLessEqual(abs(sent - steps * expected / workloads.WORKERS), expected)
        formula = self.prometheus.value('sum(muster_worker_payload_bytes_total{job_name="ring"}) / sum(muster_worker_payload_bytes_expected_total{job_name="ring"})')
        self.assertAlmostEqual(formula, 1, delta=0.02)
        # The time of a worker's thread is all accounted for but for what a step has between its parts. A late scrape bends a rate.
        query = f'sum by (pod) (rate(muster_worker_seconds_total{{job_name="ring"}}[{RATE}]))'
        wait_for('seconds of each second', 30, lambda: [0.7 < share < 1.1 for _, share in self.prometheus.instant(query)] == [True] * workloads.WORKERS)

    def servers_make_the_updates_of_the_workers_steps(self):
        ask = self.of_one_instant()
        self.assertEqual(ask('count(muster_server_replication_bytes_total{job_name="served",role="server"} > 0)'), workloads.SERVERS)
        # Each server makes an update of its part for each step of the job; it is asked of its figures now and then.
        steps = ask('min(muster_worker_step{job_name="served",role="worker"})')
        updates = self.prometheus.instant('sum by (pod) (muster_server_updates_total{job_name="served",role="server"})', self.whole_instant())
        self.assertEqual(len(updates), workloads.SERVERS)
        for _, made in updates:
            self.assertGreater(made, steps * 0.5)
        panels = {panel['title']: self.whole_run(panel['targets'][0]) for panel in boards.panels(boards.load('jobs'))}
        for title in ('Updates', 'Parameters sent', 'Replication', 'Memory of servers', 'CPU of servers'):
            self.assertEqual({labels['pod'] for labels, _ in panels[title]}, {'served-server-0', 'served-server-1'}, title)
        workers = {labels['job_name']: max(value for _, value in points) for labels, points in panels['Workers']}
        self.assertEqual(workers, {'ring': workloads.WORKERS, 'served': workloads.SERVED}, 'servers are no workers')

    def rounds_clients_and_bytes_are_those_of_the_federation(self):
        ask = self.of_one_instant()
        self.assertEqual(ask('muster_aggregator_rounds'), 100000)
        self.assertEqual(ask('sum(muster_device_clients)'), workloads.CLIENTS)
        self.assertLessEqual(ask('muster_aggregator_connected_clients'), workloads.CLIENTS)
        self.assertEqual(ask('muster_aggregator_round_clients{state="selected"}'), workloads.COHORT)
        committed = ask('sum(muster_aggregator_round_seconds_count{outcome="committed"})')
        accepted = ask('muster_aggregator_updates_total{verdict="accepted"}')
        self.assertLessEqual(committed * workloads.COHORT, accepted)
        self.assertLessEqual(accepted, (committed + 1) * workloads.COHORT)
        self.assertLessEqual(abs(ask('muster_aggregator_round') - committed), 1)
        self.assertEqual(ask('muster_aggregator_updates_taken_total{staleness="0"}'), accepted)
        counted = ask('sum(muster_device_updates_settled_total{verdict="counted"})')
        self.assertTrue(0 < counted <= accepted)
        model = int(self.progress('rounds', 'federatedrounds')['modelBytes'])
        received = ask('muster_aggregator_bytes_total{direction="received"}')
        self.assertLessEqual(accepted * model, received)
        self.assertLessEqual(received, (accepted + workloads.COHORT) * model)
        moved = ask('sum(muster_aggregator_bytes_total) / sum(muster_aggregator_bytes_expected_total)')
        self.assertAlmostEqual(moved, 1, delta=0.35)  # models half sent, sampled five times a second
        self.assertTrue(0.05 < ask('muster_aggregator_test_accuracy') < 1)
        self.assertGreater(ask('muster_aggregator_step_norm'), 0)

    def disturb(self):
        """What an operator of a cluster sees some day, all at once."""
        for thing in workloads.broken():
            self.cluster.apply(thing)
        addresses = {pod['metadata']['name']: pod['status']['podIP'] for pod in self.cluster.pods() if pod.get('status', {}).get('podIP')}
        for name, port in (('ring-worker-1', 8470), ('rounds-aggregator-0', 8471)):
            for _ in range(8):
                with socket.create_connection((addresses[name], port), timeout=5) as stranger:
                    stranger.sendall(b'GET / HTTP/1.1\r\nHost: x\r\n\r\n')
        self.exporters['4.8'].change('DCGM_FI_DEV_XID_ERRORS{gpu="0"', 79)
        self.exporters['4.9'].change('DCGM_FI_DEV_XID_ERROR{gpu="0"', 79)
        self.exporters['4.8'].change('DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0"', 4335301032000 + 2000000)
        self.exporters['4.9'].change('DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL{gpu="0"', 4335301032 + 2000)
        self.fire('MusterUnknownConnections', 'MusterHostileClients', 'MusterGpuError', 'MusterJobFailed', 'MusterJobWaiting')
        self.cluster.kill_worker('ring-worker-1')
        self.fire('MusterJobRestartsNearLimit')
        resumed = wait_for('the job to resume', 90, lambda: self.cluster.job('ring')['status']['phase'] == 'Running' and
                           self.progress('ring').get('resumedFromStep'))
        wait_for('steps after the restart', 90, lambda: int(self.progress('ring').get('step', 0)) > int(resumed) + 60)

    def fire(self, *names):
        """Waits until all of them fire; each may end before the others begin."""
        seen = {}
        wait_for(f'alerts {names}', 40, lambda: seen.update(self.prometheus.firing()) or set(names) <= set(seen))
        for name in names:
            for text in seen[name]['annotations'].values():
                self.assertNotIn('error expanding', text)
                self.assertNotIn('<no value>', text)

    def restarts_are_counted(self):
        # ring and the one that replaces a worker, served, waiting and broken.
        created = 'sum(muster_pods_created_total{kind="DistributedJob"})'
        wait_for('the replacement', 30, lambda: self.prometheus.value(created, self.whole_instant()) == workloads.WORKERS + 3 + workloads.SERVED + workloads.SERVERS)
        ask = self.of_one_instant()
        self.assertEqual(ask('sum(muster_restarts_total{kind="DistributedJob"})'), 1)
        self.assertEqual(ask('max(muster_job_restarts{job_name="ring"})'), 1)
        self.assertEqual(ask('max(muster_job_restarts_max{job_name="ring"})'), 1)
        self.assertEqual(ask('sum(muster_finished_total{kind="DistributedJob",result="Failed"})'), 1)
        self.assertEqual(ask('sum(leader_election_master_status)'), 1)
        self.assertEqual(round(ask('sum(increase(muster_restarts_total[1h]))')), 1)
        waiting = self.prometheus.instant('max by (namespace, job_name, reason) (muster_job_info{phase="Pending"})')
        self.assertEqual([labels for labels, _ in waiting], [{'namespace': 'default', 'job_name': 'waiting', 'reason': 'Unschedulable'}])
        # The aggregator and two pods of clients.
        self.assertEqual(ask('sum(muster_pods_created_total{kind="FederatedRound"})'), 3)

    def whole_run(self, query):
        return self.prometheus.series(boards.substitute(query['expr'], VARIABLES), self.begin, time.time())

    def shown(self, query):
        """What the panel shows now: of a query that asks of one instant, that instant."""
        if not query['instant']:
            return self.whole_run(query)
        expr = boards.substitute(query['expr'], VARIABLES)
        return [(labels, [(0, value)]) for labels, value in self.prometheus.instant(expr, self.whole_instant()) if math.isfinite(value)]

    def every_panel_has_data(self):
        empty = []
        for name in boards.NAMES:
            for panel in boards.panels(boards.load(name)):
                for query in panel['targets']:
                    if panel['title'] == 'Scored updates':  # of strategy Scoring, which remembers nothing that other panels show
                        continue
                    if not self.whole_run(query):  # what a panel shows of running jobs is gone with them, which may have ended by now
                        empty.append(f'{name}: {panel["title"]}: {boards.substitute(query["expr"], VARIABLES)}')
        self.assertFalse(empty, '\n' + '\n'.join(empty))
        for name in boards.NAMES:
            for variable in boards.load(name)['templating']['list'][1:]:
                metric, label = re.fullmatch(r'label_values\((.*), (\w+)\)', variable['definition']).groups()
                series = self.prometheus.series(boards.substitute(metric, VARIABLES), self.begin, time.time())
                values = {labels.get(label) for labels, _ in series}
                self.assertTrue(values - {None}, variable['definition'])

    def both_vocabularies_of_the_gpu_exporter_say_the_same(self):
        for panel in boards.panels(boards.load('gpus')):
            for query in panel['targets']:
                nodes = {}
                for labels, points in self.shown(query):
                    if 'gpu' in labels:
                        self.assertEqual((labels['namespace'], labels['job_name']), ('default', 'ring'), panel['title'])
                        nodes.setdefault(labels['pod'], {})[labels['gpu']] = points[-1][1]
                if nodes:
                    self.assertEqual(set(nodes), {'ring-worker-0', 'ring-worker-1'}, panel['title'])
                    for gpu in ('0', '1'):
                        self.assertAlmostEqual(nodes['ring-worker-0'][gpu], nodes['ring-worker-1'][gpu], 9, panel['title'])
        by_title = {panel['title']: self.shown(panel['targets'][0]) for panel in boards.panels(boards.load('gpus'))}
        self.assertEqual(by_title['GPUs held'][0][1][0][1], 4)
        self.assertEqual(by_title['Idle'][0][1][0][1], 0)
        self.assertAlmostEqual(by_title['Mean utilization'][0][1][0][1], (0.97 + 0.42) / 2)
        energy = by_title['Energy in the last hour'][0][1][-1][1]
        self.assertTrue(4000 <= energy < 4400, energy)

    def its_end_is_told(self):
        for operator in self.cluster.operators:
            operator.process.kill()
        self.fire('MusterOperatorDown')


if __name__ == '__main__':
    if PROGRAM is None:
        print('prometheus is not on PATH: ./dev setup fetches it')
        sys.exit(77)
    unittest.main()
