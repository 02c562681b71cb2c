#!/usr/bin/python3
"""rights.py AUDIT_LOG ACCOUNT [SETTING...]: are the rights that the chart gives exactly those that its operator used?

AUDIT_LOG holds audit.k8s.io/v1 events, a line each, ACCOUNT is the user that operators authenticate as, SETTINGs are those of the
release. Prints each difference, with the value of the chart that brings the right, and ends with 1 if there is one.
"""
import json
import sys

import yaml

import chart

# Values whose rights are for one of several systems: what was used of one of them counts for the others.
ALTERNATIVES = {
    "rbac.gangs",  # groups of Kubernetes itself, of scheduler-plugins and of Volcano
}

# Given though no call shows it.
NEVER_SEEN = {
    # What asks for it is the API server's admission plugin OwnerReferencesPermissionEnforcement, at the creation of a pod whose owner reference blocks its owner's deletion.
    ("muster.dev", "distributedjobs/finalizers", "update"),
    ("muster.dev", "federatedrounds/finalizers", "update"),
    # A create that meets its own Workload, of which the cache has not heard yet; nobody else's has a name with the object's uid.
    ("kueue.x-k8s.io", "workloads", "get"),
}


def given(settings):
    """(group, resource, verb) -> the names that it is limited to, or None."""
    rights = {}
    for document in chart.rendered(settings):
        ours = document["metadata"]["name"].endswith("-operator")
        if document["kind"] not in ("Role", "ClusterRole") or not ours:
            continue
        for rule in document["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        rights[group, resource, verb] = rule.get("resourceNames")
    return rights


def values_of(settings):
    """(group, resource, verb) -> the switch below `rbac` that brings it, if one does."""
    switches = yaml.safe_load((chart.CHART / "values.yaml").read_text())["rbac"]
    everything = given(settings)
    brought = {}
    for name, default in switches.items():
        if not isinstance(default, bool) or name == "create":
            continue
        for right in everything.keys() - given([*settings, f"rbac.{name}=false"]).keys():
            brought[right] = f"rbac.{name}"
    return brought


def used(log, account):
    """(group, resource, verb) -> the names that it was used for."""
    rights = {}
    for line in open(log):
        event = json.loads(line)
        if event["user"]["username"] != account or "objectRef" not in event:
            continue
        about = event["objectRef"]
        resource = about["resource"] + ("/" + about["subresource"] if about.get("subresource") else "")
        rights.setdefault((about.get("apiGroup", ""), resource, event["verb"]), set()).add(about.get("name", ""))
    return rights


def differences(given, used, brought):
    alternatives = {(brought[right], right[2]) for right in used if brought.get(right) in ALTERNATIVES}
    for right, names in used.items():
        if right not in given:
            yield f"used, not given: {right} for {sorted(names)}"
        elif given[right] is not None and not names <= set(given[right]):
            yield f"given for {given[right]} only: {right} for {sorted(names)}"
    for right in given:
        if right not in used and right not in NEVER_SEEN and (brought.get(right), right[2]) not in alternatives:
            yield f"given, not used: {right}" + (f", which {brought[right]} brings" if right in brought else "")
    for right in NEVER_SEEN:
        if right in used or right not in given:
            yield f"an exception that is none: {right}"


def main():
    log, account, *settings = sys.argv[1:]
    seen = used(log, account)
    found = sorted(differences(given(settings), seen, values_of(settings)))
    print("\n".join(found) or f"{len(seen)} rights used, none lacking, none too many")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
