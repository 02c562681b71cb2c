#!/usr/bin/python3
"""rights.py AUDIT_LOG ACCOUNT [SETTING...]: are the rights that the chart gives exactly those that its operator used?

AUDIT_LOG holds audit.k8s.io/v1 events, a line each, ACCOUNT is the user that operators authenticate as. Prints each difference and ends
with 1 if there is one.
"""
import json
import sys

import chart

# Given though no call shows it: what asks for it is the API server itself.
NEVER_SEEN = {
    # The admission plugin OwnerReferencesPermissionEnforcement, at the creation of a pod whose owner reference blocks its owner's deletion.
    ("muster.dev", "distributedjobs/finalizers", "update"),
    ("muster.dev", "federatedrounds/finalizers", "update"),
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


def differences(given, used):
    for right, names in used.items():
        if right not in given:
            yield f"used, not given: {right} for {sorted(names)}"
        elif given[right] is not None and not names <= set(given[right]):
            yield f"given for {given[right]} only: {right} for {sorted(names)}"
    for right in given:
        if right not in used and right not in NEVER_SEEN:
            yield f"given, not used: {right}"
    for right in NEVER_SEEN:
        if right in used or right not in given:
            yield f"an exception that is none: {right}"


def main():
    found = sorted(differences(given(sys.argv[3:]), used(sys.argv[1], sys.argv[2])))
    print("\n".join(found) or f"{len(used(sys.argv[1], sys.argv[2]))} rights, all used, none lacking")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
