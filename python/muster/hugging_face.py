"""Trainer of Hugging Face's transformers in a DistributedJob with training.program, by one line:

    job = muster.init()
    trainer = Trainer(model, TrainingArguments(...), train_dataset=dataset)
    muster.hugging_face.attach(trainer, job)
    trainer.train()

Its loop stays as it is: scheduler, clipping, logging, callbacks. Batches come from the job, each example of an epoch at one rank
once, and the optimizer's step is made with the mean gradient of all ranks; a rank that is lost or joins costs the others
nothing. Without transformers this module is imported all the same.
"""

import functools
from typing import Any, Iterator, Optional

from ._job import Job
from ._library import Error
from ._optimizer import Optimizer


def attach(trainer: Any, job: Job, base: Any = None) -> Optimizer:
    """Lets `trainer` train in `job`; returns the optimizer. Call it once, before trainer.train().

    trainer: a transformers.Trainer, or one of a class that is made of it, of one process with gradient_accumulation_steps of 1.
    base: the torch optimizer; absent: that which its arguments describe. Number of epochs, size of batches and seed are in a
    job the manifest's, alone those of its arguments. Clipping (max_grad_norm) is of each rank's own gradient, before the mean.
    Only rank 0 saves, as save_strategy says; what a rank that joins begins with is the job's own state, not such a folder.
    Raises muster.Error for arguments that it cannot go by.
    """
    arguments = trainer.args
    if arguments.gradient_accumulation_steps != 1:
        raise Error("muster.hugging_face: a batch is a step of the job; raise the batch's size instead of gradient_accumulation_steps")
    if arguments.world_size != 1 or arguments.n_gpu > 1:
        raise Error("muster.hugging_face: the Trainer has processes or GPUs of its own beside; start it without torchrun, with one GPU")
    if trainer.train_dataset is None or not hasattr(trainer.train_dataset, "__len__"):
        raise Error("muster.hugging_face: the Trainer has no train_dataset with a length")
    if float(arguments.num_train_epochs) != int(arguments.num_train_epochs) or arguments.max_steps > 0:
        raise Error("muster.hugging_face: a job is of whole epochs; set num_train_epochs alone to a whole number, and no max_steps")
    if base is None:
        base = trainer.create_optimizer()
    optimizer = Optimizer(base, trainer.model, job=job)
    trainer.optimizer = optimizer
    batches = _Batches(trainer, job)
    trainer.get_train_dataloader = batches.begin
    step_of_training = trainer.training_step

    def training_step(*given: Any, **named: Any) -> Any:
        loss = step_of_training(*given, **named)
        job.report(loss=loss)
        return loss

    trainer.training_step = training_step
    trainer.add_callback(_callback(job, optimizer, batches))
    if job.rank != 0:
        arguments.save_strategy = type(arguments.save_strategy)("no")
    return optimizer


class _Batches:
    """What the Trainer takes for its data loader. It has no length, as that changes with the ranks; max_steps says it."""

    def __init__(self, trainer: Any, job: Job):
        self._trainer = trainer
        self._job = job
        self._iterator: Optional[Iterator[Any]] = None

    def begin(self) -> "_Batches":
        trainer = self._trainer
        if self._iterator is not None:
            raise Error("muster.hugging_face: a job trains once; trainer.train() was called again")
        dataset, collate = trainer.train_dataset, trainer.data_collator
        if hasattr(dataset, "column_names") and hasattr(trainer, "_remove_unused_columns"):  # of the package datasets
            dataset = trainer._remove_unused_columns(dataset, description="training")
        elif hasattr(trainer, "_get_collator_with_removed_columns"):
            collate = trainer._get_collator_with_removed_columns(collate, description="training")
        self._iterator = self._job.batches(
            dataset,
            batch_size=trainer.args.per_device_train_batch_size,
            epochs=int(trainer.args.num_train_epochs),
            seed=trainer.args.seed,
            collate=collate,
        )
        trainer.args.max_steps = max(self.steps(len(dataset)), 1)
        return self

    def steps(self, examples: int) -> int:
        """As it looks with the ranks of now: of the schedule of the learning rate, and of what is shown."""
        world = self._job._world()
        return -(-examples // (world.batch_size * max(world.ranks, 1))) * world.epochs

    def __iter__(self) -> Iterator[Any]:
        assert self._iterator is not None
        return self._iterator

    def finish(self) -> None:
        """Hears that the job is over; the Trainer asks for no batch after the last step."""
        assert self._iterator is not None
        for _ in self._iterator:
            raise Error("muster.hugging_face: the Trainer has stopped before the job's last step; use no callback that stops it early")


def _go_by_steps(scheduler: Any, optimizer: Optimizer) -> None:
    """A step that was not made, as the ranks have changed, is none for the scheduler: else those that stay would have another
    learning rate than those that join."""
    step = scheduler.step

    def of_steps(*given: Any, **named: Any) -> None:
        if optimizer.made_step:
            step(*given, **named)

    scheduler.step = of_steps


def _set_length(scheduler: Any, steps: int) -> None:
    """Of transformers' schedules, which are told it once, when it looks otherwise to each rank; all know the same for a batch."""
    inner = getattr(scheduler, "scheduler", scheduler)  # accelerate's stands around it
    told = getattr(inner, "lr_lambdas", [])
    for index, each in enumerate(told):
        if isinstance(each, functools.partial) and each.keywords.get("num_training_steps", steps) != steps:
            told[index] = functools.partial(each.func, *each.args, **{**each.keywords, "num_training_steps": steps})


def _callback(job: Job, optimizer: Optimizer, batches: _Batches) -> Any:
    from transformers import TrainerCallback

    class Callback(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **told: Any) -> None:
            scheduler = told.get("lr_scheduler")
            if scheduler is not None:
                optimizer.also.append(scheduler)
                _go_by_steps(scheduler, optimizer)

        def on_step_begin(self, args: Any, state: Any, control: Any, **told: Any) -> None:
            _set_length(told.get("lr_scheduler"), job.total_steps)

        def on_step_end(self, args: Any, state: Any, control: Any, **told: Any) -> None:
            """It is over when the job is: with more or fewer ranks there are fewer or more steps than it looked."""
            over = job.step >= job.total_steps
            state.max_steps = max(job.total_steps, state.global_step if over else state.global_step + 1)
            control.should_training_stop = over

        def on_train_end(self, args: Any, state: Any, control: Any, **told: Any) -> None:
            batches.finish()

    return Callback()
