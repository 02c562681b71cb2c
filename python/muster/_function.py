"""A job of one function: its source travels in a ConfigMap."""

import builtins
import dis
import hashlib
import inspect
import types
from typing import Any, Callable, Dict, Iterator, Optional, Set

from ._library import Error
from ._submit import Run, submit
from ._version import __version__

_SOURCE_MAX = 512 * 1024  # of a ConfigMap's MiB


def DistributedJob(  # noqa: N802: it makes one
    name: str,
    train: Callable[[], Any],
    image: str = f"muster-python:{__version__}",
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
    inside of it. image: with python3, the wheel of muster and what train imports; `./dev image python` makes the one that is
    meant here, of this version, for programs without PyTorch or with it. Without a cluster this machine's python3 runs it. synchronization: as in the manifest. Raises muster.Error: a function that is not self-contained, by the names
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
        "immutable": True,  # pods that are replaced later run the same
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
    train = inspect.unwrap(train)  # its source begins with the decorator
    name = train.__code__.co_name
    if inspect.signature(train).parameters:
        raise Error(f"muster.DistributedJob: {name} must take no arguments; nobody would give it any")
    if inspect.iscoroutinefunction(train) or inspect.isgeneratorfunction(train) or inspect.isasyncgenfunction(train):
        raise Error(f"muster.DistributedJob: {name} must be a plain function; calling this one would not run it")
    try:
        source = inspect.getsource(train)
    except OSError:
        raise Error(f"muster.DistributedJob: the source of {name} is not in a file or a notebook's cell") from None
    if source[0] in " \t":  # of an inner function; a text of several lines in it keeps its own indentation
        source = f"if True:\n{source}"
    if len(source) > _SOURCE_MAX:
        raise Error(f"muster.DistributedJob: {name} is longer than {_SOURCE_MAX} bytes; build it into the image")
    try:
        module = compile(source, f"<source of {name}>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise Error(
            f"muster.DistributedJob: the source of {name} is no program by itself: {error}; define it by a def of its own"
        ) from None
    # Of the whole source: decorators, defaults and annotations are looked for where it is defined.
    lacking = set(train.__code__.co_freevars) | {each for each in _globals_of(module) if not hasattr(builtins, each)}
    lacking -= {name}
    if lacking:
        raise Error(
            f"muster.DistributedJob: {name} uses {', '.join(sorted(lacking))} from outside of it; import or define it "
            "inside, as the function alone travels"
        )
    return f'{source}\n\nif __name__ == "__main__":\n    {name}()\n'


def _globals_of(code: types.CodeType) -> Iterator[str]:
    """Names that the code looks for outside of it, functions and classes inside of it as well."""
    stored: Set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":  # of a class's body
            stored.add(step.argval)
        by_name = step.opname in ("LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
        if step.opname == "LOAD_GLOBAL" or (by_name and step.argval not in stored):
            if step.argval not in ("__name__", "__qualname__", "__module__", "__file__"):
                yield step.argval
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _globals_of(inner)
