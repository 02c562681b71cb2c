"""A model of NumPy arrays, and what muster.Optimizer asks of one."""

import ctypes
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from ._library import Error


class Arrays(Mapping[str, Any]):
    """A model of named NumPy arrays of float32, as muster.Optimizer takes it.

    model["w"] is an array to read and to write in place, model.grad["w"] its gradient, to be written before opt.step().
    """

    def __init__(self, arrays: Mapping[str, Any]):
        import numpy

        self._numpy = numpy
        self._values = {name: numpy.array(each, dtype=numpy.float32) for name, each in arrays.items()}
        self.grad = {name: numpy.zeros_like(each) for name, each in self._values.items()}

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class ArrayModel:
    def __init__(self, model: Arrays):
        self._model = model

    def shapes(self) -> List[Tuple[str, Tuple[int, ...]]]:
        return [(name, each.shape) for name, each in self._model.items()]

    def move_into(self, parameters: Any, gradient: Any) -> None:
        numpy = self._model._numpy
        flat, slopes = (numpy.frombuffer(memory, dtype=numpy.float32) for memory in (parameters, gradient))
        at = 0
        for name, each in list(self._model.items()):
            value = flat[at : at + each.size].reshape(each.shape)
            value[...] = each
            self._model._values[name] = value
            self._model.grad[name] = slopes[at : at + each.size].reshape(each.shape)
            at += each.size
        self._places = dict(self._model._values), dict(self._model.grad)

    def hooked(self) -> List[Any]:
        return []

    def check_complete(self) -> None:
        pass

    def forget_gradients(self) -> bool:
        return False  # a program writes to them

    def zero_gradients(self, memory: Any) -> None:
        ctypes.memset(memory, 0, ctypes.sizeof(memory))

    def gradients_in_place(self) -> None:
        values, slopes = self._places
        for name in values:
            if self._model._values[name] is not values[name]:
                raise Error(f"array {name} was replaced; change it in place: model[{name!r}][...] = ...")
            if self._model.grad[name] is not slopes[name]:
                slopes[name][...] = self._model.grad[name]
                self._model.grad[name] = slopes[name]

    def make_step(self, base: Any) -> None:
        base.step()

    def take_parameters(self) -> None:
        pass

    def state(self) -> Dict[str, Any]:
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        pass
