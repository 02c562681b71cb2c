"""muster.hugging_face with a stand-in for transformers' Trainer, whose loop asks and calls in the same order. The real one runs in
tests/process/program_examples_test.sh, where it is installed."""

import enum
import functools
import os
import sys
import types
import unittest
from unittest import mock

import torch

import muster
from muster import _job, hugging_face


class Save(enum.Enum):
    NO = "no"
    STEPS = "steps"


class Trainer:
    """What attach() uses of it: transformers 5."""

    def __init__(self, model, dataset, **arguments):
        usual = dict(gradient_accumulation_steps=1, world_size=1, n_gpu=0, num_train_epochs=2.0, max_steps=-1, seed=3)
        self.args = types.SimpleNamespace(**{**usual, "per_device_train_batch_size": 8, "save_strategy": Save.STEPS, **arguments})
        self.model, self.train_dataset, self.data_collator = model, dataset, torch.utils.data.default_collate
        self.optimizer, self.callbacks, self.seen = None, [], []
        self.state = types.SimpleNamespace(global_step=0, max_steps=0)

    def create_optimizer(self):
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        return self.optimizer

    def add_callback(self, callback):
        self.callbacks.append(callback)

    def training_step(self, model, batch):
        loss = ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()
        loss.backward()
        return loss.detach()

    def get_train_dataloader(self):
        raise AssertionError("the batches are the job's")

    def train(self, stop_at=None):
        control = types.SimpleNamespace(should_training_stop=False)
        loader = self.get_train_dataloader()
        self.state.max_steps = self.args.max_steps
        rate = functools.partial(lambda step, num_training_steps: 1 - step / num_training_steps, num_training_steps=self.args.max_steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, rate)
        for callback in self.callbacks:
            callback.on_train_begin(self.args, self.state, control, lr_scheduler=scheduler)
        for batch in loader:
            for callback in self.callbacks:
                callback.on_step_begin(self.args, self.state, control, lr_scheduler=scheduler)
            self.seen += batch["row"].tolist()
            self.training_step(self.model, batch)
            self.optimizer.step()
            scheduler.step()
            self.model.zero_grad()
            self.state.global_step += 1
            for callback in self.callbacks:
                callback.on_step_end(self.args, self.state, control)
            if control.should_training_stop or self.state.global_step == stop_at:
                break
        for callback in self.callbacks:
            callback.on_train_end(self.args, self.state, control)


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 30

    def __getitem__(self, row):
        x = torch.tensor([row / 30.0, 1.0])
        return {"x": x, "y": x[0] * 2 - 1, "row": row}


class Attached(unittest.TestCase):
    def setUp(self):
        os.environ.pop("MUSTER_SOCKET", None)
        stand_in = types.ModuleType("transformers")
        stand_in.TrainerCallback = type("TrainerCallback", (), {})
        patch = mock.patch.dict(sys.modules, transformers=stand_in)
        patch.start()
        self.addCleanup(patch.stop)
        _job._job = None
        torch.manual_seed(0)
        self.job = muster.init()
        self.addCleanup(self.job.close)

    def test_trains_all_epochs_with_its_scheduler(self):
        trainer = Trainer(torch.nn.Linear(2, 1), Rows())
        told = []
        with mock.patch.object(self.job, "report", lambda loss: told.append(float(loss))):
            opt = hugging_face.attach(trainer, self.job)
            trainer.train()
        self.assertEqual((self.job.step, self.job.epoch, trainer.args.max_steps, len(told)), (8, 2, 8, 8))
        self.assertEqual(sorted(trainer.seen), sorted(list(range(30)) * 2))
        self.assertIsInstance(trainer.optimizer, muster.Optimizer)
        self.assertEqual(len(opt.also), 1)
        self.assertAlmostEqual(opt.param_groups[0]["lr"], 0.0)
        with self.assertRaisesRegex(muster.Error, "a job trains once"):
            trainer.train()

    def test_a_step_that_was_not_made_is_none_for_the_scheduler(self):
        trainer = Trainer(torch.nn.Linear(2, 1), Rows())
        opt = hugging_face.attach(trainer, self.job)
        ready, rates = self.job._gradient_ready, []

        def not_made():
            made = ready()
            rates.append(opt.param_groups[0]["lr"])
            return made and self.job.step != 3

        with mock.patch.object(self.job, "_gradient_ready", not_made), self.assertRaisesRegex(muster.Error, "stopped before"):
            trainer.train(stop_at=5)
        self.assertEqual([round(each, 4) for each in rates], [0.1, 0.0875, 0.075, 0.075, 0.0625])
        self.assertAlmostEqual(opt.param_groups[0]["lr"], 0.1 * (1 - 4 / 8))

    def test_the_length_of_a_schedule_follows_the_job(self):
        model = torch.nn.Linear(1, 1)
        rate = functools.partial(lambda step, num_training_steps: 1 - step / num_training_steps, num_training_steps=8)
        scheduler = torch.optim.lr_scheduler.LambdaLR(torch.optim.SGD(model.parameters(), 0.1), rate)
        hugging_face._set_length(types.SimpleNamespace(scheduler=scheduler), 16)
        scheduler.optimizer.step()
        scheduler.step()
        self.assertAlmostEqual(scheduler.get_last_lr()[0], 0.1 * (1 - 1 / 16))
        hugging_face._set_length(None, 16)

    def test_one_that_stops_early_is_an_error(self):
        trainer = Trainer(torch.nn.Linear(2, 1), Rows())
        hugging_face.attach(trainer, self.job)
        with self.assertRaisesRegex(muster.Error, "stopped before the job's last step"):
            trainer.train(stop_at=3)

    def test_what_it_cannot_go_by_is_refused(self):
        for arguments, says in (
            ({"gradient_accumulation_steps": 2}, "raise the batch's size"),
            ({"world_size": 2}, "without torchrun"),
            ({"n_gpu": 2}, "with one GPU"),
            ({"max_steps": 10}, "whole epochs"),
            ({"num_train_epochs": 1.5}, "whole epochs"),
        ):
            with self.assertRaisesRegex(muster.Error, says):
                hugging_face.attach(Trainer(torch.nn.Linear(2, 1), Rows(), **arguments), self.job)
        with self.assertRaisesRegex(muster.Error, "no train_dataset"):
            hugging_face.attach(Trainer(torch.nn.Linear(2, 1), None), self.job)


if __name__ == "__main__":
    unittest.main()
