"""Manifests and kubeconfigs as kubectl and muster read them: YAML's words and numbers, many documents, lists."""

import json
import math
import os
import pathlib
import re
from typing import Any, Dict, List, Mapping, Sequence, Union

from ._library import Error

Manifest = Union[str, "os.PathLike[str]", Mapping[str, Any], Sequence[Mapping[str, Any]]]

_DEPTH_MAX = 200
_VALUES_PER_CHARACTER, _VALUES_FREE = 10, 1000  # what aliases may expand to, as common/yaml/yaml.cc has it
_PLAIN = "muster:plain"
_PREFIX = "tag:yaml.org,2002:"
_NULL = ("", "~", "null", "Null", "NULL")
_TRUE = ("true", "True", "TRUE", "y", "Y", "yes", "Yes", "YES", "on", "On", "ON")
_FALSE = ("false", "False", "FALSE", "n", "N", "no", "No", "NO", "off", "Off", "OFF")
_INTEGER = re.compile(r"([-+]?)(?:0x([0-9a-fA-F]+)|0o([0-7]+)|0([0-7]+)|([0-9]|[1-9][0-9]+))", re.ASCII)
_REAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)


def read(path: "Union[str, os.PathLike[str]]") -> List[Any]:
    """The documents of a JSON or YAML file that are not empty. Raises muster.Error, by path, line and column."""
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Error(f"{path}: {error.strerror}") from None
    except ValueError:
        raise Error(f"{path}: is not UTF-8; save it as UTF-8") from None
    try:
        return [json.loads(text, parse_float=_number)]
    except RecursionError:
        raise Error(f"{path}: is nested too deeply") from None
    except ValueError:
        pass
    try:
        import yaml
    except ImportError:
        raise Error(f"{path} is no JSON, and PyYAML, which reads YAML, is missing; install it: pip install pyyaml") from None

    class Loader(yaml.SafeLoader):
        def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
            """Which scalars stand without quotes and tag: what these mean is not PyYAML's to say."""
            if kind is yaml.ScalarNode and implicit[0]:
                return _PLAIN
            return super().resolve(kind, value, implicit)

    try:
        values = [_Values(str(path), text).of(node, 0) for node in yaml.compose_all(text, Loader) if node is not None]
    except yaml.YAMLError as error:
        raise Error(f"{path}: {error}") from None
    except RecursionError:
        raise Error(f"{path}: is nested too deeply") from None
    return [each for each in values if each is not None]


def plain_scalar(text: str) -> Any:
    """What a word means that is neither quoted nor tagged: common/yaml/plain_scalar.cc, to the letter."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    digits = text.replace("_", "") if text[0] in "0123456789+-" else text  # YAML 1.1: 1_000_000
    integer = _INTEGER.fullmatch(digits)
    if integer:
        sign, by_16, by_8, by_0, by_10 = integer.groups()
        magnitude = int(by_16, 16) if by_16 else int(by_8 or by_0, 8) if by_8 or by_0 else int(by_10)
        value = -magnitude if sign == "-" else magnitude
        if -(1 << 63) <= value < 1 << 64:
            return value
    if _REAL.fullmatch(digits) and math.isfinite(float(digits)):
        return _number(digits)
    return text


def _number(text: str) -> Union[int, float]:
    """As kubectl sends it: 2.0 and 1e3 are 2 and 1000, which integer fields and the rules on them take."""
    value = float(text)
    return int(value) if value.is_integer() and abs(value) < 1 << 63 else value


class _Values:
    """The nodes of one document as values."""

    def __init__(self, path: str, text: str):
        self._path = path
        self._left = _VALUES_FREE + _VALUES_PER_CHARACTER * len(text)

    def of(self, node: Any, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise self._error(node, "its aliases expand to too many values")
        if depth > _DEPTH_MAX:
            raise self._error(node, "is nested too deeply")
        if node.id == "sequence":
            return [self.of(each, depth + 1) for each in node.value]
        if node.id == "mapping":
            return self._mapping(node, depth)
        if node.tag == _PLAIN or node.tag in [_PREFIX + kind for kind in ("int", "float", "bool", "null")]:
            return plain_scalar(node.value)
        if node.tag == _PREFIX + "str":
            return node.value
        raise self._error(node, f"tag {node.tag!r} has no meaning in a manifest; remove it")

    def _mapping(self, node: Any, depth: int) -> Dict[str, Any]:
        own: Dict[str, Any] = {}
        merged: Dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise self._error(key, "a key must be plain text")
            made = self.of(value, depth + 1)
            if key.value == "<<" and key.tag == _PLAIN:
                parts = made if isinstance(made, list) else [made]
                if not all(isinstance(part, dict) for part in parts):
                    raise self._error(value, "'<<' needs a map or a list of maps")
                for part in reversed(parts):  # the first one wins
                    merged.update(part)
            elif key.value in own:
                raise self._error(key, f"key {key.value!r} appears twice; remove one of them")
            else:
                own[key.value] = made
        return {**merged, **own}

    def _error(self, node: Any, what: str) -> Error:
        mark = node.start_mark
        return Error(f"{self._path}:{mark.line + 1}:{mark.column + 1}: {what}")


def objects_of(manifest: Manifest) -> List[Dict[str, Any]]:
    """The objects of a manifest, those of its lists, too. Raises muster.Error."""
    if isinstance(manifest, (str, os.PathLike)):
        found: Sequence[Any] = read(manifest)
    elif isinstance(manifest, Mapping):
        found = [manifest]
    else:
        found = manifest
    objects = [dict(each) if isinstance(each, Mapping) else {} for one in found for each in _unfolded(one)]
    for each in objects:
        each["metadata"] = each["metadata"] if isinstance(each.get("metadata"), Mapping) else {}
        if not each.get("apiVersion") or not each.get("kind"):
            raise Error("muster.submit: an object of the manifest has no apiVersion or kind")
    return objects


def _unfolded(one: Any) -> List[Any]:
    """Of kind List, and of lists as the API serves them, whose items do not say what they are."""
    kind = str(one.get("kind") or "") if isinstance(one, Mapping) else ""
    if not kind.endswith("List") or not isinstance(one.get("items"), (list, tuple)):
        return [one]
    header = {} if kind == "List" else {"apiVersion": one.get("apiVersion"), "kind": kind[: -len("List")]}
    items = [{**header, **each} if isinstance(each, Mapping) else each for each in one["items"]]
    return [each for item in items for each in _unfolded(item)]
