"""The clients of a pod of a FederatedRound, trained by one function."""

import copy
import ctypes
import math
import os
import sys
import time
import traceback
import warnings
from typing import Any, Callable, Dict, Optional, Sequence, Union

from . import _library
from ._federated import Round, Simulation, Train, checked, client, simulate, told_of
from ._job import Ended, end_by_sigterm, write_last_words
from ._library import Error
from ._values import check_whole, made, set_values, types_of, values_of

_LOOK_MS = 200  # how soon Python's signal handlers run while the library waits
_REASON_MAX = 4000


def serve(
    train: Train,
    model: Any,
    data: Union[Sequence[Any], Callable[[int], Any]],
    **alone: Any,
) -> Optional[Simulation]:
    """Trains the clients of this pod, as the aggregator of their FederatedRound asks, until the federation is over.

    train: what a client does in a round (muster.client). model: a function that makes the model, or one; every client begins
    with the same: that of the first pod is the federation's. data: each client's, or a function of its number, counted from 0
    in the whole federation. Values travel as float32. An exception in train ends the process, and is the pod's last words;
    the client has no update in that round, and its pod is replaced. Raises muster.Ended, a SystemExit, when the federation
    has ended without its last round, and muster.Error for what cannot work.

    Without a federation (MUSTER_SOCKET is not set) the same is muster.simulate(train, model, data, **alone), whose result is
    returned: clients, rounds, cohort, seed, evaluate and config hold only then.
    """
    client(train)
    if not os.environ.get("MUSTER_SOCKET"):
        return simulate(train, model, data, **alone)
    end_by_sigterm()
    served = _Clients(made(model))
    try:
        while served.next_round():
            served.answer(train, data)
    except SystemExit:
        raise
    except BaseException:  # the log has it, too, when the interpreter ends by it
        write_last_words(traceback.format_exc())
        raise
    return None


class _Clients:
    """The connection to muster-device, and the memory that is shared with it."""

    def __init__(self, model: Any):
        self._lib = _library.library()
        self._model = model
        self._handle: Any = self._lib.muster_open_client()
        self._event = _library.Event(size=ctypes.sizeof(_library.Event))
        self._round = _library.Round(size=ctypes.sizeof(_library.Round))
        error = self._lib.muster_last_error(self._handle).decode()
        if error:
            self._look_for_end()
            raise Error(error)
        self._federation = _library.Federation(size=ctypes.sizeof(_library.Federation))
        self._lib.muster_get_federation(self._handle, ctypes.byref(self._federation))
        self._tensors = types_of(model)
        for name, shape, kind in self._tensors:
            sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
            self._call("muster_register_typed", name.encode(), kind, len(shape), sizes)
        self._call("muster_allocate")
        self._given = self._memory("muster_parameters")
        self._trained = self._memory("muster_gradient")
        values = values_of(model)
        check_whole(values, "the model")
        self._write(self._given, values)
        self._call("muster_begin_client")

    def next_round(self) -> bool:
        """Waits for one; False: the federation has come to its good end."""
        event = self._event
        while True:
            self._call("muster_next", _LOOK_MS, ctypes.byref(event))
            if event.kind == _library.ROUND:
                self._lib.muster_get_round(self._handle, ctypes.byref(self._round))
                return True
            if event.kind == _library.END:
                self._end()
                return False

    def answer(self, train: Train, data: Any) -> None:
        told, told_by = self._told(), self._round.client
        try:
            begins = {name: self._read(name) for name, _, _ in self._tensors}
            set_values(self._model, begins)
            given = copy.deepcopy(self._model)
            before = values_of(self._model)
            update = train(given, data(told_by) if callable(data) else data[told_by], told)
            self._write(self._trained, checked(update, told_by, before))
            examples, loss, accuracy = told_of(update, told_by)
        except BaseException:  # whatever ends the process: the aggregator need not wait for the deadline
            reason = "".join(traceback.format_exception_only(*sys.exc_info()[:2])).strip()
            self._lib.muster_round_failed(self._handle, reason[-_REASON_MAX:].encode(errors="replace"))
            raise
        if accuracy is not None and loss is None:
            warnings.warn("muster: accuracy counts with a loss alone; tell muster.Update the loss, too", stacklevel=1)
        nan = math.nan
        self._call(
            "muster_update_ready",
            examples,
            nan if loss is None else loss,
            nan if accuracy is None else accuracy,
        )

    def _told(self) -> Round:
        known, asked = self._federation, self._round
        config = {
            "local_epochs": known.local_epochs,
            "batch_size": known.batch_size,
            "learning_rate": known.learning_rate,
            "mu": asked.mu,
        }
        due = time.monotonic() + asked.deadline_ms / 1000
        return Round(asked.round, known.rounds, asked.client, asked.seed, config, due)

    def _memory(self, function: str) -> Dict[str, Any]:
        """Views of the memory of all tensors, by name."""
        import numpy

        count = ctypes.c_size_t()
        address = getattr(self._lib, function)(self._handle, ctypes.byref(count))
        flat = numpy.frombuffer((ctypes.c_float * count.value).from_address(address), dtype=numpy.float32)
        views, at = {}, 0
        for name, shape, _ in self._tensors:
            views[name] = flat[at : at + math.prod(shape)].reshape(shape)
            at += math.prod(shape)
        return views

    def _read(self, name: str) -> Any:
        return self._given[name].copy()

    @staticmethod
    def _write(memory: Dict[str, Any], values: Dict[str, Any]) -> None:
        for name, view in memory.items():
            view[...] = values[name]

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._lib, name)(self._handle, *arguments) != 0:
            error = self._lib.muster_last_error(self._handle).decode()
            self._look_for_end()
            raise Error(error)

    def _look_for_end(self) -> None:
        """Where the federation has ended for this pod, that is the news."""
        if self._lib.muster_next(self._handle, 0, ctypes.byref(self._event)) == 0 and self._event.kind == _library.END:
            self._end()

    def _end(self) -> None:
        if self._event.exit_code != 0:
            words = (self._event.words or b"").decode(errors="replace")
            print(f"muster: {words or 'asked to stop'}", file=sys.stderr, flush=True)
            raise Ended(self._event.exit_code, words)
