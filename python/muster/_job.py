"""A rank of a DistributedJob, as a program sees it."""

import ctypes
import math
import os
import signal
import sys
import threading
import traceback
import warnings
from typing import Any, Callable, Iterator, List, Optional, Union

from . import _data, _library
from ._library import Error
from ._measured import accuracy_of, loss_of, number_of

_LOOK_MS = 200  # how soon Python's signal handlers run while the library waits
_LAST_WORDS_MAX = 2000


class Ended(SystemExit):
    """The training is over before its last step, and so should the process be: it exits with this code.

    143: it was asked to stop, and a checkpoint is written where there are any. 75: this rank cannot go on, another try may
    fare better. 65, 74: the same would happen again. `words` is why, in one sentence.
    """

    def __init__(self, code: int, words: str):
        super().__init__(code)
        self.words = words

    def __str__(self) -> str:
        return self.words or f"ended with code {self.code}"


class Job:
    """Made by muster.init(). All methods are for one thread.

    rank, size: this process among those that train; both change when a rank is lost or joins.
    step, total_steps, epoch: whole ones so far, of the job.
    """

    def __init__(self) -> None:
        self._lib = _library.library()
        self._handle: Any = self._lib.muster_open()
        self._event = _library.Event(size=ctypes.sizeof(_library.Event))
        self._optimizer: Any = None
        self._pending: Optional[List[int]] = None  # rows of a batch that has come and was not given out
        self._due = False  # a batch was given out, and waits for its gradient
        self._wants_buckets = False  # of that batch: parts of its gradient are of use
        self._loss: Optional[float] = None
        self._begun = False
        self._over: Optional[int] = None
        self._words = ""
        self.step = 0
        self.total_steps = 0
        self.epoch = 0
        error = self._lib.muster_last_error(self._handle).decode()
        if error:
            self._look_for_end()
            raise Error(error)

    # ---- what a program calls ----

    @property
    def alone(self) -> bool:
        """No job is around: a world of one."""
        return not os.environ.get("MUSTER_SOCKET")

    @property
    def rank(self) -> int:
        return self._world().rank

    @property
    def size(self) -> int:
        return self._world().ranks

    @property
    def membership(self) -> int:
        """Counts the rosters of the job; 0 alone."""
        return self._world().membership

    def batches(
        self,
        dataset: Any,
        batch_size: int = 0,
        epochs: int = 0,
        seed: int = 0,
        collate: Optional[Callable[[List[Any]], Any]] = None,
        fingerprint: Union[None, int, str, bytes] = None,
    ) -> Iterator[Any]:
        """This rank's batches of all epochs, each example of an epoch at one rank once, whoever comes and goes.

        dataset: the whole one, the same on all ranks: anything with len() and [int], or a tuple of tensors or arrays that
        are indexed by example. batch_size (examples of this rank), epochs and seed hold alone; in a job the manifest's do.
        collate: makes a batch of a list of examples; torch's default_collate when absent.
        fingerprint: of the dataset, such as its version or a hash of its files: ranks that tell another, and a checkpoint of
        another, are refused. Absent: of tensors and arrays, lists of plain values, and torch's subsets and concatenations of
        these it is made of their shapes and some of their rows; of other datasets, of which a job warns, and where it is "",
        only the number of examples is compared.
        Ends with the job. Call opt.step() once for each batch. Raises muster.Ended, a SystemExit, when the training ends
        before its last step, and muster.Error for what cannot work.
        """
        if self._optimizer is None:
            raise Error("job.batches: make a muster.Optimizer first, it tells the job what the model is")
        if self._begun:
            raise Error("job.batches: it goes through all epochs; call it once")
        self._optimizer.look_for_schedulers()
        self._optimizer.give_state()  # what cannot travel is told now, not with the first checkpoint
        known = _data.fingerprint_of(dataset) if fingerprint is None else _data.hash_of(fingerprint)
        training = _library.Training(
            size=ctypes.sizeof(_library.Training),
            examples=_data.size_of(dataset),
            batch_size=batch_size,
            epochs=epochs,
            seed=seed,
            optimizer=self._optimizer.for_servers(bool(self._world().servers_step)),
            fingerprint=known,
        )
        if fingerprint is None and not known and not self.alone:
            warnings.warn(
                f"muster: of a {type(dataset).__name__} ranks and checkpoints compare no more than the number of examples; tell "
                "job.batches what the data is, such as fingerprint='my-data-v3' or a hash of its files, or fingerprint='' to "
                "leave it at that",
                stacklevel=2,
            )
        self._call("muster_begin", ctypes.byref(training))
        self._begun = True
        return self._batches(dataset, collate)

    def report(self, loss: Any = None, accuracy: Optional[float] = None) -> None:
        """Tells what the program measured: a number, or a tensor of one element.

        loss: the mean over the batch under way, before opt.step(); else of the one before, with the next. accuracy, 0..1: of
        the program's own test, at any time, also after the last batch. Both show in the job's status and curve. Raises
        muster.Error for an accuracy that is no share, as 97.5 of a hundred, and for what is no number.
        """
        nan = math.nan
        share = nan if accuracy is None else accuracy_of(accuracy, "job.report: accuracy")
        told = nan
        if loss is not None and self._due:  # of one that is no finite number the worker tells with its step
            self._loss = number_of(loss, "job.report: loss")
        elif loss is not None:
            told = loss_of(loss, "job.report: loss")
        if not (math.isnan(told) and math.isnan(share)):
            self._call("muster_report", told, share)

    def close(self) -> None:
        """Lets go of the connection and the shared memory: parameters may not be touched any more."""
        handle, self._handle = self._handle, None
        if handle:
            self._lib.muster_close(handle)

    # ---- between the parts of this package ----

    def _world(self) -> _library.World:
        world = _library.World(size=ctypes.sizeof(_library.World))
        if self._handle is None or self._lib.muster_get_world(self._handle, ctypes.byref(world)) != 0:
            raise Error("the job is closed")
        return world

    def _call(self, name: str, *arguments: Any) -> None:
        if self._handle is None:
            raise Error("the job is closed")
        if getattr(self._lib, name)(self._handle, *arguments) != 0:
            error = self._lib.muster_last_error(self._handle).decode()
            self._look_for_end()
            raise Error(error)

    def _look_for_end(self) -> None:
        """Where the worker has ended this training, that is the news."""
        if not self._handle or self._lib.muster_next(self._handle, 0, ctypes.byref(self._event)) != 0:
            return
        if self._event.kind == _library.END:
            self._note_end()
            raise Ended(self._over or 75, self._words)

    def _note_end(self) -> None:
        self._over = self._event.exit_code
        self._words = (self._event.words or b"").decode(errors="replace")
        if self._over == 0:
            self.epoch = self._world().epochs
            if self._optimizer is not None:  # after local steps, the last ones are those that all ranks have agreed on
                self._optimizer.take_parameters()

    def _next(self) -> int:
        """Does what the worker asks for until there is a batch or a step is made, or the training ends; which of them."""
        event = self._event
        while True:
            self._call("muster_next", _LOOK_MS, ctypes.byref(event))
            if event.kind == _library.NOTHING:
                continue
            if event.kind == _library.BATCH:
                self._pending = event.rows[: event.row_count]
                self.total_steps, self.epoch = event.total_steps, event.epoch
                self.step = event.step
                self._wants_buckets = event.wants_buckets != 0
                self._optimizer.take_parameters()
            elif event.kind == _library.STEP:
                self._optimizer.make_step()
                self.step += 1
                self._call("muster_stepped")
            elif event.kind == _library.GIVE_STATE:
                state = self._optimizer.give_state()
                self._call("muster_give_state", state, len(state))
                continue
            elif event.kind == _library.TAKE_STATE:
                self._optimizer.take_state(ctypes.string_at(event.state, event.state_bytes))
                continue
            elif event.kind == _library.END:
                self._note_end()
            return event.kind

    def _gradient_ready(self) -> bool:
        """Whether the gradient counted: else the ranks have changed, and its batch comes again, to some rank."""
        if not self._due:
            raise Error("opt.step: there is no batch whose gradient is due; call it once for each batch of job.batches")
        self._due = False
        loss, self._loss = self._loss, None
        self._call("muster_gradient_ready", 0.0 if loss is None else loss, 0 if loss is None else 1)
        step = self.step
        kind = self._next()
        if kind == _library.END:
            return self._over == 0
        return kind == _library.STEP or self.step > step

    def _batches(self, dataset: Any, collate: Optional[Callable[[List[Any]], Any]]) -> Iterator[Any]:
        while True:
            while self._pending is None and self._over is None:
                self._next()
            if self._over is not None:
                if self._over == 0:
                    return
                print(f"muster: {self._words or 'asked to stop'}", file=sys.stderr, flush=True)
                raise Ended(self._over, self._words)
            rows, self._pending = self._pending, None
            self._due = True
            if self._wants_buckets:
                self._optimizer.begin_gradient()
            yield _data.take(dataset, rows) if collate is None else collate([dataset[row] for row in rows])
            if self._due:
                raise Error("job.batches: opt.step() was not called for the batch before; call it once for each")


_job: Optional[Job] = None


def init() -> Job:
    """Joins the job that this process is part of; without one it is alone, and trains all the same.

    Waits until the job has its ranks. Takes SIGTERM as the wish to stop after the step under way. Call it once, from the
    main thread, before the model is made ready by muster.Optimizer. Raises muster.Error, muster.Ended.
    """
    global _job
    if _job is not None:
        raise Error("muster.init: this process is in a job already; keep what the first call returned")
    _job = job = Job()
    if not job.alone and threading.current_thread() is threading.main_thread():
        own = os.getpid()

        def stop(number: int, frame: Any) -> None:
            if os.getpid() == own:
                job._lib.muster_ask_stop(job._handle)
            else:  # a forked child, such as a data loader's
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, stop)
        previous = sys.excepthook

        def tell(kind: Any, error: Any, trace: Any) -> None:
            if os.getpid() == own:
                write_last_words("".join(traceback.format_exception(kind, error, trace)))
            previous(kind, error, trace)

        sys.excepthook = tell
    return job


def end_by_sigterm(told: Callable[[], None] = lambda: None) -> None:
    """SystemExit(143) on SIGTERM, after told(); a container's first process would not hear of it without a handler."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return
    own = os.getpid()

    def end(number: int, frame: Any) -> None:
        if os.getpid() == own:
            told()
            sys.exit(128 + number)
        os._exit(128 + number)  # a forked child, such as a data loader's

    signal.signal(signal.SIGTERM, end)


def write_last_words(text: str) -> None:
    """The end of `text` as the container's termination message."""
    path = os.environ.get("MUSTER_TERMINATION_LOG") or "/dev/termination-log"
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text[-_LAST_WORDS_MAX:].lstrip())
    except OSError:
        pass  # the log has it, too
