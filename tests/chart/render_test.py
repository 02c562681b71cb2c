#!/usr/bin/python3
"""What the chart renders over a matrix of values: against Kubernetes' and prometheus-operator's schemas, against pod security, against
the sources that it must agree with; and what its own schema refuses."""
import copy
import json
import os
import pathlib
import re
import sys
import unittest

import jsonschema
import yaml

import chart
import prometheus_types
import restricted

TOOLS = pathlib.Path(os.environ.get("MUSTER_TOOLS", chart.ROOT / "build" / "tools"))
VERSIONS = ["1.31", "1.35", "1.37"]  # of Kubernetes
TYPES = TOOLS / "prometheus-operator"
OURS = {"DistributedJob", "CustomResourceDefinition"}  # judged by the API server, see server_test.sh


class Schemas:
    """The strict JSON schemas of one version of Kubernetes: unknown fields are errors."""

    def __init__(self, version):
        self.folder = TOOLS / "kubernetes-schemas" / f"v{version}.0-local-strict"
        self.validators = {}
        definitions = json.loads((self.folder / "_definitions.json").read_text())
        self.store = {definitions["$id"]: definitions}

    def problems(self, document):
        group, _, version = document["apiVersion"].rpartition("/")
        file = "-".join([document["kind"].lower(), *([group.split(".")[0]] if group else []), version]) + ".json"
        if file not in self.validators:
            schema = json.loads((self.folder / file).read_text())
            resolver = jsonschema.RefResolver.from_schema(schema, store=self.store)
            self.validators[file] = jsonschema.Draft7Validator(schema, resolver=resolver)
        return ["/".join(map(str, e.path)) + ": " + e.message for e in self.validators[file].iter_errors(document)]


def cases():
    for title, settings in chart.MATRIX.items():
        yield title, settings, chart.rendered(settings)


class Rendering(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.matrix = list(cases())

    def test_lint(self):
        code, out, err = chart.helm("lint", "--strict", chart.CHART)
        self.assertEqual(code, 0, out + err)

    def test_every_document_is_what_its_kind_allows(self):
        if not (TOOLS / "kubernetes-schemas").is_dir():
            self.skipTest("build/tools/kubernetes-schemas is not there (./dev test brings it where there is pip)")
        seen = set()
        for version in VERSIONS:
            schemas = Schemas(version)
            for title, _, documents in self.matrix:
                for document in documents:
                    if document["kind"] in OURS or document["apiVersion"].startswith("monitoring.coreos.com/"):
                        continue
                    seen.add(document["kind"])
                    with self.subTest(version=version, values=title, document=chart.name(document)):
                        self.assertEqual(schemas.problems(document), [])
        self.assertEqual(seen, {"Deployment", "Service", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding",
                                "PodDisruptionBudget", "NetworkPolicy", "ConfigMap", "Pod"})
        # The judge is not blind.
        wrong = copy.deepcopy(next(d for d in self.matrix[0][2] if d["kind"] == "Deployment"))
        wrong["spec"]["template"]["spec"]["containers"][0]["imagePulPolicy"] = "Always"
        self.assertIn("imagePulPolicy", schemas.problems(wrong)[0])

    def test_kueue_may_see_whose_the_pods_are(self):
        def bindings(*settings):
            return [d for d in chart.rendered(list(settings)) if d["kind"] == "ClusterRoleBinding" and d["metadata"]["name"].endswith("-kueue")]
        self.assertEqual(bindings()[0]["subjects"],
                         [{"kind": "ServiceAccount", "namespace": "kueue-system", "name": "kueue-controller-manager"}])
        self.assertEqual(bindings("rbac.kueueServiceAccount=queues/kueue")[0]["subjects"],
                         [{"kind": "ServiceAccount", "namespace": "queues", "name": "kueue"}])
        for setting in "rbac.kueueServiceAccount=", "rbac.kueue=false", "rbac.create=false":
            self.assertEqual(bindings(setting), [], setting)
        documents = chart.rendered(["release=team.a"])
        binding, = (d for d in documents if d["kind"] == "ClusterRoleBinding" and d["metadata"]["name"].endswith("-kueue"))
        role, = (d for d in documents if d["kind"] == "ClusterRole" and d["metadata"]["name"] == binding["roleRef"]["name"])
        self.assertEqual(role["rules"], [{"apiGroups": ["muster.dev"], "resources": ["distributedjobs", "federatedrounds"],
                                          "verbs": ["get", "list", "watch"]}])

    def test_the_clusters_roles_get_what_their_names_say(self):
        read, write = ["get", "list", "watch"], ["create", "update", "patch", "delete", "deletecollection"]

        def roles(*settings):
            prefix = "rbac.authorization.k8s.io/aggregate-to-"
            return {label.removeprefix(prefix): {resource: rule["verbs"] for rule in d["rules"] for resource in rule["resources"]}
                    for d in chart.rendered(list(settings)) if d["kind"] == "ClusterRole"
                    for label in d["metadata"]["labels"] if label.startswith(prefix)}

        status = {"distributedjobs/status": ["get"], "federatedrounds/status": ["get"]}
        edit = {"distributedjobs": read + write, "federatedrounds": read + write, **status, "distributedjobs/scale": ["get", "update", "patch"]}
        view = {"distributedjobs": read, "federatedrounds": read, **status, "distributedjobs/scale": ["get"]}
        self.assertEqual(roles(), {"view": view, "edit": edit, "admin": edit})
        self.assertEqual(roles("rbac.create=false").keys(), roles().keys(), "they are the administrator's, not the operator's")
        self.assertEqual(roles("rbac.aggregateRoles=false"), {})

    def test_what_an_older_releases_values_lack_is_as_values_yaml_says(self):
        older = chart.MATRIX["values of a release that knew no history and no progress"]
        self.assertEqual(chart.rendered(older), chart.rendered())

    def test_users_and_groups_can_be_left_to_the_platform(self):
        documents = chart.rendered(chart.MATRIX["users and groups that OpenShift chooses"])
        for pod in (pod for d in documents for pod in chart.pods(d)):
            self.assertEqual(pod["securityContext"], {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}})
            self.assertEqual(pod["containers"][0]["securityContext"]["seLinuxOptions"], {"level": "s0"})

    def test_ports_of_programs_can_be_opened(self):
        def ingress(*settings):
            documents = chart.rendered(["networkPolicy.trainingPods.namespaces={team-a}", *settings])
            policy = next(d for d in documents if d["kind"] == "NetworkPolicy" and d["metadata"]["name"].endswith("-training"))
            return [rule for rule in policy["spec"]["ingress"] if "from" not in rule]
        scraped = {"ports": [{"protocol": "TCP", "port": 8472}]}
        self.assertEqual(ingress(), [scraped])
        self.assertEqual(ingress("networkPolicy.trainingPods.extraPorts[0].port=6006"), [{"ports": [{"port": 6006}]}, scraped])

    def test_monitors_and_rules_are_what_prometheus_operator_reads(self):
        if not TYPES.is_dir():
            self.skipTest("build/tools/prometheus-operator is not there (./dev test brings it where there is npm)")
        types = prometheus_types.Types(TYPES)
        seen = set()
        for title, _, documents in self.matrix:
            for document in documents:
                if not document["apiVersion"].startswith("monitoring.coreos.com/"):
                    continue
                seen.add(document["kind"])
                with self.subTest(values=title, document=chart.name(document)):
                    self.assertEqual(types.object_problems(document), [])
        self.assertEqual(seen, {"ServiceMonitor", "PodMonitor", "PrometheusRule"})
        monitor = {"kind": "PodMonitor", "spec": {"selector": {}, "podMetricsEndpoints": [{"relabelings": [{"source": []}], "port": 1}]}}
        self.assertEqual(types.object_problems(monitor), ["spec.podMetricsEndpoints[0].relabelings[0].source: unknown",
                                                          "spec.podMetricsEndpoints[0].port: 1 is no string"])

    def test_pods_keep_to_the_standard_restricted(self):
        for title, _, documents in self.matrix:
            pods = [(chart.name(d), pod) for d in documents for pod in chart.pods(d)]
            self.assertTrue(pods)
            for name, pod in pods:
                with self.subTest(values=title, document=name):
                    self.assertEqual(restricted.violations(pod), [])
                    for container in restricted.containers(pod):
                        self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
                        self.assertTrue(container["resources"]["requests"])

    def test_a_pod_that_breaks_the_standard_is_seen(self):
        pod = next(pod for d in self.matrix[0][2] for pod in chart.pods(d))
        context = pod["containers"][0]["securityContext"]
        planted = [(pod, "hostNetwork", True), (pod, "hostPID", True), (pod, "volumes", [{"name": "x", "hostPath": {"path": "/"}}]),
                   (context, "privileged", True), (context, "allowPrivilegeEscalation", True), (context, "capabilities", {"drop": []}),
                   (context, "capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}), (context, "runAsNonRoot", False),
                   (context, "runAsUser", 0), (context, "seccompProfile", {"type": "Unconfined"}), (context, "procMount", "Unmasked"),
                   (pod["containers"][0], "ports", [{"containerPort": 1, "hostPort": 1}]), (pod, "securityContext", {})]
        for place, field, value in planted:
            before = dict(place)
            place[field] = value
            with self.subTest(field=field, value=value):
                self.assertTrue(restricted.violations(pod))
            place.clear()
            place.update(before)
        self.assertEqual(restricted.violations(pod), [])

    def test_objects_have_names_that_a_server_takes_and_places(self):
        whole_cluster = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"}
        for title, _, documents in self.matrix:
            names = [(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]) for d in documents]
            with self.subTest(values=title):
                self.assertEqual(len(names), len(set(names)), "two objects of one name")
            for kind, namespace, name in names:
                with self.subTest(values=title, object=f"{kind}/{name}"):
                    self.assertEqual(namespace is None, kind in whole_cluster)
                    limit = {"CustomResourceDefinition": 253, "DistributedJob": 50}.get(kind, 63)
                    self.assertLessEqual(len(name), limit)
                    self.assertRegex(name, r"^[a-z]([-a-z0-9]*[a-z0-9])?$" if kind == "Service" else r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")

    def test_selectors_find_the_operators_pods_alone(self):
        for title, _, documents in self.matrix:
            pods = {chart.name(d): (d["spec"]["template"] if d["kind"] == "Deployment" else d)["metadata"]["labels"]
                    for d in documents if chart.pods(d)}
            for document in documents:
                spec = document.get("spec", {})
                selector = {"Deployment": lambda: spec["selector"]["matchLabels"], "Service": lambda: spec["selector"],
                            "PodDisruptionBudget": lambda: spec["selector"]["matchLabels"],
                            "NetworkPolicy": lambda: spec["podSelector"]["matchLabels"]}.get(document["kind"])
                if selector is None or document["metadata"]["name"].endswith("-training"):
                    continue
                found = {name.split("/")[0] for name, labels in pods.items() if selector().items() <= labels.items()}
                with self.subTest(values=title, document=chart.name(document)):
                    self.assertEqual(found, {"Deployment"})

    def test_a_service_monitor_finds_the_service(self):
        documents = chart.rendered(["monitoring.enabled=true"])
        labels = next(d for d in documents if d["kind"] == "Service")["metadata"]["labels"]
        monitor = next(d for d in documents if d["kind"] == "ServiceMonitor")
        self.assertLessEqual(monitor["spec"]["selector"]["matchLabels"].items(), labels.items())

    def test_pods_are_told_the_name_of_the_service_that_takes_progress(self):
        for title, _, documents in self.matrix:
            deployment = next(d for d in documents if d["kind"] == "Deployment")
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            told = [argument.removeprefix("--progress-url=https://") for argument in container["args"] if "progress-url" in argument]
            services = [f"{d['metadata']['name']}.{d['metadata']['namespace']}.svc:{port['port']}" for d in documents
                        if d["kind"] == "Service" for port in d["spec"]["ports"] if port["targetPort"] == "progress"]
            with self.subTest(values=title):
                self.assertEqual(told, services)
                self.assertEqual(bool(told), "progress" in [port["name"] for port in container["ports"]])

    def test_images(self):
        def images(*settings):
            deployment = next(d for d in chart.rendered(settings) if d["kind"] == "Deployment")
            container = deployment["spec"]["template"]["spec"]["containers"][0]
            flags = dict(argument.split("=", 1) for argument in container["args"] if "image=" in argument)
            return [container["image"], flags["--worker-image"], flags["--aggregator-image"], flags["--client-image"], flags["--exec-image"]]

        version = cmake_version()
        self.assertEqual(images(), [f"muster-{name}:{version}" for name in ("operator", "worker", "aggregator", "device", "exec")])
        self.assertEqual(images("imageRegistry=r.example.com/ml/")[0], f"r.example.com/ml/muster-operator:{version}")
        digest = "sha256:" + "0" * 64
        self.assertEqual(images(f"images.worker.digest={digest}", "images.device.tag=x")[1:],
                         [f"muster-worker@{digest}", f"muster-aggregator:{version}", "muster-device:x", f"muster-exec:{version}"])

    def test_nodes_are_watched_where_their_problems_count_and_all_may_be_seen(self):
        def seen(*settings):
            documents = chart.rendered(settings)
            verbs = [rule["verbs"] for d in documents if d["kind"] == "ClusterRole" for rule in d["rules"] if rule["resources"] == ["nodes"]]
            deployment = next(d for d in documents if d["kind"] == "Deployment")
            arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
            return verbs, [a.removeprefix("--node-problems=") for a in arguments if a.startswith("--node-problems=")]

        every = [["get", "list", "watch"]]
        self.assertEqual(seen(), (every, ["default"]))
        self.assertEqual(seen("nodeProblems={default,Burning,Cool=False,taint:x.y/z}"), (every, ["default,Burning,Cool=False,taint:x.y/z"]))
        self.assertEqual(seen("nodeProblems=null"), ([["get"]], ["none"]))
        self.assertEqual(seen("watchNamespaces={team-a}"), ([["get"]], ["none"]))
        self.assertEqual(seen("rbac.nodes=false"), ([], ["none"]))

    def test_history_comes_with_its_rights_and_goes_with_them(self):
        def rights(*settings):
            documents = chart.rendered(["watchNamespaces={team-a}", *settings])
            role = next(d for d in documents if d["kind"] == "Role" and d["metadata"]["namespace"] == "team-a")
            return [(rule["verbs"], rule.get("resourceNames")) for rule in role["rules"] if rule["resources"] == ["configmaps"]]

        def flag(*settings):
            deployment = next(d for d in chart.rendered(settings) if d["kind"] == "Deployment")
            return [a for a in deployment["spec"]["template"]["spec"]["containers"][0]["args"] if a.startswith("--history")]

        self.assertEqual(rights(), [(["create"], None), (["patch"], ["muster-history"])])
        self.assertEqual(flag("history.maxPerNamespace=50"), ["--history-max=50", "--history-days=90"])
        self.assertEqual(rights("history.enabled=false"), [])
        self.assertEqual(flag("history.enabled=false")[0], "--history-max=0")


class Sources(unittest.TestCase):
    def test_the_version_is_that_of_the_project(self):
        about = yaml.safe_load((chart.CHART / "Chart.yaml").read_text())
        self.assertEqual(about["version"], cmake_version())
        self.assertEqual(about["appVersion"], cmake_version())

    def test_crds_are_those_of_the_repository_and_stay(self):
        rendered = {d["metadata"]["name"]: d for d in chart.rendered() if d["kind"] == "CustomResourceDefinition"}
        sources = [yaml.safe_load(file.read_text()) for file in sorted((chart.ROOT / "crds").glob("*.yaml"))]
        self.assertEqual(sorted(rendered), sorted(source["metadata"]["name"] for source in sources))
        for source in sources:
            crd = rendered[source["metadata"]["name"]]
            self.assertEqual(crd["metadata"].pop("annotations"), {"helm.sh/resource-policy": "keep"})
            self.assertEqual(crd["metadata"].pop("labels")["app.kubernetes.io/managed-by"], "Helm")
            self.assertEqual(crd, source)

    def test_dashboards_and_rules_are_those_of_the_repository(self):
        documents = chart.rendered(["monitoring.enabled=true"])
        texts = {key: text for d in documents if d["kind"] == "ConfigMap" for key, text in d["data"].items()}
        files = sorted((chart.ROOT / "dashboards").glob("*.json"))
        self.assertTrue(files)
        self.assertEqual(sorted(texts), [f"muster-{file.name}" for file in files])
        for file in files:
            self.assertEqual(json.loads(texts[f"muster-{file.name}"]), json.loads(file.read_text()))
        rule = next(d for d in documents if d["kind"] == "PrometheusRule")
        self.assertEqual(rule["spec"], yaml.safe_load((chart.ROOT / "dashboards" / "alerts.yaml").read_text()))
        published = "https://git.example/muster/docs/operations.md"
        linked = chart.rendered(["monitoring.enabled=true", f"monitoring.prometheusRule.runbookUrl={published}"])
        rule = next(d for d in linked if d["kind"] == "PrometheusRule")
        for alert in (rule for group in rule["spec"]["groups"] for rule in group["rules"]):
            self.assertEqual(alert["annotations"]["runbook_url"], f"{published}#{alert['alert'].lower()}")
            self.assertNotIn("runbook", alert["annotations"])
        for document in documents:  # what an API server takes
            self.assertLess(len(json.dumps(document)), 1024 * 1024, chart.name(document))

    def test_every_value_is_described_and_judged(self):
        values = yaml.safe_load((chart.CHART / "values.yaml").read_text())
        schema = json.loads((chart.CHART / "values.schema.json").read_text())

        def compare(value, part, path):
            while "$ref" in part:
                part = schema["definitions"][part["$ref"].rsplit("/", 1)[1]]
            if not isinstance(value, dict) or part.get("additionalProperties") is not False:
                return
            self.assertEqual(sorted(value), sorted(set(part["properties"]) - {"global"}), path)
            for key in value:
                compare(value[key], part["properties"][key], f"{path}.{key}")

        compare(values, schema, "values")

    def test_the_package_holds_what_links_name(self):
        import tarfile
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            code, _, err = chart.helm("package", chart.CHART, "--destination", folder)
            self.assertEqual(code, 0, err)
            file = f"{folder}/muster-{cmake_version()}.tgz"
            with tarfile.open(file) as package:
                members = package.getmembers()
            self.assertTrue(all(member.isfile() for member in members))
            names = {member.name.removeprefix("muster/") for member in members}
            for source in [*(chart.ROOT / "crds").glob("*.yaml")]:
                self.assertIn(f"files/crds/{source.name}", names)
            code, out, err = chart.helm("template", "muster", file, "--namespace", "muster-system")
            self.assertEqual(code, 0, err)
            self.assertEqual(chart.documents(out), chart.rendered())


class Refusals(unittest.TestCase):
    """Setting -> what helm says."""
    CASES = {
        "operator.replicas=two": "/operator/replicas.*got string, want integer",
        "operator.replicas=0": "/operator/replicas.*minimum",
        "operator.replica=2": "'replica' not allowed",
        "replicas=2": "'replicas' not allowed",
        "imagePullPolicy=Sometimes": "/imagePullPolicy.*must be one of 'IfNotPresent', 'Always', 'Never'",
        "operator.logLevel=verbose": "/operator/logLevel.*must be one of 'debug', 'info', 'warning', 'error', 'off'",
        "watchNamespaces=team-a": "/watchNamespaces.*got string, want array",
        "watchNamespaces={Team}": "/watchNamespaces/0.*'Team' does not match",
        "watchNamespaces={a,a}": "/watchNamespaces.*equal",
        "images.worker=muster-worker": "/images/worker.*got string, want object",
        "images.worker.digest=abc": "/images/worker/digest.*does not match",
        "images.worker.tag=a b": "/images/worker/tag.*does not match",
        "images.client.tag=1": "'client' not allowed",
        "imageRegistry=https://r.example.com": "/imageRegistry.*does not match",
        "rbac.create=maybe": "/rbac/create.*got string, want boolean",
        "crds=false": "/crds.*got boolean, want object",
        "metrics.port=80": "/metrics/port.*minimum",
        "progress.port=443": "/progress/port.*minimum",
        "progress.url=https://x": "'url' not allowed",
        "metrics.port=70000": "/metrics/port.*maximum",
        "commonLabels.app\\.kubernetes\\.io/name=x": "app.kubernetes.io/name",
        "networkPolicy.egress.apiServerPorts={}": "/networkPolicy/egress/apiServerPorts",
        "monitoring.podMonitor.interval=15": "/monitoring/podMonitor/interval",
        "monitoring.enabled=true,metrics.service.enabled=false": "/metrics/service/enabled.*true",
        "operator.terminationGracePeriodSeconds=5": "/operator/terminationGracePeriodSeconds.*minimum",
        "fullnameOverride=9lives": "/fullnameOverride.*does not match",
        "history.maxPerNamespace=301": "/history/maxPerNamespace.*maximum",
        "test.timeoutSeconds=0": "/test/timeoutSeconds.*minimum",
        "operator=null": "missing property 'operator'",
        "rbac=null": "missing property 'rbac'",
        "metrics.port=8443": "metrics.port and progress.port are both 8443: .*choose another",
        "operator.resources.limits.memory=64 MB": "/operator/resources/limits/memory.*does not match",
        "operator.resources.requests.cpu=-1": "/operator/resources/requests/cpu",
        "commonLabels.team=a b": "/commonLabels/team.*does not match",
        "operator.podLabels.-x=y": "invalid propertyName '-x'",
        "operator.nodeSelector.disk=a/b": "/operator/nodeSelector/disk.*does not match",
        "commonAnnotations.a b=c": "invalid propertyName 'a b'",
        "monitoring.dashboards.label=a b": "/monitoring/dashboards/label.*does not match",
        "networkPolicy.trainingPods.extraPorts[0].prot=1": "'prot' not allowed",
        "nodeProblems=KernelDeadlock": "/nodeProblems.*got string, want array",
        "nodeProblems={default,KernelDeadlock=Bad}": "/nodeProblems/1.*does not match",
        "nodeProblems={taint:x.y/z=true}": "/nodeProblems/0.*does not match",
        "nodeProblems={default,Ready=False}": "/nodeProblems/1.*not",
        "nodeProblems={taint:node.kubernetes.io/not-ready}": "/nodeProblems/0.*not",
    }

    def test_wrong_values_are_refused_with_their_place(self):
        for setting, words in self.CASES.items():
            with self.subTest(setting=setting):
                code, _, err = chart.helm("template", "muster", chart.CHART, "--set", setting)
                self.assertNotEqual(code, 0)
                self.assertTrue(re.search(words, err, flags=re.S), err)


def cmake_version():
    return re.search(r"project\(muster VERSION ([0-9.]+)", (chart.ROOT / "CMakeLists.txt").read_text()).group(1)


if __name__ == "__main__":
    chart.helm("version")  # or skipped
    unittest.main(verbosity=2 if "-v" in sys.argv else 1)
