"""Debian's Prometheus, scraping what the chart's monitors would."""
import json
import math
import re
import shutil
import socket
import urllib.parse
import urllib.request

import boards
from cluster import Process

PROGRAM = shutil.which('prometheus')
SCRAPE_SECONDS = 0.5
MONITORS = boards.ROOT / 'charts' / 'muster' / 'templates' / 'monitoring.yaml'


def relabelings():
    """(source, target) of the chart's PodMonitor."""
    found = re.findall(r'- \{sourceLabels: \[(\w+)\], targetLabel: (\w+)\}', MONITORS.read_text())
    assert found, f'{MONITORS} relabels nothing'
    return found


def honors_labels_of_the_operator():
    return bool(re.search(r'kind: ServiceMonitor(?:.*\n)*?.*honorLabels: true', MONITORS.read_text()))


def of_pods():
    """What the Prometheus operator makes of the PodMonitor: its own labels first, then the chart's."""
    pairs = [('__meta_kubernetes_namespace', 'namespace'), ('__meta_kubernetes_pod_container_name', 'container'),
             ('__meta_kubernetes_pod_name', 'pod')] + relabelings()
    rules = [{'action': 'keep', 'source_labels': ['__meta_kubernetes_pod_container_port_name'], 'regex': 'metrics'}]
    return rules + [{'source_labels': [source], 'target_label': target} for source, target in pairs]


def discovered(pod):
    """Targets of a pod, labelled as Prometheus' discovery of pods does."""
    labels = {'__meta_kubernetes_namespace': pod['metadata']['namespace'], '__meta_kubernetes_pod_name': pod['metadata']['name']}
    for name, value in pod['metadata'].get('labels', {}).items():
        labels['__meta_kubernetes_pod_label_' + re.sub(r'\W', '_', name)] = value
    sidecars = [each for each in pod['spec'].get('initContainers', []) if each.get('restartPolicy') == 'Always']  # as discovery finds init containers
    for container in pod['spec']['containers'] + sidecars:
        for port in container.get('ports', []):
            yield {'targets': [f'{pod["status"]["podIP"]}:{port["containerPort"]}'],
                   'labels': {**labels, '__meta_kubernetes_pod_container_name': container['name'],
                              '__meta_kubernetes_pod_container_port_name': port['name']}}


class Prometheus:
    def __init__(self, folder, jobs, rules):
        """jobs: of the configuration, by name; the targets of each are set by set_targets."""
        self.folder = folder
        (folder / 'rules.yaml').write_text(rules)
        scrapes = [{'job_name': name, 'file_sd_configs': [{'files': [str(folder / f'{name}.json')], 'refresh_interval': '1s'}], **more}
                   for name, more in jobs.items()]
        for name in jobs:
            self.set_targets(name, [])
        scrape = f'{SCRAPE_SECONDS * 1000:.0f}ms'
        config = {'global': {'scrape_interval': scrape, 'scrape_timeout': scrape, 'evaluation_interval': '1s'},
                  'rule_files': [str(folder / 'rules.yaml')], 'scrape_configs': scrapes}
        (folder / 'prometheus.yml').write_text(json.dumps(config))  # JSON is YAML
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            self.address = f'127.0.0.1:{free.getsockname()[1]}'
        self.process = Process(folder, 'prometheus', [PROGRAM, f'--config.file={folder}/prometheus.yml', f'--storage.tsdb.path={folder}/tsdb',
                                                      f'--web.listen-address={self.address}'])
        self.process.find(r'(Server is ready to receive web requests)', 60)

    def set_targets(self, job, targets):
        written = self.folder / f'{job}.json.new'
        written.write_text(json.dumps(targets))
        written.rename(self.folder / f'{job}.json')

    def ask(self, path, **parameters):
        with urllib.request.urlopen(f'http://{self.address}{path}?{urllib.parse.urlencode(parameters)}', timeout=30) as answer:
            return json.load(answer)['data']

    def instant(self, expr, at=None):
        """[(labels, value)] of an instant query."""
        found = self.ask('/api/v1/query', query=expr, **({'time': at} if at else {}))['result']
        return [(each['metric'], float(each['value'][1])) for each in found]

    def series(self, expr, start, end, step=1):
        """[(labels, [(time, value)])], finite values only, of a range query."""
        found = self.ask('/api/v1/query_range', query=expr, start=start, end=end, step=step)['result']
        series = [(each['metric'], [(time_, float(value)) for time_, value in each['values'] if math.isfinite(float(value))]) for each in found]
        return [(labels, points) for labels, points in series if points]

    def value(self, expr, at=None, default=None):
        """Of a query with one answer; `default`: of one that has none yet."""
        found = self.instant(expr, at)
        if not found and default is not None:
            return default
        assert len(found) == 1, f'{expr}: {found}'
        return found[0][1]

    def firing(self):
        return {alert['labels']['alertname']: alert for alert in self.ask('/api/v1/alerts')['alerts'] if alert['state'] == 'firing'}

    def end(self):
        self.process.end()
