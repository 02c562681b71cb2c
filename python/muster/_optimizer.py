"""The model and its optimizer, with parameters and gradients in memory that the worker shares."""

import ctypes
import functools
import json
import math
import sys
import warnings
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from . import _job, _state
from ._arrays import ArrayModel, Arrays
from ._backward import Backward, put
from ._library import Error

_FLOAT = ctypes.sizeof(ctypes.c_float)


class Optimizer:
    """Steps of a job: `base` makes them, on the mean gradient of all ranks.

    Of a torch optimizer it is one itself: learning rate schedulers and trainers take it as such.

    base: a torch.optim.Optimizer; for muster.Arrays anything with step(). model: the torch.nn.Module, or the muster.Arrays,
    that it optimizes. From here on the parameters lie in memory that is shared with the worker: what moves them elsewhere
    (model.to, model.half) comes before. All must be float32; those on a GPU are copied to and fro in each step.
    Buffers of the model (the statistics of batch norm), parameters without gradients, and the state of `also` (such as
    learning rate schedulers: state_dict and load_state_dict; opt.also is the list of them, to which those may be appended that
    are made later) go with the optimizer's state to ranks that join and into checkpoints. With parameter servers these make
    the steps: base must be torch's SGD, Adam or AdamW, with the settings of spec.training.optimizer.
    overlap: gradients go to the other ranks while the backward pass goes on, where the worker can make use of it (large
    models, sums that are not compressed); the sums are the same. For programs that leave gradients alone between
    backward() and step(): no clipping, scaling, zeroing, by parameter.grad.data or NumPy either, which nobody sees.
    made_step: what the last step() returned.
    """

    def __new__(cls, base: Any = None, *arguments: Any, **named: Any) -> Any:
        torch = sys.modules.get("torch")
        if cls is Optimizer and torch is not None and isinstance(base, torch.optim.Optimizer):
            cls = _torch_class()
        return object.__new__(cls)

    def __init__(self, base: Any, model: Any, also: Iterable[Any] = (), job: Optional["_job.Job"] = None, overlap: bool = False):
        made = job or _job._job
        if made is None:
            raise Error("muster.Optimizer: call muster.init() first")
        if made._optimizer is not None:
            raise Error("muster.Optimizer: the job has one already; give it a model that holds all parameters")
        if not hasattr(base, "step"):
            raise Error("muster.Optimizer: the first argument is an optimizer with step(), the second its model")
        self._job = made
        self.base = base
        self.also = list(also)
        self.made_step = True
        self._model: Any = ArrayModel(model) if isinstance(model, Arrays) else _TorchModel(base, model)
        shapes = self._model.shapes()
        for name, shape in shapes:
            sizes = (ctypes.c_int64 * max(len(shape), 1))(*shape)
            made._call("muster_register_tensor", name.encode(), len(shape), sizes)
        made._call("muster_allocate")
        count = sum(math.prod(shape) for _, shape in shapes)
        memory = []
        for function in ("muster_parameters", "muster_gradient"):
            address = getattr(made._lib, function)(made._handle, None)
            memory.append((ctypes.c_float * count).from_address(address))
        self._gradient = memory[1]
        self._model.move_into(memory[0], memory[1])
        self._backward = Backward(self._model.hooked(), self._tell_of, overlap)
        made._optimizer = self

    def step(self, closure: None = None) -> bool:
        """Shares the gradient, and makes the step with the mean of all ranks.

        Returns whether the step was made. False: a rank was lost or has joined meanwhile; nothing is to be done, the
        examples come again. Raises muster.Error for a parameter that was moved or changed its type.
        """
        if closure is not None:
            raise Error("opt.step: a closure cannot be asked again for other ranks' gradients; call backward() before step()")
        self._backward.end()
        self._model.gradients_in_place()
        self.made_step = self._job._gradient_ready()
        return self.made_step

    def zero_grad(self, set_to_none: bool = True) -> None:
        """No gradients, as torch has it: parameter.grad is None until the next backward pass, which spares it adding to zeros.
        set_to_none=False: gradients of zero, where a program looks at them before."""
        if set_to_none and self._model.forget_gradients():
            return
        self._model.zero_gradients(self._gradient)

    def state_dict(self) -> Any:
        return self.base.state_dict()

    def load_state_dict(self, state: Any) -> None:
        self.base.load_state_dict(state)

    @property
    def param_groups(self) -> Any:
        return self.base.param_groups

    # ---- what the job asks for ----

    def begin_gradient(self) -> None:
        """Of a batch of which the worker wants to hear parts."""
        self._backward.begin()

    def _tell_of(self, number: int) -> None:
        self._job._call("muster_bucket_ready", number, 1)

    def make_step(self) -> None:
        self._model.make_step(self.base)

    def take_parameters(self) -> None:
        self._model.take_parameters()

    def look_for_schedulers(self) -> None:
        """A scheduler leaves initial_lr in the groups. One that stays behind gives a rank that joins another learning rate."""
        if not self.also and any("initial_lr" in group for group in getattr(self.base, "param_groups", [])):
            warnings.warn(
                "muster: the optimizer has a learning rate scheduler, of which ranks that join and checkpoints will know nothing; "
                "give it: muster.Optimizer(..., also=[scheduler]), or opt.also.append(scheduler), before job.batches",
                stacklevel=3,
            )

    def give_state(self) -> bytes:
        self._model.check_complete()
        return _state.encode(
            {
                "optimizer": _state_of(self.base),
                "model": self._model.state(),
                "also": [_state_of(each) for each in self.also],
            }
        )

    def take_state(self, data: bytes) -> None:
        if not data:
            return
        state = _state.decode(data)
        if not isinstance(state, dict) or len(state.get("also", ())) != len(self.also):
            raise Error("the state of a peer or checkpoint is of another program; use the same program on all ranks")
        self._model.load(state["model"])
        _load(self.base, state["optimizer"])
        for each, its in zip(self.also, state["also"]):
            _load(each, its)
        self._model.take_parameters()

    def for_servers(self, servers_step: bool) -> Optional[bytes]:
        """The optimizer in the manifest's words, where parameter servers make the steps."""
        return json.dumps(_in_words(self.base)).encode() if servers_step else None


@functools.lru_cache(None)
def _torch_class() -> Any:
    """Optimizer as a torch.optim.Optimizer, for what takes nothing else. All that it is asked of is the base's."""
    import torch

    def of_base(name: str) -> property:
        return property(lambda self: getattr(self.base, name))

    def add_param_group(self: Any, group: Any) -> None:
        raise Error("opt.add_param_group: all parameters are known when muster.Optimizer is made; add the group to its base before")

    told: Dict[str, Any] = {name: of_base(name) for name in dir(torch.optim.Optimizer) if name.startswith("register_")}
    told.update(state=of_base("state"), defaults=of_base("defaults"), add_param_group=add_param_group)
    told.update(__module__=__name__, __doc__=Optimizer.__doc__, __repr__=lambda self: f"muster.Optimizer of {self.base!r}")
    return type("Optimizer", (Optimizer, torch.optim.Optimizer), told)


def _state_of(thing: Any) -> Any:
    return thing.state_dict() if hasattr(thing, "state_dict") else None


def _load(thing: Any, state: Any) -> None:
    if state is not None and hasattr(thing, "load_state_dict"):
        thing.load_state_dict(state)


def _in_words(base: Any) -> Dict[str, Any]:
    """spec.training.optimizer of a torch optimizer. Raises muster.Error for what parameter servers cannot do."""
    name = type(base).__name__
    groups = getattr(base, "param_groups", [])
    if name not in ("SGD", "Adam", "AdamW") or len(groups) != 1:
        raise Error(
            f"muster.Optimizer: parameter servers make the steps of SGD, Adam and AdamW with one group of parameters, not of "
            f"{name} with {len(groups)}; use one of these, or another spec.synchronization.topology"
        )
    group = groups[0]
    for setting in ("nesterov", "dampening", "amsgrad", "maximize"):
        if group.get(setting):
            raise Error(f"muster.Optimizer: parameter servers know no {setting}; remove it, or use another topology")
    words = {"name": name, "learningRate": group["lr"], "weightDecay": group["weight_decay"]}
    if name == "SGD":
        words["momentum"] = group["momentum"]
    else:
        words["beta1"], words["beta2"] = group["betas"]
        words["epsilon"] = group["eps"]
    return {key: float(value) if key != "name" else value for key, value in words.items()}


def _moved(name: str) -> Error:
    return Error(
        f"parameter {name} was moved or changed its type since muster.Optimizer was made; call model.to(), float() and the like "
        "before it, and change parameters in place"
    )


class _TorchModel:
    def __init__(self, base: Any, model: Any):
        import torch

        self._torch = torch
        self._module = model
        if not isinstance(model, torch.nn.Module):
            raise Error("muster.Optimizer: the second argument is the torch.nn.Module (or muster.Arrays) that is optimized")
        self._named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
        self._frozen = [(name, each) for name, each in model.named_parameters() if not each.requires_grad]
        ours = {id(each) for _, each in self._named + self._frozen}
        # Where the modules hold them, so that one that another took the place of is seen at once.
        self._held = [
            (module._parameters, key, each, f"{path}.{key}" if path else key)
            for path, module in model.named_modules()
            for key, each in module._parameters.items()
            if each is not None
        ]
        for group in base.param_groups:
            for each in group["params"]:
                if id(each) not in ours:
                    raise Error(
                        f"muster.Optimizer: it optimizes a parameter of shape {list(each.shape)} that the model does not have; "
                        "give both the same model"
                    )
        for name, each in self._named:
            if each.dtype != torch.float32:
                raise Error(f"muster.Optimizer: parameter {name} is {each.dtype}, not torch.float32; call model.float() first")

    def shapes(self) -> List[Tuple[str, Tuple[int, ...]]]:
        return [(name, tuple(each.shape)) for name, each in self._named]

    @staticmethod
    def _on_cpu(each: Any) -> bool:
        """Else it is copied to and fro."""
        return each.device.type == "cpu"

    def move_into(self, parameters: Any, gradient: Any) -> None:
        """Both: ctypes arrays of all elements. Parameters on the CPU become views of them."""
        torch = self._torch
        flat = torch.frombuffer(parameters, dtype=torch.float32)
        slopes = torch.frombuffer(gradient, dtype=torch.float32)
        # Name, parameter, its gradient in shared memory, the address of its values there; and those that are elsewhere.
        self._shared: List[Tuple[str, Any, Any, int]] = []
        self._copied: List[Tuple[str, Any, Any, Any, Any]] = []
        at = 0
        for name, each in self._named:
            value = flat[at : at + each.numel()].view(each.shape)
            slope = slopes[at : at + each.numel()].view(each.shape).data  # with a version counter of its own
            at += each.numel()
            value.copy_(each.detach())
            if self._on_cpu(each):
                each.data = value
                each.grad = slope
                self._shared.append((name, each, slope, value.data_ptr()))
            else:
                self._copied.append((name, each, value, slope, each.device))

    def hooked(self) -> List[Tuple[int, str, Any, Any]]:
        """Number, name, parameter and gradient of those whose gradients are in shared memory once they are accumulated."""
        number = {name: i for i, (name, _) in enumerate(self._named)}
        return [(number[name], name, each, slope) for name, each, slope, _ in self._shared]

    def check_complete(self) -> None:
        known = {id(each) for _, each in self._named + self._frozen}
        for name, each in self._module.named_parameters():
            if id(each) not in known:
                raise Error(f"parameter {name} was added since muster.Optimizer was made; build the whole model before")

    def forget_gradients(self) -> bool:
        """What comes then is put into shared memory as it comes. False: they have their place and keep it."""
        for _, each, _, _ in self._shared:
            each.grad = None
        for _, each, _, _, _ in self._copied:
            each.grad = None
        return True

    def zero_gradients(self, _: Any) -> None:
        """By torch, whose version counters then tell of it."""
        for _, each, slope, _ in self._shared:
            slope.zero_()
            each.grad = slope
        for _, each, _, slope, _ in self._copied:
            slope.zero_()
            if each.grad is not None:
                each.grad.zero_()

    def gradients_in_place(self) -> None:
        """In each step, so what is in order costs next to nothing: a type that changes changes the address, too."""
        for held, key, each, name in self._held:
            if held.get(key) is not each:
                raise Error(
                    f"parameter {name} was replaced since muster.Optimizer was made; change it in place (load_state_dict without "
                    "assign), or build the whole model before"
                )
        for name, each in self._frozen:
            if each.requires_grad:
                raise Error(f"parameter {name} had no gradient when muster.Optimizer was made; set requires_grad before it")
        for name, each, slope, address in self._shared:
            if each.data_ptr() != address:
                raise _moved(name)
            if each.grad is not slope:
                put(slope, each.grad)
                each.grad = slope
        for name, each, value, slope, device in self._copied:
            if each.dtype != value.dtype or each.device != device:
                raise _moved(name)
            put(slope, each.grad)

    def make_step(self, base: Any) -> None:
        for _, each, value, slope, device in self._copied:
            each.data.copy_(value)
            each.grad = slope.to(device)
        base.step()
        for _, each, value, _, _ in self._copied:
            value.copy_(each.detach())

    def take_parameters(self) -> None:
        for _, each, value, _, _ in self._copied:
            each.data.copy_(value)

    def state(self) -> Dict[str, Any]:
        """What a rank needs beside the trained parameters."""
        state = {name: each for name, each in self._module.named_buffers()}
        state.update(self._frozen)
        return state

    def load(self, state: Mapping[str, Any]) -> None:
        mine = self.state()
        if set(mine) != set(state):
            apart = sorted(set(mine) ^ set(state))[0]
            raise Error(f"the model of a peer or checkpoint differs from this one in {apart}; use the same program on all ranks")
        with self._torch.no_grad():
            for name, each in mine.items():
                if each.shape != state[name].shape:
                    raise Error(f"{name} is {list(state[name].shape)} at a peer, {list(each.shape)} here; use the same program")
                each.copy_(state[name])
