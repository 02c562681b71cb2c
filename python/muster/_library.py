"""The C library beneath (worker/program/muster_worker.h), by ctypes: no compiler, no Python version, no torch in it."""

import ctypes
import os
import pathlib
from typing import Any, Optional

from ._version import __version__

NOTHING, BATCH, STEP, GIVE_STATE, TAKE_STATE, END, ROUND = range(7)


class Error(RuntimeError):
    """What cannot work, in one sentence with a remedy."""

    code: Optional[int] = None  # of HTTP, where an API server refused; 503 where none answers


class World(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("rank", ctypes.c_int64),
        ("ranks", ctypes.c_int64),
        ("membership", ctypes.c_int64),
        ("batch_size", ctypes.c_int64),
        ("epochs", ctypes.c_int64),
        ("seed", ctypes.c_int64),
        ("servers_step", ctypes.c_int32),
    ]


class Training(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("examples", ctypes.c_int64),
        ("batch_size", ctypes.c_int64),
        ("epochs", ctypes.c_int64),
        ("seed", ctypes.c_int64),
        ("optimizer", ctypes.c_char_p),
        ("fingerprint", ctypes.c_uint64),
    ]


class Event(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("kind", ctypes.c_int32),
        ("rows", ctypes.POINTER(ctypes.c_int64)),
        ("row_count", ctypes.c_size_t),
        ("step", ctypes.c_int64),
        ("total_steps", ctypes.c_int64),
        ("epoch", ctypes.c_int64),
        ("state", ctypes.c_void_p),
        ("state_bytes", ctypes.c_size_t),
        ("exit_code", ctypes.c_int32),
        ("wants_buckets", ctypes.c_int32),
        ("words", ctypes.c_char_p),
    ]


class Federation(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("first_client", ctypes.c_int64),
        ("clients", ctypes.c_int64),
        ("total_clients", ctypes.c_int64),
        ("rounds", ctypes.c_int64),
        ("seed", ctypes.c_int64),
        ("local_epochs", ctypes.c_int64),
        ("batch_size", ctypes.c_int64),
        ("learning_rate", ctypes.c_double),
    ]


class Round(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("client", ctypes.c_int64),
        ("round", ctypes.c_int64),
        ("deadline_ms", ctypes.c_int64),
        ("seed", ctypes.c_int64),
        ("mu", ctypes.c_double),
    ]


_FUNCTIONS: "dict[str, tuple[Any, list[Any]]]" = {
    "muster_version": (ctypes.c_char_p, []),
    "muster_open": (ctypes.c_void_p, []),
    "muster_close": (None, [ctypes.c_void_p]),
    "muster_last_error": (ctypes.c_char_p, [ctypes.c_void_p]),
    "muster_get_world": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(World)]),
    "muster_register_tensor": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int64)],
    ),
    "muster_allocate": (ctypes.c_int, [ctypes.c_void_p]),
    "muster_parameters": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)]),
    "muster_gradient": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t)]),
    "muster_begin": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Training)]),
    "muster_next": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Event)]),
    "muster_bucket_ready": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]),
    "muster_gradient_ready": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_double, ctypes.c_int32]),
    "muster_stepped": (ctypes.c_int, [ctypes.c_void_p]),
    "muster_give_state": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]),
    "muster_report": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_double, ctypes.c_double]),
    "muster_ask_stop": (None, [ctypes.c_void_p]),
    "muster_open_client": (ctypes.c_void_p, []),
    "muster_register_typed": (
        ctypes.c_int,
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_int32, ctypes.POINTER(ctypes.c_int64)],
    ),
    "muster_get_federation": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Federation)]),
    "muster_begin_client": (ctypes.c_int, [ctypes.c_void_p]),
    "muster_get_round": (ctypes.c_int, [ctypes.c_void_p, ctypes.POINTER(Round)]),
    "muster_update_ready": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int64, ctypes.c_double, ctypes.c_double]),
    "muster_open_group": (ctypes.c_void_p, [ctypes.c_int64]),
    "muster_collect": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64, ctypes.c_int64]),
    "muster_group_done": (ctypes.c_int, [ctypes.c_void_p]),
    "muster_round_failed": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]),
}

_loaded: Optional[ctypes.CDLL] = None


def library() -> ctypes.CDLL:
    """The library of this package, loaded once: MUSTER_LIBRARY, else the wheel's, else the system's."""
    global _loaded
    if _loaded is not None:
        return _loaded
    beside = pathlib.Path(__file__).parent / "libmuster_worker.so"
    name = os.environ.get("MUSTER_LIBRARY") or (str(beside) if beside.exists() else "libmuster_worker.so")
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        raise Error(
            f"cannot load {name}: {error}; install the wheel of muster (pip install muster-*.whl), or set MUSTER_LIBRARY"
        ) from None
    for function, (result, arguments) in _FUNCTIONS.items():
        getattr(loaded, function).restype = result
        getattr(loaded, function).argtypes = arguments
    found = loaded.muster_version().decode()
    if found != __version__:
        raise Error(f"{name} is of version {found}, the package muster of {__version__}; install both from one wheel")
    _loaded = loaded
    return loaded
