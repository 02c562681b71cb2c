"""The connection of muster.c10d to the worker beside the program, and the works of c10d that its thread does."""

import collections
import concurrent.futures
import ctypes
import sys
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from torch._C._distributed_c10d import Store
from torch._C._distributed_c10d import Work as _TorchWork

from . import _library
from ._library import Error

ROOM = 64 << 20  # bytes of one call; what is larger goes in pieces. A bucket of DDP is of 25 MiB
SUM, BROADCAST, GATHER, BARRIER, COMPRESSED_SUM = 1, 2, 3, 4, 5
_RECENT = 2  # works of which the results are kept although they have come


class Work(_TorchWork):
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


class Group:
    """The connection to the worker. Calls are made by one thread, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._lib = _library.library()
        self._handle = self._lib.muster_open_group(ROOM)
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
        self._numbers: Dict[Tuple[Any, int], int] = {}
        self.last_exit: Any = None  # what sys.exit was called with, unless there was a call since
        self._calls = concurrent.futures.ThreadPoolExecutor(1, "muster")

    def _memory(self, function: str) -> torch.Tensor:
        address = getattr(self._lib, function)(self._handle, None)
        return torch.frombuffer((ctypes.c_uint8 * ROOM).from_address(address), dtype=torch.uint8)

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

        work = Work(called.then(finish), raised)
        self._keep(work)
        self._calls.submit(run)
        return work

    def _keep(self, work: Work) -> None:
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

    def sum(self, values: torch.Tensor, bucket: Any = None) -> None:
        """Of float32, in place. bucket: it may be compressed, and what is left out goes with the next sum of that bucket."""
        for number, part in enumerate(values.split(ROOM // values.element_size())):
            count = part.numel() * part.element_size()
            shared = self.room[:count].view(torch.float32)
            shared.copy_(part)
            if bucket is None:
                self.collect(SUM, count)
            else:
                self.collect(COMPRESSED_SUM, count, self._number(bucket, number))
            part.copy_(shared)

    def _number(self, bucket: Any, part: int) -> int:
        """Of a part of a bucket: counted as they come, which is the same on all ranks."""
        return self._numbers.setdefault((bucket, part), len(self._numbers))

    def broadcast(self, data: torch.Tensor, root: int) -> None:
        """Of bytes, in place."""
        for part in data.split(ROOM):
            if self.rank == root:
                self.room[: len(part)].copy_(part)
            self.collect(BROADCAST, len(part), root)
            if self.rank != root:
                part.copy_(self.room[: len(part)])

    def gather(self, data: torch.Tensor) -> torch.Tensor:
        """Bytes of all ranks: [ranks, bytes]."""
        gathered = torch.empty(self.size, len(data), dtype=torch.uint8)
        step = ROOM // self.size // 64 * 64
        for at in range(0, max(len(data), 1), step):  # of nothing, too: all have to agree on that
            part = data[at : at + step]
            self.room[: len(part)].copy_(part)
            self.collect(GATHER, len(part))
            gathered[:, at : at + step].copy_(self.all[: self.size * len(part)].view(self.size, len(part)))
        return gathered


class _NoStore(Store):
    """What torch asks of a store when a group is made: that all have come to it. It holds nothing."""

    def __init__(self, group: Group):
        super().__init__()
        self._group = group

    def add(self, key: str, amount: int) -> int:
        if amount > 0:
            self._group.later(lambda: self._group.collect(BARRIER, 0), []).wait()
        return self._group.size

    def set(self, key: str, value: Any) -> None:
        pass

    def get(self, key: str) -> Any:
        raise RuntimeError(f"muster: the group has no store where {key} could be; make one, and give it to init_process_group")

    def wait(self, keys: Any, timeout: Any = None) -> None:
        pass
