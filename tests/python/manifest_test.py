"""Manifests and kubeconfigs are read as kubectl and muster read them."""

import json
import pathlib
import tempfile
import unittest

import muster
from muster import _manifest

try:
    import yaml  # noqa: F401
except ImportError:
    yaml = None

TABLE = pathlib.Path(__file__).parent.parent / "common" / "plain_scalars.json"


@unittest.skipIf(yaml is None, "PyYAML is missing")
class Yaml(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / "job.yaml"

    def read(self, text):
        self.path.write_text(text, encoding="utf-8")
        return _manifest.read(self.path)

    def test_scalars_are_those_of_the_command_line(self):
        for text, expected in json.loads(TABLE.read_text()):
            with self.subTest(text):
                (value,) = self.read(f"- {text}")[0]
                self.assertEqual((value, type(value)), (expected, type(expected)))

    def test_keys_are_text_and_maps_are_merged(self):
        self.assertEqual(self.read("on: 1\nno: {1: a}"), [{"on": 1, "no": {"1": "a"}}])
        self.assertEqual(
            self.read("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nboth: {<<: [{z: 1}, {z: 2}], '<<': 5}"),
            [{"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}, "both": {"z": 1, "<<": 5}}],
        )

    def test_documents_that_are_empty_are_none(self):
        self.assertEqual(self.read("---\n# nothing\n---\na: 1e-3\n---\n---\nb:\n"), [{"a": 0.001}, {"b": None}])
        self.assertEqual(self.read("\ufeffa: 1\n"), [{"a": 1}])
        self.assertEqual(self.read('\ufeff{"a": 1}'), [{"a": 1}])

    def test_whole_numbers_of_json_are_whole(self):
        values = self.read('{"a": 2.0, "b": 1e3, "c": 1.5, "d": 1e300}')[0].values()
        self.assertEqual([type(each) for each in values], [int, int, float, float])

    def test_what_cannot_be_is_refused_by_its_place(self):
        bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
            f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 12)
        )
        for text, says in (
            ("spec:\n  a: 1\n  a: 2\n", "job.yaml:3:3: key 'a' appears twice; remove one"),
            ("a: !!binary aGk=\n", "job.yaml:1:4: tag 'tag:yaml.org,2002:binary' has no meaning"),
            ("a: !secret x\n", "job.yaml:1:4: tag '!secret' has no meaning"),
            ("{[1]: 2}", "a key must be plain text"),
            ("a: {<<: 5}", "'<<' needs a map"),
            ("a: [1", "job.yaml: while parsing"),
            (bomb, "aliases expand to too many values"),
            ("a: &a [*a]", "nested too deeply"),
            ("[" * 100000, "nested too deeply"),
            ("- " * 3000, "nested too deeply"),
        ):
            with self.assertRaisesRegex(muster.Error, says):
                self.read(text)
        self.path.write_bytes(b"name: caf\xe9")
        with self.assertRaisesRegex(muster.Error, "job.yaml: is not UTF-8; save it as UTF-8"):
            _manifest.read(self.path)


class Lists(unittest.TestCase):
    def test_are_unfolded(self):
        job = {"apiVersion": "muster.dev/v1alpha1", "kind": "DistributedJob", "metadata": {"name": "own"}}
        bare = {"metadata": {"name": "bare"}}
        for manifest in (
            {"apiVersion": "v1", "kind": "List", "items": [job, {"apiVersion": "v1", "kind": "List", "items": [job]}]},
            [{"apiVersion": "muster.dev/v1alpha1", "kind": "DistributedJobList", "items": [bare]}, job],
        ):
            objects = _manifest.objects_of(manifest)
            self.assertEqual([each["kind"] for each in objects], ["DistributedJob"] * 2)
            self.assertEqual([each["apiVersion"] for each in objects], ["muster.dev/v1alpha1"] * 2)
        with self.assertRaisesRegex(muster.Error, "no apiVersion or kind"):
            _manifest.objects_of({"apiVersion": "v1", "kind": "List", "items": [bare]})


if __name__ == "__main__":
    unittest.main()
