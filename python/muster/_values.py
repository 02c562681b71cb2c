"""A model's numbers by name, whatever makes the model: a torch module, muster.Arrays, a dict of arrays, an estimator."""

from typing import Any, Dict, List, Tuple

from ._library import Error
from ._optimizer import Arrays

_TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")  # as the C ABI's

_WHOLE_MAX = 1 << 24


def values_of(model: Any) -> Dict[str, Any]:
    """The model's numbers by name, as NumPy arrays: views or copies."""
    import numpy

    if hasattr(model, "state_dict"):
        cpu = {name: each.detach().cpu() for name, each in model.state_dict().items()}
        # NumPy has no bfloat16.
        return {name: (each.float() if str(each.dtype) == "torch.bfloat16" else each).numpy() for name, each in cpu.items()}
    if isinstance(model, (Arrays, dict)):
        return {name: numpy.asarray(each) for name, each in model.items()}
    found = {name: getattr(model, name) for name in ("coef_", "intercept_") if hasattr(model, name)}
    if not found:
        raise Error(
            f"a {type(model).__name__} is no model: use a torch module, muster.Arrays, a dict of arrays, or an estimator whose "
            "coef_ and intercept_ are set (fit it once, or set them to zeros)"
        )
    return {name: numpy.asarray(each) for name, each in found.items()}


def set_values(model: Any, values: Dict[str, Any]) -> None:
    """Whole numbers (how many batches a norm has seen) are rounded."""
    import numpy

    if hasattr(model, "state_dict"):
        import torch

        with torch.no_grad():
            for name, each in model.state_dict().items():
                value = values[name] if each.is_floating_point() else numpy.rint(values[name])
                each.copy_(torch.as_tensor(value))
    elif isinstance(model, Arrays):
        for name, each in model.items():
            each[...] = _of_type(values[name], each.dtype)
    elif isinstance(model, dict):
        for name, each in model.items():
            model[name] = _of_type(values[name], numpy.asarray(each).dtype)
    else:
        for name, value in values.items():
            setattr(model, name, _of_type(value, numpy.asarray(getattr(model, name)).dtype))


def _of_type(value: Any, dtype: Any) -> Any:
    import numpy

    return (numpy.rint(value) if dtype.kind in "iub" else value).astype(dtype)


def check_whole(values: Dict[str, Any], whose: str) -> None:
    """Values travel as float32, which holds whole numbers up to 2^24. Raises muster.Error, by the tensor's name."""
    import numpy

    for name, each in values.items():
        if each.dtype.kind in "iu" and each.size and max(abs(int(each.min())), abs(int(each.max()))) > _WHOLE_MAX:
            raise Error(
                f"{whose}: {name} is of {each.dtype} and has whole numbers beyond 2^24, which do not travel: leave it out of the "
                "model (a buffer with persistent=False), or make it a number of another scale"
            )


def made(model: Any) -> Any:
    """The model, or what the function that was given makes."""
    import copy
    import inspect

    return model() if inspect.isroutine(model) or inspect.isclass(model) else copy.deepcopy(model)


def types_of(model: Any) -> List[Tuple[str, Tuple[int, ...], int]]:
    """Name, shape and type, as muster_register_typed takes it, of each of the model's tensors, in the model's order."""
    if hasattr(model, "state_dict"):
        told = {name: str(each.dtype).replace("torch.", "") for name, each in model.state_dict().items()}
    else:
        told = {name: each.dtype.name for name, each in values_of(model).items()}
    for name, kind in told.items():
        if kind not in _TYPES:
            raise Error(f"{name} is of {kind}, which cannot be averaged; use one of {', '.join(_TYPES)}")
    return [(name, tuple(each.shape), _TYPES.index(told[name])) for name, each in values_of(model).items()]
