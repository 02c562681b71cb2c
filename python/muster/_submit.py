"""Jobs from Python: the objects that kubectl would make, in the cluster of the kubeconfig, else on this machine."""

import atexit
import base64
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import warnings
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ._library import Error
from ._manifest import Manifest, objects_of, read

_JOB_KINDS = ("DistributedJob", "FederatedRound")
_LOOK_SECONDS = 0.5
_AWAY_SECONDS = 60  # that the API server may be away, as while it is upgraded, before wait() gives up
_CALL_SECONDS = 30
_START_SECONDS = 30
_SERVICE_ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")


def submit(manifest: Manifest, namespace: Optional[str] = None) -> "Run":
    """Creates the objects of a manifest, one of which is a DistributedJob or FederatedRound, and returns its run.

    manifest: the path of a YAML or JSON file (YAML needs PyYAML), an object, or a list of them. Where: the current context
    of KUBECONFIG or ~/.kube/config; in a pod, its cluster by its service account; without either `muster local up` is
    started, which must be installed, and ends with this process: volumes are then below ./muster-out. What exists already
    of the other objects stays as it is; an immutable ConfigMap must then be the same. What the server warns of is a Python warning. Raises muster.Error: no such file, a
    job that exists, a field that is misspelt, by its path, and what else the server refuses.
    """
    objects = objects_of(manifest)
    jobs = [each for each in objects if each.get("kind") in _JOB_KINDS]
    if len(jobs) != 1:
        raise Error(f"muster.submit: the manifest has {len(jobs)} jobs, not one DistributedJob or FederatedRound")
    cluster = _Cluster.usual()
    for each in objects:
        place = each["metadata"].get("namespace") or namespace or cluster.namespace
        path = cluster.path_of(each["apiVersion"], each["kind"], place)
        try:
            made = cluster.call("POST", f"{path}?fieldValidation=Strict", each)
        except Error as error:
            name = each["metadata"].get("name") or each["metadata"].get("generateName")
            if error.code == 409 and each is not jobs[0]:
                if each["kind"] == "ConfigMap" and each.get("immutable"):
                    _same(each, cluster.call("GET", f"{path}/{_quoted(name)}"))
                continue
            raise _refusal(error.code, f"muster.submit: {each['kind']} {name}: {error}") from None
        if each is jobs[0]:
            run = Run(cluster, f"{path}/{_quoted(made['metadata']['name'])}", made)
    return run


def _same(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Whoever may make a ConfigMap could else decide what runs in the job's pods."""
    if found.get("data") != wanted.get("data") or not found.get("immutable"):
        name = wanted["metadata"]["name"]
        raise Error(f"muster.submit: ConfigMap {name} is there already, with other data or not immutable; delete it")


class Run:
    """A job that was submitted. Everything is asked of the server anew: whoever changes the object, by kubectl or here."""

    def __init__(self, cluster: "_Cluster", path: str, made: Mapping[str, Any]):
        self._cluster = cluster
        self._path = path
        self.kind: str = made["kind"]
        self.name: str = made["metadata"]["name"]
        self.namespace: str = made["metadata"]["namespace"]
        self._made = made

    @property
    def status(self) -> Dict[str, Any]:
        """The object's status: phase, progress, conditions, roster and so on, as `kubectl get -o json` shows it."""
        return self._cluster.call("GET", self._path).get("status") or {}

    def wait(self, timeout: Optional[float] = None) -> Dict[str, Any]:
        """Waits until the job has succeeded; returns its status. Raises muster.Error when it has failed, with the reason, when
        it is deleted, and when the API server has been away for a minute; TimeoutError after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        answered = time.monotonic()
        status: Dict[str, Any] = {}
        while True:
            try:
                status = self.status
                answered = time.monotonic()
            except Error as error:
                if (error.code or 0) not in (429, 500, 502, 503, 504) or time.monotonic() - answered > _AWAY_SECONDS:
                    raise
            for condition in status.get("conditions", []):
                if condition.get("status") == "True" and condition.get("type") == "Succeeded":
                    return status
                if condition.get("status") == "True" and condition.get("type") == "Failed":
                    raise Error(f"{self.kind} {self.name} failed: {condition.get('reason')}: {condition.get('message')}")
            if end is not None and time.monotonic() >= end:
                raise TimeoutError(f"{self.kind} {self.name} is {status.get('phase', 'not begun')} after {timeout} s")
            time.sleep(_LOOK_SECONDS)

    def logs(self, rank: int = 0) -> str:
        """What the container of a rank's program has written so far."""
        pods = self._pods_by_rank()
        if not 0 <= rank < len(pods):
            raise Error(f"{self.kind} {self.name} has {len(pods)} pods, and no rank {rank}")
        pod = _quoted(pods[rank]["metadata"]["name"])
        container = urllib.parse.quote(_container_of(pods[rank], self._role), safe="")
        path = f"/api/v1/namespaces/{_quoted(self.namespace)}/pods/{pod}/log?container={container}"
        return self._cluster.ask("GET", path).decode(errors="replace")

    def scale(self, workers: int) -> None:
        """Sets the number of workers; those of a training come and go while the others work on."""
        if self.kind != "DistributedJob":
            raise Error(f"{self.kind} {self.name} has no workers to scale; the number of its clients is fixed")
        self._cluster.call("PATCH", f"{self._path}/scale", {"spec": {"replicas": workers}}, "application/merge-patch+json")

    def _own(self, version: str, kind: str, name: str) -> None:
        """The object goes when the job goes. Without the right to say so it stays."""
        owner = {
            "apiVersion": self._made["apiVersion"],
            "kind": self.kind,
            "name": self.name,
            "uid": self._made["metadata"]["uid"],
        }
        path = f"{self._cluster.path_of(version, kind, self.namespace)}/{_quoted(name)}"
        try:
            self._cluster.call("PATCH", path, {"metadata": {"ownerReferences": [owner]}}, "application/merge-patch+json")
        except Error as error:
            warnings.warn(f"muster: {kind} {name} stays when the job is deleted: {error}", stacklevel=3)

    def delete(self) -> None:
        """Removes the job and its pods. What it stored stays."""
        self._cluster.call("DELETE", self._path)

    @property
    def _role(self) -> str:
        return "worker" if self.kind == "DistributedJob" else "aggregator"

    def _pods_by_rank(self) -> List[Dict[str, Any]]:
        selector = urllib.parse.quote(f"muster.dev/job-name={self.name},muster.dev/role={self._role}")
        pods = self._cluster.call("GET", f"/api/v1/namespaces/{_quoted(self.namespace)}/pods?labelSelector={selector}")["items"]
        roster = [member.get("podUID") for member in self.status.get("roster") or []]

        def place(pod: Mapping[str, Any]) -> Tuple[int, int]:
            uid = pod["metadata"]["uid"]
            index = int(pod["metadata"]["labels"]["muster.dev/index"])
            return (roster.index(uid) if uid in roster else len(roster), index)

        return sorted(pods, key=place)


def _container_of(pod: Mapping[str, Any], role: str) -> str:
    """The one that carries the role: which an annotation names, or named after it, else the first."""
    names = [each["name"] for each in pod["spec"]["containers"]]
    told = (pod["metadata"].get("annotations") or {}).get("muster.dev/container")
    if told in names:
        return str(told)
    return role if role in names else names[0]


def _refusal(code: Optional[int], message: str) -> Error:
    error = Error(message)
    error.code = code
    return error


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _warn(headers: Any) -> None:
    """Of what a server warns: 299 - "the words"."""
    for header in headers.get_all("Warning") or []:
        told = re.match(r'\d{3} \S+ "((?:[^"\\]|\\.)*)"', header)
        words = re.sub(r"\\(.)", r"\1", told.group(1)) if told else header
        warnings.warn(f"muster: the API server warns: {words}", stacklevel=5)  # where submit() or a method of Run is called


class _Cluster:
    """An API server, and how to be let in."""

    def __init__(self, server: str, context: ssl.SSLContext, token: Union[None, str, pathlib.Path], namespace: str):
        """token: a path is read for each call, as what is there is renewed: a service account's every hour."""
        self._server = server.rstrip("/")
        self._context = context
        self._token = token
        self.namespace = namespace
        self._resources: Dict[str, Any] = {}

    @staticmethod
    def usual() -> "_Cluster":
        told = os.environ.get("KUBECONFIG")
        files = told.split(os.pathsep) if told else [str(pathlib.Path.home() / ".kube" / "config")]
        there = [each for each in files if each and os.path.exists(each)]
        if there:
            return _Cluster.of_config(*there)
        if told:
            raise Error(f"KUBECONFIG names {told}, where no file is; correct or unset it")
        if (_SERVICE_ACCOUNT / "token").exists() and os.environ.get("KUBERNETES_SERVICE_HOST"):
            host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
            context = ssl.create_default_context(cafile=str(_SERVICE_ACCOUNT / "ca.crt"))
            server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
            return _Cluster(server, context, _SERVICE_ACCOUNT / "token", (_SERVICE_ACCOUNT / "namespace").read_text().strip())
        return _Cluster.of_config(_start_local())

    @staticmethod
    def of_config(*paths: str) -> "_Cluster":
        """By files that are merged as kubectl does: the first one that has a name, or a current-context, tells it."""
        names = os.pathsep.join(paths)
        try:
            return _Cluster._of_config(names, paths)
        except (AttributeError, IndexError, KeyError, OSError, TypeError, ValueError) as error:
            raise Error(f"{names}: is no kubeconfig that can be used: {type(error).__name__}: {error}") from None

    @staticmethod
    def _of_config(names: str, paths: Sequence[str]) -> "_Cluster":
        entries: Dict[Tuple[str, str], Tuple[Dict[str, Any], pathlib.Path]] = {}  # with the folder of its file
        current = ""
        for path in paths:
            config = (read(path) or [{}])[0]
            for kind in ("context", "cluster", "user"):
                for each in config.get(kind + "s") or []:
                    if isinstance(each.get(kind), dict):
                        entries.setdefault((kind, _text(each, "name")), (each[kind], pathlib.Path(path).parent))
            current = current or _text(config, "current-context")

        def named(kind: str, name: str) -> Tuple[Dict[str, Any], pathlib.Path]:
            if (kind, name) not in entries:
                raise Error(f"{names}: has no {kind} {name}; set current-context, or correct what it names")
            return entries[kind, name]

        context, _ = named("context", current)
        cluster, folder = named("cluster", str(context["cluster"]))
        user, place = named("user", _text(context, "user")) if context.get("user") else ({}, folder)
        for unknown in ("exec", "auth-provider", "username", "as", "as-uid", "as-groups", "as-user-extra"):
            if unknown in user:
                raise Error(f"{names}: user {context['user']} is let in by {unknown}, which this package does not do; use kubectl")
        for unknown in ("proxy-url", "tls-server-name"):
            if cluster.get(unknown):
                raise Error(f"{names}: cluster {context['cluster']} has {unknown}, which this package does not know; use kubectl")
        security = ssl.create_default_context()
        if _text(cluster, "insecure-skip-tls-verify") == "true":
            security.check_hostname = False
            security.verify_mode = ssl.CERT_NONE
        elif "certificate-authority-data" in cluster:
            security = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        elif "certificate-authority" in cluster:
            security = ssl.create_default_context(cafile=str(folder / cluster["certificate-authority"]))
        _add_client_certificate(security, user, place)
        token: Union[str, pathlib.Path] = _text(user, "token")
        if user.get("tokenFile"):  # wins over token, as in kubectl
            token = place / user["tokenFile"]
            token.read_text()
        return _Cluster(cluster["server"], security, token, _text(context, "namespace") or "default")

    def _bearer(self) -> str:
        if not isinstance(self._token, pathlib.Path):
            return (self._token or "").strip()
        try:
            return self._token.read_text().strip()
        except (OSError, ValueError) as error:
            raise Error(f"the token {self._token}, by which {self._server} lets this process in, cannot be read: {error}") from None

    def ask(self, method: str, path: str, body: Any = None, content: str = "application/json") -> bytes:
        request = urllib.request.Request(self._server + path, method=method)
        if body is not None:
            try:
                request.data = json.dumps(body).encode()
            except (TypeError, ValueError) as error:  # as a date, which YAML reads from what is not quoted
                raise Error(f"muster: a value of the manifest is no JSON: {error}; quote it") from None
            request.add_header("Content-Type", content)
        bearer = self._bearer()
        if bearer:
            request.add_header("Authorization", f"Bearer {bearer}")
        try:
            opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=self._context))
            with opener.open(request, timeout=_CALL_SECONDS) as answer:
                _warn(answer.headers)
                body_of_answer: bytes = answer.read()
                return body_of_answer
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                pass
            raise _refusal(error.code, f"{text or error.reason} ({error.code})") from None
        except (http.client.HTTPException, OSError, ValueError) as error:
            why = getattr(error, "reason", error)
            raise _refusal(503, f"the API server {self._server} does not answer: {why}") from None

    def call(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Dict[str, Any]:
        text = self.ask(method, path, body, content)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise Error(f"{self._server} answers {text[:80]!r} to {method} {path}, as no API server does; is it one?")
        return answer

    def path_of(self, version: str, kind: str, namespace: str) -> str:
        """Of the collection of a kind, as the server lists it."""
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if version not in self._resources:
            try:
                self._resources[version] = self.call("GET", root).get("resources", [])
            except Error as error:
                if error.code != 404:
                    raise
                self._resources[version] = []
        for each in self._resources[version]:
            if each["kind"] == kind and "/" not in each["name"]:
                return f"{root}/namespaces/{_quoted(namespace)}/{each['name']}" if each["namespaced"] else f"{root}/{each['name']}"
        raise Error(f"the API server {self._server} knows no {kind} of {version}; is Muster installed there?")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The token is for the API server alone: urllib would take it along to whomever it names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _text(node: Mapping[str, Any], name: str) -> str:
    """As it reads: a number is text, too, where text is asked for."""
    value = node.get(name)
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def _add_client_certificate(security: ssl.SSLContext, user: Mapping[str, Any], folder: pathlib.Path) -> None:
    """From files: OpenSSL reads a client's key from nothing else. Those of data are gone at once."""
    if "client-certificate" in user and "client-key" in user:
        security.load_cert_chain(str(folder / user["client-certificate"]), str(folder / user["client-key"]))
    if "client-certificate-data" not in user or "client-key-data" not in user:
        return
    with tempfile.TemporaryDirectory() as place:
        names = []
        for part in ("client-certificate-data", "client-key-data"):
            names.append(os.path.join(place, part))
            with open(os.open(names[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(base64.b64decode(user[part]))
        security.load_cert_chain(*names)


_local: Optional[Tuple["subprocess.Popen[str]", str]] = None


def _start_local() -> str:
    """The kubeconfig of a control plane on this machine, which ends with this process."""
    global _local
    if _local is not None and _local[0].poll() is None:
        return _local[1]
    program = shutil.which("muster")
    if program is None:
        raise Error("there is no cluster (no kubeconfig), and no program muster in PATH to be one; install Muster, or set KUBECONFIG")
    # Its pods run the commands that it finds: python3 is this one, also where no environment is active, as in a notebook.
    environment = {**os.environ, "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])}
    log = tempfile.NamedTemporaryFile(mode="w+", prefix="muster-local-", suffix=".log")
    process = subprocess.Popen(
        [program, "local", "up"], stdout=log, stderr=subprocess.STDOUT, text=True, start_new_session=True, env=environment
    )

    def end() -> None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
        log.close()

    atexit.register(end)
    limit = time.monotonic() + _START_SECONDS
    while time.monotonic() < limit and process.poll() is None:
        for line in pathlib.Path(log.name).read_text().splitlines():
            if "export KUBECONFIG=" in line:
                _local = process, line.split("export KUBECONFIG=")[1].strip()
                return _local[1]
        time.sleep(0.05)
    raise Error(f"muster local up did not start: {pathlib.Path(log.name).read_text()[-500:].strip()}")
