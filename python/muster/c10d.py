"""The backend "muster" of torch.distributed: a stock DistributedDataParallel script in a DistributedJob with training.program.

    import muster.c10d
    torch.distributed.init_process_group("muster")

Its collectives are those of the worker beside the program, on the job's topology: all_reduce, broadcast, all_gather,
reduce_scatter and barrier, on the CPU; every other is refused by name. No group of Gloo or NCCL is made. A rank that is lost
makes every call under way, and every later one, raise a RuntimeError that names it. Alone the group is of one.
"""

import atexit
import collections
import concurrent.futures
import ctypes
import os
import sys
import threading
import traceback
from typing import Any, Callable, Iterator, List, Optional, Tuple

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Store
from torch._C._distributed_c10d import Work as _TorchWork

from . import _library
from ._job import end_by_sigterm, write_last_words
from ._library import Error

_ROOM = 64 << 20  # bytes of one call; what is larger goes in pieces. A bucket of DDP is of 25 MiB
_SUM, _BROADCAST, _GATHER, _BARRIER = 1, 2, 3, 4
_RECENT = 2  # works of which the results are kept although they have come
_LOST = 75  # the exit code of a rank whose peer was lost: the cause is elsewhere
_REDUCE = {
    "SUM": lambda parts: parts.sum(0, dtype=parts.dtype),
    "PRODUCT": lambda parts: parts.prod(0, dtype=parts.dtype),
    "MIN": lambda parts: parts.min(0).values,
    "MAX": lambda parts: parts.max(0).values,
}
_REDUCE_NAMES = [*_REDUCE, "AVG"]


class _Work(_TorchWork):
    """Of c10d: its own over a future forgets, in wait, that the future has failed."""

    def __init__(self, future: Any, raised: List[Exception]):
        super().__init__()
        self._future = future
        self._raised = raised  # by the call: without what torch says around it

    def wait(self, timeout: Any = None) -> bool:
        try:
            if self._future is not None:
                self._future.wait()
        except RuntimeError:
            if self._raised:
                raise RuntimeError(str(self._raised[0])) from None
            raise
        if self._raised:
            raise RuntimeError(str(self._raised[0]))
        return True

    def get_future(self) -> Any:
        return self._future

    def is_completed(self) -> bool:
        return self._future is None or self._future.done()

    def is_success(self) -> bool:
        return self.is_completed() and not self._raised

    def exception(self) -> Optional[Exception]:
        return self._raised[0] if self.is_completed() and self._raised else None

    def result(self) -> List[torch.Tensor]:
        self.wait()
        return list(self._future.value())

    def let_go(self) -> None:
        """Of what it has come to: only that it has, and whether well, is kept."""
        self._future = None


class _Group:
    """The connection to the worker. Calls are made by one thread, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lib = _library.library()
        self._handle = self._lib.muster_open_group(_ROOM)
        error = self._lib.muster_last_error(self._handle).decode()
        if error:
            raise Error(error)
        world = _library.World(size=ctypes.sizeof(_library.World))
        self._lib.muster_get_world(self._handle, ctypes.byref(world))
        self.rank, self.size = int(world.rank), max(int(world.ranks), 1)
        self.failure: Optional[str] = None
        self.room = self._memory("muster_parameters")
        self.all = self._memory("muster_gradient")
        self.store = _NoStore(self)  # torch holds the C++ half of it alone
        # Torch may hold the C++ half of a work alone, which then knows nothing: ours are kept for it. Of the results, which
        # may be GiB, only those that have not come, and the last ones', whose futures torch asks for at once.
        self._works: Any = collections.deque()
        self._over: Any = collections.deque(maxlen=4096)
        self.last_exit: Any = None  # what sys.exit was called with, unless there was a call since
        self._calls = concurrent.futures.ThreadPoolExecutor(1, "muster")

    def _memory(self, function: str) -> torch.Tensor:
        address = getattr(self._lib, function)(self._handle, None)
        return torch.frombuffer((ctypes.c_uint8 * _ROOM).from_address(address), dtype=torch.uint8)

    def collect(self, kind: int, count: int, root: int = 0) -> None:
        """Of `count` bytes of the room."""
        if self.failure is None and self._lib.muster_collect(self._handle, kind, count, root) != 0:
            self.failure = self._lib.muster_last_error(self._handle).decode()
        if self.failure is not None:
            raise RuntimeError(f"muster: {self.failure}")

    def later(self, call: Callable[[], None], result: List[torch.Tensor]) -> Any:
        """A Work of c10d: `call` on the thread of the group, and then `result`."""
        self.last_exit = None
        inference = any(each.is_inference() for each in result)  # such tensors are written in that mode only
        called: Any = torch.futures.Future()
        raised: List[Exception] = []

        def finish(_: Any) -> List[torch.Tensor]:
            if raised:
                raise raised[0]  # in a callback it is the future's failure for C++, too
            return result

        def run() -> None:
            try:
                with torch.inference_mode(inference):
                    call()
            except Exception as error:  # the caller's, when it waits
                raised.append(error)
            called.set_result(None)

        work = _Work(called.then(finish), raised)
        self._keep(work)
        self._calls.submit(run)
        return work

    def _keep(self, work: _Work) -> None:
        self._works.append(work)
        while len(self._works) > _RECENT and self._works[0].is_completed():
            over = self._works.popleft()
            if sys.getrefcount(over) <= 2:  # this name and the call's: else the program holds it, and may ask for more
                over.let_go()
                self._over.append(over)

    def done(self) -> None:
        self._calls.shutdown()
        if self.failure is None and self._lib.muster_group_done(self._handle) != 0:
            self.failure = self._lib.muster_last_error(self._handle).decode()

    # What follows is for the group's thread.

    def sum(self, values: torch.Tensor) -> None:
        """Of float32, in place."""
        for part in values.split(_ROOM // values.element_size()):
            count = part.numel() * part.element_size()
            shared = self.room[:count].view(torch.float32)
            shared.copy_(part)
            self.collect(_SUM, count)
            part.copy_(shared)

    def broadcast(self, data: torch.Tensor, root: int) -> None:
        """Of bytes, in place."""
        for part in data.split(_ROOM):
            if self.rank == root:
                self.room[: len(part)].copy_(part)
            self.collect(_BROADCAST, len(part), root)
            if self.rank != root:
                part.copy_(self.room[: len(part)])

    def gather(self, data: torch.Tensor) -> torch.Tensor:
        """Bytes of all ranks: [ranks, bytes]."""
        gathered = torch.empty(self.size, len(data), dtype=torch.uint8)
        step = _ROOM // self.size // 64 * 64
        for at in range(0, max(len(data), 1), step):  # of nothing, too: all have to agree on that
            part = data[at : at + step]
            self.room[: len(part)].copy_(part)
            self.collect(_GATHER, len(part))
            gathered[:, at : at + step].copy_(self.all[: self.size * len(part)].view(self.size, len(part)))
        return gathered


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


class ProcessGroup(dist.ProcessGroup):
    """What torch.distributed calls; all return a Work."""

    def __init__(self, group: _Group):
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
                self._reduce(each, name)

        return self._group.later(call, tensors)

    def _reduce(self, tensor: torch.Tensor, name: str) -> None:
        """float32 sums by the topology's schedule; all others from every rank's, which go to all."""
        group = self._group
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
                self._reduce(whole, name)
                begin = sum(each.numel() for each in given[: self._group.rank])
                found.detach().copy_(whole[begin : begin + found.numel()].view(found.shape))

        return self._group.later(call, outputs)

    def _reduce_scatter_base(self, output: torch.Tensor, given: torch.Tensor, opts: Any = None) -> Any:
        _fit("reduce_scatter_tensor", given.numel() == output.numel() * self._group.size)
        return self.reduce_scatter([output], [list(given.detach().reshape(-1).chunk(self._group.size))], opts)

    def barrier(self, opts: Any = None) -> Any:
        return self._group.later(lambda: self._group.collect(_BARRIER, 0), [])


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


class _NoStore(Store):
    """What torch asks of a store when a group is made: that all have come to it. It holds nothing."""

    def __init__(self, group: _Group):
        super().__init__()
        self._group = group

    def add(self, key: str, amount: int) -> int:
        if amount > 0:
            self._group.later(lambda: self._group.collect(_BARRIER, 0), []).wait()
        return self._group.size

    def set(self, key: str, value: Any) -> None:
        pass

    def get(self, key: str) -> Any:
        raise RuntimeError(f"muster: the group has no store where {key} could be; make one, and give it to init_process_group")

    def wait(self, keys: Any, timeout: Any = None) -> None:
        pass


_group: Optional[_Group] = None


def _open() -> _Group:
    global _group
    if _group is None:
        _group = _Group()
        _end_with(_group)
    return _group


def _end_with(group: _Group) -> None:
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
