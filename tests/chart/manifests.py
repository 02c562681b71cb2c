#!/usr/bin/python3
"""manifests.py FOLDER: what the chart renders, a file for each set of values of the matrix. Objects of prometheus-operator are left out: a
server without it refuses them, and render_test.py holds them against their types."""
import pathlib
import re
import sys

import yaml

import chart

folder = pathlib.Path(sys.argv[1])
folder.mkdir()
accounts = {}
for title, settings in chart.MATRIX.items():
    known = [d for d in chart.rendered(settings) if not d["apiVersion"].startswith("monitoring.coreos.com/")]
    if title != "defaults":  # large, and the same in all
        known = [d for d in known if d["kind"] != "CustomResourceDefinition"]
    (folder / (re.sub("[^a-z]+", "-", title) + ".yaml")).write_text(yaml.safe_dump_all(known))
    accounts |= {(d["metadata"]["namespace"], d["metadata"]["name"]): d for d in known if d["kind"] == "ServiceAccount"}
(folder / "accounts").write_text(yaml.safe_dump_all(accounts.values()))  # a pod is refused without its account
