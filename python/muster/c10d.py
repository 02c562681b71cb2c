"""The backend "muster" of torch.distributed: a stock DistributedDataParallel script in a DistributedJob with training.program.

    import muster.c10d
    torch.distributed.init_process_group("muster")

Its collectives are those of the worker beside the program, on the job's topology: all_reduce, broadcast, all_gather,
reduce_scatter and barrier, on the CPU; every other is refused by name. No group of Gloo or NCCL is made. A rank that is lost
makes every call under way, and every later one, raise a RuntimeError that names it. Alone the group is of one.
"""

import atexit
import os
import sys
import threading
import traceback
from typing import Any, Callable, Iterator, List, Optional, Tuple

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store

from ._collectives import BARRIER, Group
from ._job import end_by_sigterm, write_last_words

_LOST = 75  # the exit code of a rank whose peer was lost: the cause is elsewhere
_REDUCE = {
    "SUM": lambda parts: parts.sum(0, dtype=parts.dtype),
    "PRODUCT": lambda parts: parts.prod(0, dtype=parts.dtype),
    "MIN": lambda parts: parts.min(0).values,
    "MAX": lambda parts: parts.max(0).values,
}
_REDUCE_NAMES = [*_REDUCE, "AVG"]


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """A view where the tensor is contiguous, else a copy."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _name_of(op: Any) -> str:
    """Of a ReduceOp, whatever torch's version makes of it."""
    for name in _REDUCE_NAMES:
        known = getattr(dist.ReduceOp, name, None)
        if known is not None and op == known:
            return name
    return str(op)


def _on_cpu(tensors: List[torch.Tensor], call: str) -> None:
    for each in tensors:
        if each.device.type != "cpu" or each.is_sparse or each.is_complex():
            raise RuntimeError(f"muster: {call} is of dense real tensors on the CPU, not of a {each.dtype} on {each.device}")


def _knows(call: str, op: str, tensors: List[torch.Tensor]) -> None:
    if op not in _REDUCE_NAMES:
        raise RuntimeError(f"muster: {call} knows {', '.join(_REDUCE_NAMES)}, not {op}")
    if op == "AVG" and any(each.dtype == torch.bool for each in tensors):
        raise RuntimeError(f"muster: {call} has no AVG of bool; use a number's type, or MIN or MAX")


def _fit(call: str, fits: bool) -> None:
    if not fits:
        raise RuntimeError(f"muster: {call} takes a tensor of the same number of elements for each rank")


def _same_type(call: str, tensors: List[torch.Tensor]) -> None:
    for each in tensors:
        if each.dtype != tensors[0].dtype:
            raise RuntimeError(f"muster: {call} takes tensors of one type, not of {tensors[0].dtype} and {each.dtype}")


def _reduce(group: Group, tensor: torch.Tensor, name: str) -> None:
    """float32 sums by the topology's schedule; all others from every rank's, which go to all."""
    flat = tensor.detach().contiguous().view(-1)
    if tensor.dtype == torch.float32 and name in ("SUM", "AVG"):
        group.sum(flat)
    else:
        parts = group.gather(_bytes_of(flat)).view(-1).view(tensor.dtype).view(group.size, -1)
        if tensor.dtype in (torch.float16, torch.bfloat16):  # of which torch cannot reduce all on a CPU
            parts = parts.float()
        flat = _REDUCE["SUM" if name == "AVG" else name](parts)
    if name == "AVG":
        flat = torch.div(flat, group.size, rounding_mode=None if flat.is_floating_point() else "trunc")
    if flat.data_ptr() != tensor.data_ptr():
        tensor.detach().copy_(flat.view(tensor.shape))


class ProcessGroup(dist.ProcessGroup):
    """What torch.distributed calls; all return a Work."""

    def __init__(self, group: Group):
        super().__init__(group.rank, group.size)
        self._group = group

    def getBackendName(self) -> str:  # noqa: N802: torch's name
        return "muster"

    def allreduce(self, tensors: List[torch.Tensor], opts: Any = None) -> Any:
        name = "SUM" if opts is None else _name_of(opts.reduceOp)
        _on_cpu(tensors, "all_reduce")
        _knows("all_reduce", name, tensors)

        def call() -> None:
            for each in tensors:
                _reduce(self._group, each, name)

        return self._group.later(call, tensors)

    def broadcast(self, tensors: List[torch.Tensor], opts: Any) -> Any:
        _on_cpu(tensors, "broadcast")

        def call() -> None:
            for each in tensors:
                data = _bytes_of(each)
                self._group.broadcast(data, opts.rootRank)
                if data.data_ptr() != each.data_ptr():
                    each.detach().copy_(data.view(each.dtype).view(each.shape))

        return self._group.later(call, tensors)

    def allgather(self, outputs: List[List[torch.Tensor]], inputs: List[torch.Tensor], opts: Any = None) -> Any:
        _on_cpu([*inputs, *outputs[0]], "all_gather")
        for given, found in zip(inputs, outputs):
            _fit("all_gather", len(found) == self._group.size and all(each.numel() == given.numel() for each in found))
            _same_type("all_gather", [given, *found])

        def call() -> None:
            for given, found in zip(inputs, outputs):
                rows = self._group.gather(_bytes_of(given))
                for row, each in zip(rows, found):
                    each.detach().copy_(row.view(given.dtype).view(given.shape))

        return self._group.later(call, outputs[0])

    def _allgather_base(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> Any:
        _on_cpu([output, given], "all_gather_into_tensor")
        _fit("all_gather_into_tensor", output.numel() == given.numel() * self._group.size)
        _same_type("all_gather_into_tensor", [given, output])

        def call() -> None:
            rows = self._group.gather(_bytes_of(given))
            output.detach().copy_(rows.view(-1).view(given.dtype).view(output.shape))

        return self._group.later(call, [output])

    def reduce_scatter(self, outputs: List[torch.Tensor], inputs: List[List[torch.Tensor]], opts: Any = None) -> Any:
        """The sum of all, of which each rank takes its part: it costs what an all_reduce does."""
        name = "SUM" if opts is None else _name_of(opts.reduceOp)
        _on_cpu([*outputs, *inputs[0]], "reduce_scatter")
        _knows("reduce_scatter", name, inputs[0])
        for found, given in zip(outputs, inputs):
            _fit("reduce_scatter", len(given) == self._group.size and given[self._group.rank].numel() == found.numel())
            _same_type("reduce_scatter", [found, *given])

        def call() -> None:
            for found, given in zip(outputs, inputs):
                whole = torch.cat([each.detach().reshape(-1) for each in given])
                _reduce(self._group, whole, name)
                begin = sum(each.numel() for each in given[: self._group.rank])
                found.detach().copy_(whole[begin : begin + found.numel()].view(found.shape))

        return self._group.later(call, outputs)

    def _reduce_scatter_base(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> Any:
        _fit("reduce_scatter_tensor", given.numel() == output.numel() * self._group.size)
        return self.reduce_scatter([output], [list(given.detach().reshape(-1).chunk(self._group.size))], opts)

    def barrier(self, opts: Any = None) -> Any:
        return self._group.later(lambda: self._group.collect(BARRIER, 0), [])


def _refuse(name: str) -> Callable[..., Any]:
    def refused(self: Any, *arguments: Any, **named: Any) -> Any:
        raise RuntimeError(
            f"muster: the backend has no {name}; it has all_reduce, broadcast, all_gather, reduce_scatter and barrier"
        )

    return refused


for _name in (
    *("reduce", "gather", "scatter", "send", "recv", "recv_anysource", "alltoall", "alltoall_base", "allreduce_coalesced"),
    *("allgather_coalesced", "allgather_into_tensor_coalesced", "reduce_scatter_tensor_coalesced"),
):
    setattr(ProcessGroup, _name, _refuse(_name))


def compressed_hook(state: Any, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
    """The mean of DistributedDataParallel's gradients by what spec.compression of the job says; without it, as they are:

        model = torch.nn.parallel.DistributedDataParallel(model)
        model.register_comm_hook(None, muster.c10d.compressed_hook)

    bucket: a dist.GradBucket, float32 on the CPU. With errorFeedback what a sum leaves out goes with the next one of its
    bucket. No other all_reduce is compressed: of a loss, of counts or of parameters it would not be sound. Every rank gets the
    same bits. Of other types the sum is as it is.
    """
    group, flat, number = _open(), bucket.buffer(), (id(bucket.parameters()[0]), bucket.index())
    _on_cpu([flat], "compressed_hook")

    def call() -> None:
        if flat.dtype == torch.float32:
            group.sum(flat, number)
            flat.div_(group.size)
        else:
            _reduce(group, flat, "AVG")

    return group.later(call, [flat]).get_future().then(lambda done: done.value()[0])


_group: Optional[Group] = None


def _open() -> Group:
    global _group
    if _group is None:
        _group = Group()
        _end_with(_group)
    return _group


def _end_with(group: Group) -> None:
    """A script that comes to its end without an exception, and without sys.exit of anything but 0, is done; one that has lost
    a peer ends as such. A process that the script forks says nothing."""
    raised: List[Any] = []
    owner = os.getpid()
    leave = sys.exit
    if os.environ.get("MUSTER_SOCKET"):
        end_by_sigterm(lambda: raised.append(SystemExit))
    previous = sys.excepthook

    def tell(kind: Any, error: Any, trace: Any) -> None:
        raised.append(kind)
        if os.environ.get("MUSTER_SOCKET"):
            write_last_words("".join(traceback.format_exception(kind, error, trace)))
        previous(kind, error, trace)
        if group.failure is not None and issubclass(kind, RuntimeError):
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(_LOST)

    def exit_with(status: Any = None) -> Any:
        if threading.current_thread() is threading.main_thread():
            group.last_exit = status
        leave(status)

    def end() -> None:
        if os.getpid() == owner and not raised and group.last_exit in (None, 0):
            group.done()

    sys.exit = exit_with
    sys.excepthook = tell
    atexit.register(end)


def _create(store: Any, rank: int, size: int, timeout: Any) -> ProcessGroup:
    group = _open()
    if size != group.size:
        raise RuntimeError(f"muster: a group is of all {group.size} ranks, not of {size}; the backend has no smaller ones")
    if rank != group.rank:
        raise RuntimeError(f"muster: this is rank {group.rank}, as muster says, not {rank}; leave rank and world_size away")
    return ProcessGroup(group)


def _rendezvous(url: str, *arguments: Any, **named: Any) -> Iterator[Tuple[Store, int, int]]:
    group = _open()
    yield group.store, group.rank, group.size


def _register() -> None:
    if hasattr(dist.Backend, "MUSTER"):
        return
    try:
        dist.Backend.register_backend("muster", _create, devices=["cpu"])
    except TypeError:  # torch 1.13
        dist.Backend.register_backend("muster", _create)
    dist.register_rendezvous_handler("muster", _rendezvous)
    if not os.environ.get("MUSTER_SOCKET") and "RANK" in os.environ:
        return  # torchrun's: its store says who is who
    # env:// is what init_process_group takes when it is told nothing else; in a job its variables are not there. Who sets
    # them means torch's own, as for a group of Gloo.
    handlers = getattr(sys.modules.get("torch.distributed.rendezvous"), "_rendezvous_handlers", None)
    if handlers is None:
        return
    usual = handlers["env"]

    def of_environment(url: str, *arguments: Any, **named: Any) -> Any:
        return (usual if "MASTER_ADDR" in os.environ else _rendezvous)(url, *arguments, **named)

    handlers["env"] = of_environment


_register()
