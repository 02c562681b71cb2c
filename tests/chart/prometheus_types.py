"""Objects of prometheus-operator against its published TypeScript types: unknown fields, missing ones, wrong types.

The types are those of npm's @kubernetes-models/prometheus-operator, which are generated from the project's Go types.
"""
import pathlib
import re

PREFIX = "ComGithubPrometheusOperatorPrometheusOperatorPkgApisMonitoringV1"
SCALARS = {"string": str, "number": (int, float), "boolean": bool}


class Types:
    def __init__(self, package):
        self.folder = pathlib.Path(package) / "monitoring.coreos.com" / "v1"
        self.known = {}

    def interface(self, kind):
        """Field -> (its type, whether it is required), or the type that `kind` stands for."""
        if kind in self.known:
            return self.known[kind]
        text = re.sub(r"/\*.*?\*/", "", (self.folder / f"{kind}.d.ts").read_text(), flags=re.S)
        text = re.sub(r"\{\s*\[key: string\]: string;\s*\}", "Texts", text)
        # The class has the inherited fields, too.
        body = re.search(r"export declare class %s\b[^{]*\{(.*?)\n    constructor" % kind, text, flags=re.S)
        if body:
            fields = re.findall(r'^    "([^"]+)"(\??): (.+?);$', body.group(1), flags=re.M)
            found = {field: (type_, not optional) for field, optional, type_ in fields}
        else:
            found = re.search(r"export type I%s = (.+?);" % kind, text, flags=re.S).group(1)
        self.known[kind] = found
        return found

    def problems(self, value, type_, path):
        if type_.startswith("Array<"):
            if not isinstance(value, list):
                return [f"{path}: not a list"]
            return [p for i, item in enumerate(value) for p in self.problems(item, type_[6:-1], f"{path}[{i}]")]
        if type_.startswith('"'):
            return [] if f'"{value}"' in type_.split(" | ") else [f"{path}: {value!r} is none of {type_}"]
        if type_ == "Texts":
            wrong = not isinstance(value, dict) or any(not isinstance(text, str) for text in value.values())
            return [f"{path}: not a map of texts"] if wrong else []
        if type_ in SCALARS:
            return [] if isinstance(value, SCALARS[type_]) and (type_ == "boolean") == isinstance(value, bool) else [f"{path}: {value!r} is no {type_}"]
        if not type_.startswith("I" + PREFIX):
            return []  # a type of Kubernetes itself: labels, selectors
        found = self.interface(type_[1 + len(PREFIX):])
        if isinstance(found, str):
            return self.problems(value, found, path)
        if not isinstance(value, dict):
            return [f"{path}: not an object"]
        out = [f"{path}.{field}: unknown" for field in value if field not in found]
        out += [f"{path}.{field}: missing" for field, (_, required) in found.items() if required and field not in value]
        for field in value:
            if field in found:
                out += self.problems(value[field], found[field][0], f"{path}.{field}")
        return out

    def object_problems(self, document):
        return self.problems(document["spec"], f"I{PREFIX}{document['kind']}Spec", "spec")
