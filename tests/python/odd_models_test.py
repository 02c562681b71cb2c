"""Models and loops as users have them: each trains as with torch alone, or is refused with what to do."""

import os
import unittest

import torch

import muster
from muster import _job

X = torch.linspace(-1, 1, 128).reshape(32, 4)
Y = X.sum(1, keepdim=True)


def fresh(model, base=None, **more):
    if _job._job is not None:
        _job._job.close()
    _job._job = None
    os.environ.pop("MUSTER_SOCKET", None)
    job = muster.init()
    return job, muster.Optimizer(base or torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), model, **more)


class Odd(unittest.TestCase):
    def tearDown(self):
        if _job._job is not None:
            _job._job.close()
        _job._job = None

    def expect_as_torch(self, make, base_of, loss_of=None, x=X, steps_of=None):
        """The same parameters as by torch's own loop over the same batches."""
        loss_of = loss_of or (lambda model, rows: ((model(x[rows]) - Y[rows]) ** 2).mean())
        torch.manual_seed(3)
        model = make()
        job, opt = fresh(model, base_of(model))
        batches = []
        for rows in job.batches(range(32), batch_size=8, collate=list):
            batches.append(rows)
            loss_of(model, rows).backward()
            opt.step()
            opt.zero_grad()
        torch.manual_seed(3)
        other = make()
        base = base_of(other)
        for rows in batches:
            loss_of(other, rows).backward()
            for each in other.parameters():  # what had no part in a batch has a gradient of zero, as other ranks' may count
                if each.requires_grad and each.grad is None:
                    each.grad = torch.zeros_like(each)
            base.step()
            base.zero_grad()
        for (name, ours), (_, theirs) in zip(model.named_parameters(), other.named_parameters()):
            self.assertTrue(torch.equal(ours.detach(), theirs.detach()), name)

    def sgd(self, model):
        return torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)

    def test_tied_parameters(self):
        def make():
            model = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Tanh(), torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 1))
            model[2].weight = model[0].weight
            return model

        self.expect_as_torch(make, self.sgd)

    def test_frozen_parameters(self):
        def make():
            model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
            model[0].weight.requires_grad_(False)
            return model

        self.expect_as_torch(make, lambda model: torch.optim.SGD([each for each in model.parameters() if each.requires_grad], 0.1))

    def test_parameters_without_gradient_in_some_steps(self):
        def make():
            return torch.nn.ModuleList([torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)])

        def loss_of(model, rows):
            return ((model[rows[0] % 2](X[rows]) - Y[rows]) ** 2).mean()

        self.expect_as_torch(make, self.sgd, loss_of)

    def test_two_passes_of_half_a_batch(self):
        def make():
            return torch.nn.Linear(4, 1)

        def loss_of(model, rows):
            (((model(X[rows[:4]]) - Y[rows[:4]]) ** 2).mean() / 2).backward()
            return ((model(X[rows[4:]]) - Y[rows[4:]]) ** 2).mean() / 2

        self.expect_as_torch(make, self.sgd, loss_of)

    def test_sparse_gradients(self):
        def make():
            return torch.nn.Sequential(torch.nn.Embedding(32, 4, sparse=True), torch.nn.Linear(4, 1))

        def loss_of(model, rows):
            return ((model(torch.tensor(rows)) - Y[rows]) ** 2).mean()

        torch.manual_seed(3)
        model = make()
        before = model[0].weight.detach().clone()
        job, opt = fresh(model, torch.optim.SGD(model.parameters(), 0.1))
        for rows in job.batches(range(32), batch_size=8, collate=list):
            loss_of(model, rows).backward()
            self.assertFalse(model[0].weight.grad.is_sparse)
            touched = model[0].weight.grad.abs().sum(1) > 0
            self.assertEqual(sorted(touched.nonzero()[:, 0].tolist()), sorted(rows))
            opt.step()
            opt.zero_grad()
        self.assertFalse(torch.equal(before, model[0].weight))

    def test_groups_of_parameters(self):
        def make():
            return torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))

        self.expect_as_torch(make, lambda model: torch.optim.AdamW([{"params": model[0].parameters(), "lr": 0.01}, {"params": model[1].parameters(), "lr": 0.1}]))

    def test_types_other_than_float32_are_refused_by_name(self):
        for kind in (torch.float64, torch.float16, torch.bfloat16):
            with self.subTest(kind):
                model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 1))
                model[1].to(kind)
                with self.assertRaisesRegex(muster.Error, f"parameter 1.weight is {kind}.*float"):
                    fresh(model)

    def test_a_closure_is_refused(self):
        model = torch.nn.Linear(4, 1)
        job, opt = fresh(model)
        for _ in job.batches((X, Y), batch_size=32):
            with self.assertRaisesRegex(muster.Error, "closure.*backward"):
                opt.step(lambda: 0)
            opt.step()

    def test_autocast(self):
        def loss_of(model, rows):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return ((model(X[rows]).float() - Y[rows]) ** 2).mean()

        self.expect_as_torch(lambda: torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 1)), self.sgd, loss_of)

    def test_a_data_loaders_workers(self):
        class Squares(torch.utils.data.Dataset):
            def __len__(self):
                return 8

            def __getitem__(self, index):
                return torch.tensor([float(index)])

        model = torch.nn.Linear(4, 1)
        job, opt = fresh(model)
        for x, y in job.batches((X, Y), batch_size=32):
            tests = torch.utils.data.DataLoader(Squares(), batch_size=4, num_workers=2)  # forked, with the job's memory
            self.assertEqual(torch.cat(list(tests))[:, 0].tolist(), [float(i) for i in range(8)])
            ((model(x) - y) ** 2).mean().backward()
            opt.step()
        self.assertEqual(job.step, 1)

    def test_an_exception_of_the_optimizer_is_the_programs(self):
        model = torch.nn.Linear(4, 1)
        base = torch.optim.SGD(model.parameters(), 0.1)

        def breaks():
            raise ValueError("my own mistake")

        job, opt = fresh(model, base)
        base.step = breaks
        with self.assertRaisesRegex(ValueError, "my own mistake"):
            for x, y in job.batches((X, Y), batch_size=32):
                ((model(x) - y) ** 2).mean().backward()
                opt.step()

    @unittest.skipUnless(hasattr(torch, "compile"), "torch before 2.0 has no compile")
    def test_a_compiled_model(self):
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
        job, opt = fresh(model)
        compiled = torch.compile(model, backend="aot_eager")  # needs no compiler, and has the graphs of one
        before = model[0].weight.detach().clone()
        for x, y in job.batches((X, Y), batch_size=8):
            ((compiled(x) - y) ** 2).mean().backward()
            opt.step()
            opt.zero_grad()
        self.assertEqual(job.step, 4)
        self.assertFalse(torch.equal(before, model[0].weight))

    @unittest.skipUnless(hasattr(torch.amp, "GradScaler") if hasattr(torch, "amp") else False, "torch before 2.3 scales on GPUs only")
    def test_a_scaler_is_refused_where_it_skips(self):
        model = torch.nn.Linear(4, 1)
        job, opt = fresh(model)
        scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
        with self.assertRaisesRegex(muster.Error, "opt.step\\(\\) was not called"):
            for step, (x, y) in enumerate(job.batches((X, Y), batch_size=8)):
                scaler.scale(((model(x) - y) ** 2).mean() * (float("inf") if step == 2 else 1)).backward()
                scaler.step(opt)
                scaler.update()
                opt.zero_grad()
        self.assertEqual(job.step, 2)


if __name__ == "__main__":
    unittest.main()
