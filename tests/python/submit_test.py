"""Submitting, against a small server that answers as an API server does."""

import http.server
import functools
import json
import os
import pathlib
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
import warnings
from unittest import mock

import muster
from muster import _function, _submit  # noqa: F401

JOB = {"apiVersion": "muster.dev/v1alpha1", "kind": "DistributedJob", "metadata": {"name": "own"}, "spec": {}}
CLAIM = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "store"}, "spec": {}}


class Server:
    """Answers by (method, path); what was asked is kept."""

    def __init__(self):
        self.answers = {
            ("GET", "/api/v1"): (200, {"resources": [{"kind": "PersistentVolumeClaim", "name": "persistentvolumeclaims", "namespaced": True}]}),
            ("GET", "/apis/muster.dev/v1alpha1"): (
                200,
                {
                    "resources": [
                        {"kind": "Scale", "name": "distributedjobs/scale", "namespaced": True},
                        {"kind": "DistributedJob", "name": "distributedjobs/status", "namespaced": True},
                        {"kind": "DistributedJob", "name": "distributedjobs", "namespaced": True},
                    ]
                },
            ),
        }
        self.asked = []
        self.any_patch = None

    def ask(self, method, path, body=None, content="application/json"):
        self.asked.append((method, path, body, content))
        if method == "PATCH" and self.any_patch and "/configmaps/" in path:
            code, answer = self.any_patch
            if code >= 400:
                raise _submit._refusal(code, answer["message"])
            return json.dumps(answer).encode()
        code, answer = self.answers.get((method, path.replace("?fieldValidation=Strict", "")), (404, {"message": f"no {path}"}))
        if code >= 400:
            raise _submit._refusal(code, answer["message"])
        return answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()


class Submit(unittest.TestCase):
    PATH = "/apis/muster.dev/v1alpha1/namespaces/team/distributedjobs"

    def setUp(self):
        self.server = Server()
        self.cluster = _submit._Cluster("https://x", ssl.create_default_context(), "t", "team")
        self.cluster.ask = self.server.ask
        patch = mock.patch.object(_submit._Cluster, "usual", return_value=self.cluster)
        patch.start()
        self.addCleanup(patch.stop)
        made = dict(JOB, metadata={"name": "own", "namespace": "team", "uid": "u-1"})
        self.server.answers["POST", self.PATH] = (201, made)
        self.server.answers["POST", "/api/v1/namespaces/team/persistentvolumeclaims"] = (409, {"message": "already exists"})

    def status(self, **status):
        self.server.answers["GET", self.PATH + "/own"] = (200, {"status": status})

    def test_creates_what_is_missing_and_waits_for_the_end(self):
        run = muster.submit([CLAIM, JOB])
        self.status(phase="Running")
        with self.assertRaisesRegex(TimeoutError, "own is Running"):
            run.wait(timeout=0)
        self.status(phase="Succeeded", conditions=[{"type": "Succeeded", "status": "True"}])
        self.assertEqual(run.wait()["phase"], "Succeeded")
        self.assertEqual((run.kind, run.name, run.namespace), ("DistributedJob", "own", "team"))

    def test_a_failure_says_why(self):
        run = muster.submit(JOB)
        self.status(conditions=[{"type": "Failed", "status": "True", "reason": "InvalidSpec", "message": "spec.x: wrong"}])
        with self.assertRaisesRegex(muster.Error, "own failed: InvalidSpec: spec.x: wrong"):
            run.wait()

    def test_scales_and_reads_logs_by_rank(self):
        run = muster.submit(JOB)
        pods = [
            {
                "metadata": {"name": f"own-worker-{i}", "uid": f"u{i}", "labels": {"muster.dev/index": str(i)}},
                "spec": {"containers": [{"name": name} for name in names]},
            }
            for i, names in enumerate((["main", "proxy"], ["main"], ["proxy", "worker"]))
        ]
        selector = "/api/v1/namespaces/team/pods?labelSelector=muster.dev/job-name%3Down%2Cmuster.dev/role%3Dworker"
        self.server.answers["GET", selector] = (200, {"items": pods})
        self.server.answers["GET", "/api/v1/namespaces/team/pods/own-worker-2/log?container=worker"] = (200, "step 1\n")
        self.status(roster=[{"podUID": "u2"}, {"podUID": "u0"}])
        self.assertEqual(run.logs(0), "step 1\n")
        self.server.answers["GET", "/api/v1/namespaces/team/pods/own-worker-0/log?container=main"] = (200, "step 2\n")
        self.assertEqual(run.logs(1), "step 2\n")  # the first container carries the role where none is named after it
        with self.assertRaisesRegex(muster.Error, "no rank 3"):
            run.logs(3)
        with self.assertRaisesRegex(muster.Error, "no /api/v1/namespaces/team/pods/own-worker-1/log"):
            run.logs(2)
        pods[1]["spec"]["containers"].insert(0, {"name": "proxy"})  # by an admission webhook
        pods[1]["metadata"]["annotations"] = {"muster.dev/container": "main"}
        self.server.answers["GET", "/api/v1/namespaces/team/pods/own-worker-1/log?container=main"] = (200, "step 3\n")
        self.assertEqual(run.logs(2), "step 3\n")
        self.server.answers["PATCH", self.PATH + "/own/scale"] = (200, {})
        run.scale(6)
        self.assertEqual(self.server.asked[-1][2:], ({"spec": {"replicas": 6}}, "application/merge-patch+json"))

    def test_a_function_becomes_a_config_map_and_a_job(self):
        def train():
            print("trained")

        path = "/api/v1/namespaces/team/configmaps"
        self.server.answers["GET", "/api/v1"][1]["resources"].append({"kind": "ConfigMap", "name": "configmaps", "namespaced": True})
        self.server.answers["POST", path] = (201, {})
        self.server.any_patch = (200, {})
        run = muster.DistributedJob("own", train, image="i", workers=4, min_workers=2, synchronization={"topology": "Tree"})
        self.assertEqual(run.name, "own")
        made = {body["kind"]: body for method, _, body, _ in self.server.asked if method == "POST"}
        patched = [body["metadata"]["ownerReferences"][0]["uid"] for method, _, body, _ in self.server.asked if method == "PATCH"]
        self.assertEqual(patched, ["u-1"], "the program goes with the job")
        self.assertIn('print("trained")', made["ConfigMap"]["data"]["train.py"])
        spec = made["DistributedJob"]["spec"]
        self.assertEqual((spec["workers"]["replicas"], spec["workers"]["minReplicas"]), (4, 2))
        self.assertEqual(spec["training"]["program"], {})
        name = made["ConfigMap"]["metadata"]["name"]
        self.assertEqual(spec["workers"]["template"]["spec"]["volumes"][0]["configMap"]["name"], name)

        def other():
            print("other")

        muster.DistributedJob("own", other, image="i")  # beside what the first has left
        posted = [body["metadata"]["name"] for method, _, body, _ in self.server.asked if method == "POST" and body["kind"] == "ConfigMap"]
        self.assertEqual(len(set(posted)), 2)
        there = {"data": dict(made["ConfigMap"]["data"]), "immutable": True}
        self.server.answers["POST", path] = (409, {"message": "already exists"})
        self.server.answers["GET", f"{path}/{name}"] = (200, there)
        muster.DistributedJob("own", train, image="i")  # as it was left by another run
        for changed in ({"data": {"train.py": "print()"}}, {"immutable": False}):
            self.server.answers["GET", f"{path}/{name}"] = (200, dict(there, **changed))
            with self.assertRaisesRegex(muster.Error, f"ConfigMap {name} is there already, with other data or not immutable"):
                muster.DistributedJob("own", train, image="i")
        self.server.answers["POST", path] = (201, {})
        self.server.any_patch = (403, {"message": "you may not"})
        with self.assertWarnsRegex(UserWarning, "stays when the job is deleted: you may not"):
            muster.DistributedJob("own", other, image="i")

    def test_every_object_is_read_strictly(self):
        muster.submit([CLAIM, JOB])
        posts = [path for method, path, _, _ in self.server.asked if method == "POST"]
        self.assertEqual(len(posts), 2)
        for path in posts:
            self.assertTrue(path.endswith("?fieldValidation=Strict"), path)

    def test_names_are_parts_of_a_path_and_no_more(self):
        odd = "/apis/muster.dev/v1alpha1/namespaces/a%2Fb%3Fc/distributedjobs"
        self.server.answers["POST", odd] = (404, {"message": 'namespaces "a/b?c" not found'})
        with self.assertRaisesRegex(muster.Error, 'DistributedJob own: namespaces "a/b.c" not found'):
            muster.submit(JOB, namespace="a/b?c")

    def test_every_refusal_is_an_error_in_words(self):
        run = muster.submit(JOB)
        gone = (404, {"message": 'distributedjobs.muster.dev "own" not found'})
        for method, path in (("GET", "/own"), ("PATCH", "/own/scale"), ("DELETE", "/own")):
            self.server.answers[method, self.PATH + path] = gone
        for call in (run.wait, run.logs, run.delete, lambda: run.scale(3), lambda: run.status):
            with self.assertRaises(muster.Error) as raised:
                call()
            self.assertIs(type(raised.exception), muster.Error)
        self.server.answers["POST", self.PATH] = (409, {"message": 'distributedjobs.muster.dev "own" already exists'})
        with self.assertRaisesRegex(muster.Error, "already exists"):
            muster.submit(JOB)
        self.server.answers["GET", "/apis/muster.dev/v1alpha1"] = (403, {"message": "you may not"})
        self.cluster._resources = {}
        with self.assertRaisesRegex(muster.Error, "^you may not"):
            muster.submit(JOB)

    def test_a_server_that_is_away_for_a_moment_is_waited_for(self):
        run = muster.submit(JOB)
        answers = iter([(503, {"message": "upgrading"}), (200, {"status": {"conditions": [{"type": "Succeeded", "status": "True"}]}})])
        self.cluster.ask = lambda *asked: self.server.ask(*asked)
        with mock.patch.object(_submit, "_LOOK_SECONDS", 0), mock.patch.object(self.server, "answers") as table:
            table.get.side_effect = lambda *asked: next(answers)
            self.assertEqual(run.wait()["conditions"][0]["type"], "Succeeded")

    def test_a_list_of_many_documents_is_one_manifest(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "job.json"
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": [CLAIM, JOB]}))
            self.assertEqual(muster.submit(path).name, "own")
        self.assertEqual([body["kind"] for method, _, body, _ in self.server.asked if method == "POST"], [CLAIM["kind"], JOB["kind"]])

    def test_wrong_manifests_are_refused_in_words(self):
        self.server.answers["POST", self.PATH] = (422, {"message": "spec.workers.replicas: Invalid value"})
        for manifest, says in (
            (JOB, "spec.workers.replicas: Invalid value"),
            ([CLAIM], "has 0 jobs"),
            ([JOB, JOB], "has 2 jobs"),
            ({"kind": "DistributedJob"}, "no apiVersion or kind"),
            ({"apiVersion": "muster.dev/v2", "kind": "DistributedJob"}, "knows no DistributedJob of muster.dev/v2"),
            ("/nowhere/job.yaml", "/nowhere/job.yaml: No such file"),
        ):
            with self.assertRaisesRegex(muster.Error, says):
                muster.submit(manifest)


OUTSIDE = 3


def passed_on(function):
    @functools.wraps(function)
    def inner():
        return function()

    return inner


class Function(unittest.TestCase):
    def test_its_source_is_a_program(self):
        def train():
            import math

            class Model:
                size = 2
                twice = size * 2

            def deep(x):
                return [math.sqrt(each) for each in range(x)] + [Model.twice]

            print(deep(2))

        source = muster._function.source_of(train)
        run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
        self.assertEqual(run.stdout.strip(), "[0.0, 1.0, 4]", run.stderr)

    def test_texts_of_several_lines_travel_as_they_are(self):
        def train():
            print(
                """a
  b
c"""
            )

        run = subprocess.run([sys.executable, "-c", muster._function.source_of(train)], capture_output=True, text=True)
        self.assertEqual(run.stdout, "a\n  b\nc\n", run.stderr)

    def test_one_that_is_not_self_contained_is_refused_by_what_it_lacks(self):
        free = 4

        def by_global():
            return OUTSIDE

        def by_closure():
            return free

        def inside():
            return [json.dumps(each) for each in (1, 2)]

        def with_argument(rank):
            return rank

        @functools.lru_cache(None)
        def cached():
            return 1

        @passed_on
        def decorated():
            return 1

        def annotated() -> pathlib.Path:
            return 1

        def with_default(x=OUTSIDE):
            return x

        def yields():
            yield 1

        async def later():
            return 1

        for train, says in (
            (by_global, "by_global uses OUTSIDE from outside"),
            (by_closure, "by_closure uses free from outside"),
            (inside, "inside uses json from outside"),
            (with_argument, "must take no arguments"),
            (cached, "made by def"),
            (decorated, "decorated uses passed_on from outside"),
            (annotated, "annotated uses pathlib from outside"),
            (with_default, "must take no arguments"),
            (yields, "yields must be a plain function"),
            (later, "later must be a plain function"),
            (lambda: 1, "made by def"),
            (print, "made by def"),
        ):
            with self.assertRaisesRegex(muster.Error, says):
                muster.DistributedJob("x", train, image="i")


class Configuration(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name) / "config"

    def write(self, **changes):
        config = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
            "clusters": [{"name": "c", "cluster": {"server": self.server, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": {"token": "secret"}}],
        }
        config.update(changes)
        self.path.write_text(json.dumps(config))

    server = "https://127.0.0.1:1"

    def test_a_server_that_is_not_there(self):
        self.write()
        cluster = _submit._Cluster.of_config(str(self.path))
        self.assertEqual(cluster.namespace, "team")
        with self.assertRaisesRegex(muster.Error, "https://127.0.0.1:1 does not answer"):
            cluster.call("GET", "/api/v1")

    def test_what_cannot_be_is_refused_in_words(self):
        for changes, says in (
            ({"current-context": "there"}, "has no context there"),
            ({"users": [{"name": "u", "user": {"exec": {}}}]}, "let in by exec.*use kubectl"),
            ({"users": [{"name": "u", "user": {"as": "admin"}}]}, "let in by as.*use kubectl"),
            ({"clusters": [{"name": "c", "cluster": {"server": self.server, "proxy-url": "http://p"}}]}, "cluster c has proxy-url"),
            ({"users": [{"name": "u", "user": {"tokenFile": "/nowhere"}}]}, "config: .*No such file"),
            ({"contexts": [{"name": "here", "context": {}}]}, "config: is no kubeconfig that can be used: KeyError: 'cluster'"),
            ({"contexts": [3]}, "config: is no kubeconfig that can be used"),
        ):
            self.write(**changes)
            with self.assertRaisesRegex(muster.Error, says):
                _submit._Cluster.of_config(str(self.path))
        with mock.patch.dict(os.environ, {"KUBECONFIG": "/nowhere"}), self.assertRaisesRegex(muster.Error, "where no file is"):
            _submit._Cluster.usual()

    def test_files_are_merged_as_kubectl_does(self):
        other = pathlib.Path(self.folder.name) / "other" / "config"
        other.parent.mkdir()
        (other.parent / "token").write_text("of the file")
        other.write_text(
            json.dumps(
                {
                    "current-context": "there",
                    "contexts": [{"name": "here", "context": {"cluster": "d", "user": "w", "namespace": "first"}}],
                    "users": [{"name": "u", "user": {"tokenFile": "token", "token": "loses"}}, {"name": "w", "user": None}],
                }
            )
        )
        self.write(**{"current-context": None})
        self.path.write_text(self.path.read_text().replace('"here"', '"there"'))
        named = os.pathsep.join([str(other), "/nowhere", "", str(self.path)])
        with mock.patch.dict(os.environ, {"KUBECONFIG": named}):
            cluster = _submit._Cluster.usual()
        self.assertEqual((cluster.namespace, cluster._server), ("team", self.server))
        self.assertEqual(cluster._bearer(), "of the file", "relative to its own file, and before the token")
        with self.assertRaisesRegex(muster.Error, "other/config:.*/config: has no user w|has no cluster d"):
            self.path.write_text(self.path.read_text().replace('"there"', '"elsewhere"'))
            other.write_text(other.read_text().replace('"there"', '"here"'))
            _submit._Cluster.of_config(str(other), str(self.path))

    def test_a_service_account_is_read_anew_at_each_call(self):
        account = pathlib.Path(self.folder.name)
        (account / "token").write_text("first\n")
        (account / "namespace").write_text("team\n")
        environment = {"KUBECONFIG": "", "HOME": self.folder.name, "KUBERNETES_SERVICE_HOST": "fd00::1"}
        with mock.patch.dict(os.environ, environment), mock.patch.object(_submit, "_SERVICE_ACCOUNT", account):
            with mock.patch.object(ssl, "create_default_context", return_value=ssl.create_default_context()):
                cluster = _submit._Cluster.usual()
        self.assertEqual((cluster.namespace, cluster._server), ("team", "https://[fd00::1]:443"))
        seen = []

        def answer(request, **_):
            seen.append(request.get_header("Authorization"))
            raise OSError("away")

        with mock.patch("urllib.request.OpenerDirector.open", lambda _, *arguments, **named: answer(*arguments, **named)):
            for token in ("first", "second"):
                (account / "token").write_text(token + "\n")
                with self.assertRaisesRegex(muster.Error, "does not answer: away"):
                    cluster.call("GET", "/api/v1")
        self.assertEqual(seen, ["Bearer first", "Bearer second"])
        (account / "token").unlink()
        with self.assertRaisesRegex(muster.Error, "token, by which .* cannot be read: .*No such file"):
            cluster.call("GET", "/api/v1")

    def test_the_token_and_refusals_go_over_http(self):
        seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(self.headers["Authorization"])
                body = b'{"message": "not for you"}' if self.path == "/no" else b'{"a": 1}' if self.path == "/yes" else b"<html>"
                self.send_response({"/no": 403, "/moved": 307}.get(self.path, 200))
                self.send_header("Location", "/yes")
                self.send_header("Warning", '299 - "unknown field \\"spec.x\\""')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        cluster = _submit._Cluster(f"http://127.0.0.1:{server.server_port}", ssl.create_default_context(), "secret\n", "x")
        with self.assertWarnsRegex(UserWarning, 'the API server warns: unknown field "spec.x"'):
            self.assertEqual(cluster.call("GET", "/yes"), {"a": 1})
        with self.assertRaisesRegex(muster.Error, "not for you"):
            cluster.call("GET", "/no")
        with self.assertRaisesRegex(muster.Error, "is it one?"), self.assertWarns(UserWarning):
            cluster.call("GET", "/page")
        with self.assertRaisesRegex(muster.Error, "307"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cluster.call("GET", "/moved")
        self.assertEqual(seen, ["Bearer secret"] * 4, "nobody whom it names gets the token")


if __name__ == "__main__":
    unittest.main()
