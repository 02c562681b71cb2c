"""A job of one function: its source travels in a ConfigMap."""

import builtins
import dis
import hashlib
import inspect
import textwrap
import types
from typing import Any, Callable, Dict, Iterator, Optional, Set

from ._library import Error
from ._submit import Run, submit

_SOURCE_MAX = 512 * 1024  # of a ConfigMap's MiB


def DistributedJob(  # noqa: N802: it makes one
    name: str,
    train: Callable[[], Any],
    image: str,
    workers: int = 2,
    min_workers: Optional[int] = None,
    batch_size: int = 64,
    epochs: int = 1,
    seed: int = 0,
    synchronization: Optional[Dict[str, Any]] = None,
    namespace: Optional[str] = None,
) -> Run:
    """Runs train() on `workers` workers, each in a container of `image`, and returns the run.

    train: a function without arguments that calls muster.init(), and is self-contained: what it uses is imported or defined
    inside of it. image: with python3, the wheel of muster and what train imports; without a cluster this machine's python3
    runs it. synchronization: as in the manifest. Raises muster.Error: a function that is not self-contained, by the names
    that it lacks, and what submit does.
    """
    source = source_of(train)
    # By its content: what exists already stays as it is, and an earlier function of this name is another program.
    program_name = f"{name}-program-{hashlib.sha256(source.encode()).hexdigest()[:10]}"
    worker = {
        "name": "worker",
        "image": image,
        "command": ["python3", "/muster-program/train.py"],
        "volumeMounts": [{"name": "program", "mountPath": "/muster-program", "readOnly": True}],
    }
    spec: Dict[str, Any] = {
        "workers": {
            "replicas": workers,
            "template": {
                "spec": {"containers": [worker], "volumes": [{"name": "program", "configMap": {"name": program_name}}]}
            },
        },
        "training": {"program": {}, "batchSize": batch_size, "epochs": epochs, "seed": seed},
    }
    if min_workers is not None:
        spec["workers"]["minReplicas"] = min_workers
    if synchronization is not None:
        spec["synchronization"] = synchronization
    program = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": program_name},
        "data": {"train.py": source},
    }
    job = {"apiVersion": "muster.dev/v1alpha1", "kind": "DistributedJob", "metadata": {"name": name}, "spec": spec}
    run = submit([program, job], namespace)
    run._own("v1", "ConfigMap", program_name)
    return run


def source_of(train: Callable[[], Any]) -> str:
    """A program that calls the function. Raises muster.Error where it would lack something."""
    if not isinstance(train, types.FunctionType) or train.__name__ == "<lambda>":
        raise Error("muster.DistributedJob: train must be a function made by def, as its source travels")
    if inspect.signature(train).parameters:
        raise Error(f"muster.DistributedJob: {train.__name__} must take no arguments; nobody would give it any")
    lacking = set(train.__code__.co_freevars) | {each for each in _globals_of(train.__code__) if not hasattr(builtins, each)}
    lacking -= {train.__name__}
    if lacking:
        raise Error(
            f"muster.DistributedJob: {train.__name__} uses {', '.join(sorted(lacking))} from outside of it; import or define it "
            "inside, as the function alone travels"
        )
    try:
        source = textwrap.dedent(inspect.getsource(train))
    except OSError:
        raise Error(f"muster.DistributedJob: the source of {train.__name__} is not in a file or a notebook's cell") from None
    if len(source) > _SOURCE_MAX:
        raise Error(f"muster.DistributedJob: {train.__name__} is longer than {_SOURCE_MAX} bytes; build it into the image")
    return f'{source}\n\nif __name__ == "__main__":\n    {train.__name__}()\n'


def _globals_of(code: types.CodeType) -> Iterator[str]:
    """Names that the code looks for outside of it, functions and classes inside of it as well."""
    stored: Set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":  # of a class's body
            stored.add(step.argval)
        if step.opname == "LOAD_GLOBAL" or (step.opname == "LOAD_NAME" and step.argval not in stored):
            if step.argval not in ("__name__", "__qualname__", "__module__"):
                yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals_of(inner)
