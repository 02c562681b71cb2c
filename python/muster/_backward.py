"""Gradients go to shared memory while the backward pass goes on, and from there to the other ranks."""

from typing import Any, Callable, List, Sequence, Tuple

from ._library import Error

_WATCHED = 2  # steps before the first that tells: does this program leave its gradients alone?


def _after_accumulation(parameter: Any, hook: Callable[..., None]) -> Any:
    """Calls hook once its gradient of a backward pass is in parameter.grad. What comes back keeps that so."""
    if hasattr(parameter, "register_post_accumulate_grad_hook"):  # torch 2.1
        return parameter.register_post_accumulate_grad_hook(hook)
    node = parameter.expand_as(parameter).grad_fn.next_functions[0][0]  # the one that accumulates
    node.register_hook(hook)
    return node


class Backward:
    """Hears of each parameter whose gradient is final, puts it where the worker sees it, and tells the worker if it wants to know.

    A program may clip, scale or add to its gradients between backward() and step(), as torch's optimizers let it. Of
    gradients that are on their way this would be too late. So the first steps are only watched: where a gradient is
    touched after it was accumulated, which torch's version counters tell, or accumulated twice, nothing is told early,
    ever. A program that begins to do so later gets an error.
    """

    def __init__(self, parameters: Sequence[Tuple[int, str, Any, Any]], tell: Callable[[int], None], overlap: bool):
        """parameters: number, name, the parameter, its gradient in shared memory, with a version counter of its own."""
        self._parameters = parameters
        self._tell = tell
        self._versions = [-1] * len(parameters)  # of the gradients, as they were accumulated; -1: not in this step
        self._open = False
        self._watched = 0
        self._overlap = overlap
        self._hooks = [_after_accumulation(each[2], self._hook_of(i, *each)) for i, each in enumerate(parameters)]

    @property
    def tells(self) -> bool:
        return self._overlap and self._watched >= _WATCHED

    def begin(self) -> None:
        """A batch was given out, of whose gradient the worker wants to hear parts."""
        self._versions = [-1] * len(self._parameters)
        self._open = self._overlap

    def _hook_of(self, index: int, number: int, name: str, parameter: Any, slope: Any) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            found = parameter.grad
            if found is None:  # of a function that gives none
                return
            if found is not slope and not found.requires_grad:
                put(slope, found)
                parameter.grad = slope
            if not self._open:
                return
            if found.requires_grad:  # to be derived once more: it stays what it is until step()
                self._touch(name, "was made with create_graph")
                return
            if self._versions[index] >= 0:
                self._touch(name, "was added to by a second backward pass of the same step")
            self._versions[index] = slope._version
            if self.tells:
                self._tell(number)

        return hook

    def end(self) -> None:
        """The batch's gradient is complete. Raises muster.Error where one was changed after it was told."""
        if not self._open:
            return
        self._open = False
        for version, (_, name, parameter, slope) in zip(self._versions, self._parameters):
            if version >= 0 and (slope._version != version or parameter.grad is not slope):
                self._touch(name, "was changed between backward() and opt.step()")
        self._watched += 1

    def _touch(self, name: str, how: str) -> None:
        if self.tells:
            raise Error(
                f"the gradient of {name} {how}, when it was on its way to the other ranks already, which the steps before did "
                "not; make it muster.Optimizer(..., overlap=False)"
            )
        self._overlap = self._open = False


def put(slope: Any, found: Any) -> None:
    """A gradient that lies elsewhere into shared memory, whatever its layout."""
    if found is None:
        slope.zero_()
    elif found.is_sparse:
        slope.copy_(found.detach().to_dense())
    elif found.data_ptr() != slope.data_ptr():
        slope.copy_(found.detach())
