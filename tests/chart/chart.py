"""The chart as helm renders it. Needs helm on the PATH, python3-yaml, python3-jsonschema."""
import pathlib
import shutil
import subprocess
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "muster"
SKIPPED = 77

RELEASE = "release="  # among settings: the name of the release

# Name -> what is set. Together they reach every branch of every template.
MATRIX = {
    "defaults": [],
    "a release whose name begins with a digit": ["release=1st"],
    "a release whose name has dots": ["release=team.a"],
    "a release with a long name of both": ["release=0" + "a" * 33 + ".b"],
    "everything": ["monitoring.enabled=true",
                   "networkPolicy.egress.enabled=true", "networkPolicy.trainingPods.namespaces={team-a,team-b}"],
    "nothing": ["podDisruptionBudget.enabled=false", "metrics.service.enabled=false", "networkPolicy.enabled=false",
                "progress.enabled=false", "history.enabled=false", "test.enabled=false", "rbac.create=false", "serviceAccount.create=false",
                "crds.install=false"],
    "two namespaces": ["watchNamespaces={team-a,team-b}"],
    "two namespaces, no nodes": ["watchNamespaces={team-a,team-b}", "rbac.nodes=false", "rbac.kueue=false", "rbac.aggregateRoles=false"],
    "two namespaces, queues, no nodes": ["watchNamespaces={team-a,team-b}", "rbac.nodes=false"],
    "its own namespace": ["watchNamespaces={muster-system}", "monitoring.enabled=true", "monitoring.dashboards.enabled=false"],
    "all namespaces, no nodes, gangs or queues": ["rbac.nodes=false", "rbac.gangs=false", "rbac.kueue=false"],
    "somebody else's rights": ["rbac.create=false", "rbac.aggregateRoles=false", "serviceAccount.create=false",
                               "serviceAccount.name=theirs"],
    "an account with a role of a cloud": ["serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::1:role/x"],
    "a registry": ["imageRegistry=registry.example.com:5000/ml/", "imagePullSecrets={regcred,other}",
                   "imagePullPolicy=Always"],
    "digests and tags": ["images.operator.digest=sha256:" + "a" * 64, "images.worker.tag=1.2.3-cuda",
                         "images.device.repository=ghcr.io/example/device", "imagePullPolicy=Never"],
    "names": ["nameOverride=ml", "fullnameOverride=trainer"],
    "a name that begins with a digit": ["nameOverride=3d", "release=3d"],
    "a long name": ["fullnameOverride=a" + "b" * 34 + "c"],
    "labels and annotations": ["commonLabels.team=ml", "commonAnnotations.owner=me", "operator.podLabels.a=b",
                               "operator.podAnnotations.c=d", "metrics.service.annotations.e=f",
                               "monitoring.enabled=true",
                               "monitoring.serviceMonitor.labels.release=prometheus"],
    "labels of an object that replace the common ones": [
        "commonLabels.team=ml", "operator.podLabels.team=a", "monitoring.enabled=true", "monitoring.serviceMonitor.labels.team=b",
        "monitoring.podMonitor.labels.team=c", "monitoring.prometheusRule.labels.team=d"],
    "scheduling": ["operator.nodeSelector.disk=ssd", "operator.priorityClassName=system-cluster-critical",
                   "operator.tolerations[0].key=a", "operator.tolerations[0].operator=Exists",
                   "operator.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
                   ".matchExpressions[0].key=x",
                   "operator.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
                   ".matchExpressions[0].operator=Exists",
                   "operator.topologySpreadConstraints[0].maxSkew=1",
                   "operator.topologySpreadConstraints[0].topologyKey=rack",
                   "operator.topologySpreadConstraints[0].whenUnsatisfiable=DoNotSchedule"],
    "problems of nodes": ["nodeProblems={default,Burning,Cool=False,taint:example.com/broken}"],
    "one replica": ["operator.replicas=1", "operator.workers=8", "operator.logLevel=debug",
                    "operator.terminationGracePeriodSeconds=60", "operator.resources.limits=null", "metrics.port=9090", "progress.port=9443"],
    "a closed network": ["networkPolicy.egress.enabled=true", "networkPolicy.egress.apiServerPorts={8443}",
                         "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.name=monitoring",
                         "networkPolicy.metricsFrom[1].ipBlock.cidr=10.0.0.0/8",
                         "networkPolicy.progressFrom[0].namespaceSelector.matchLabels.team=a",
                         "networkPolicy.trainingPods.namespaces={team-a}", "networkPolicy.trainingPods.extraPorts[0].port=6006",
                         "networkPolicy.trainingPods.extraPorts[0].protocol=TCP"],
    "users and groups that OpenShift chooses": ["podSecurityContext.runAsUser=null", "podSecurityContext.runAsGroup=null",
                                                "podSecurityContext.fsGroup=null", "containerSecurityContext.seLinuxOptions.level=s0"],
    "values of a release that knew no history and no progress": ["history=null", "progress=null", "podSecurityContext=null",
                                                                 "containerSecurityContext=null"],
}


class OnceOnly(yaml.CSafeLoader):
    """A key that stands twice in a mapping is an error, as for a strict API server."""

    def construct_mapping(self, node, deep=False):
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{sorted(twice)} twice{node.start_mark}")
        return super().construct_mapping(node, deep)


def helm(*arguments):
    """(exit code, standard output, standard error less what helm says of links)"""
    if shutil.which("helm") is None:
        print("skipped: helm is not on PATH (./dev test brings it where there is npm)")
        sys.exit(SKIPPED)
    done = subprocess.run(["helm", *map(str, arguments)], capture_output=True, text=True, timeout=60)
    words = [line for line in done.stderr.splitlines() if "found symbolic link" not in line]
    return done.returncode, done.stdout, "\n".join(words)


def template(settings=()):
    """The text that helm would send to the server, with hooks."""
    names = [setting.removeprefix(RELEASE) for setting in settings if setting.startswith(RELEASE)]
    options = [word for setting in settings if not setting.startswith(RELEASE) for word in ("--set", setting)]
    code, out, err = helm("template", *(names or ["muster"]), CHART, "--namespace", "muster-system", *options)
    if code != 0:
        raise RuntimeError(err)
    return out


def documents(text):
    return [document for document in yaml.load_all(text, Loader=OnceOnly) if document]


def rendered(settings=()):
    return documents(template(settings))


def name(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def pods(document):
    """The pod spec in a document, or none: the operator makes those of DistributedJobs itself."""
    if document["kind"] == "Pod":
        return [document["spec"]]
    return [document["spec"]["template"]["spec"]] if document["kind"] == "Deployment" else []
