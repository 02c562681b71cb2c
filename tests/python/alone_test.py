"""The package without a job around: a world of one, and what a program can do wrong."""

import ctypes
import os
import subprocess
import sys
import unittest
import warnings
from unittest import mock

import numpy
import torch

import muster
from muster import _data, _job, _library, _optimizer

X = torch.linspace(-1, 1, 90).reshape(30, 3)
Y = X @ torch.tensor([2.0, -1.0, 0.5]) + 3


def fresh(model, base, **more):
    """A job of its own for each test, as a process has one."""
    _job._job = None
    job = muster.init()
    return job, muster.Optimizer(base(model.parameters()), model, **more)


def adam(parameters):
    return torch.optim.AdamW(parameters, 0.05)


def linear():
    torch.manual_seed(1)
    return torch.nn.Linear(3, 1)


def loss_of(model, x, y):
    return ((model(x)[:, 0] - y) ** 2).mean()


class Alone(unittest.TestCase):
    def setUp(self):
        os.environ.pop("MUSTER_SOCKET", None)

    def tearDown(self):
        if _job._job is not None:
            _job._job.close()

    def test_trains_as_the_same_loop_without_muster(self):
        rows, model = [], linear()
        job, opt = fresh(model, adam)
        for x, y in job.batches((X, Y), batch_size=8, epochs=3, seed=4):
            rows.append((x.clone(), y.clone()))
            loss_of(model, x, y).backward()
            self.assertTrue(opt.step())
            opt.zero_grad()
        self.assertEqual((job.rank, job.size, job.step, job.epoch, job.alone), (0, 1, 12, 3, True))
        plain = linear()
        base = adam(plain.parameters())
        for x, y in rows:
            base.zero_grad()
            loss_of(plain, x, y).backward()
            base.step()
        for ours, theirs in zip(model.parameters(), plain.parameters()):
            self.assertTrue(torch.equal(ours, theirs))

    def test_each_example_comes_once_an_epoch(self):
        model = linear()
        job, opt = fresh(model, adam)
        seen = []
        for batch in job.batches(range(30), batch_size=7, epochs=2, collate=list):
            seen += batch
            loss_of(model, X[batch], Y[batch]).backward()
            opt.step()
        self.assertEqual(sorted(seen[:30]), list(range(30)))
        self.assertEqual(sorted(seen[30:]), list(range(30)))
        self.assertNotEqual(seen[:30], seen[30:])

    def test_gradients_that_are_set_to_none_or_replaced_count_all_the_same(self):
        results = []
        for clear in (lambda model, opt: opt.zero_grad(), lambda model, opt: model.zero_grad(set_to_none=True)):
            model = linear()
            job, opt = fresh(model, adam)
            for x, y in job.batches((X, Y), batch_size=8):
                clear(model, opt)
                loss_of(model, x, y).backward()
                opt.step()
            results.append([each.detach().clone() for each in model.parameters()])
            job.close()
        self.assertTrue(all(torch.equal(a, b) for a, b in zip(*results)))

    def test_parameters_and_gradients_are_the_shared_memory(self):
        model = linear()
        job, opt = fresh(model, adam)
        job_memory = job._lib.muster_parameters(job._handle, None)
        self.assertEqual(model.weight.data_ptr(), job_memory)
        x, y = next(job.batches((X, Y), batch_size=8))
        loss_of(model, x, y).backward()
        gradient = (ctypes.c_float * 4).from_address(job._lib.muster_gradient(job._handle, None))
        self.assertEqual(list(gradient), model.weight.grad.flatten().tolist() + model.bias.grad.tolist())

    def test_parameters_of_a_device_are_copied_to_and_fro_with_the_same_result(self):
        results = []
        for on_cpu in (True, False):
            with mock.patch.object(_optimizer._TorchModel, "_on_cpu", staticmethod(lambda each: on_cpu)):
                model = linear()
                job, opt = fresh(model, adam)
                for x, y in job.batches((X, Y), batch_size=8, epochs=2):
                    loss_of(model, x, y).backward()
                    opt.step()
                    opt.zero_grad()
                memory = (ctypes.c_float * 4).from_address(job._lib.muster_parameters(job._handle, None))
                values = model.weight.flatten().tolist() + model.bias.tolist()
                self.assertEqual(list(memory), values)
                self.assertEqual(model.weight.data_ptr() == ctypes.addressof(memory), on_cpu)
                results.append(values)
                job.close()
        self.assertEqual(*results)

    def test_a_dataset_that_has_tensors_is_asked_for_its_examples_all_the_same(self):
        class Doubled:
            tensors = (X, Y)
            shape = (30,)

            def __len__(self):
                return 30

            def __getitem__(self, row):
                return 2 * X[row], Y[row]

        seen = []
        for dataset in (Doubled(), torch.utils.data.TensorDataset(2 * X, Y)):
            job, _ = fresh(linear(), adam)
            seen.append(next(job.batches(dataset, batch_size=4))[0])
            job.close()
        self.assertTrue(torch.equal(*seen))

    def test_tensors_and_arrays_have_a_fingerprint(self):
        x, y = numpy.arange(6000.0).reshape(2000, 3), torch.arange(2000).to(torch.bfloat16)
        known = _data.fingerprint_of((x, y))
        self.assertEqual(_data.fingerprint_of((x.copy(), y.clone())), known)
        self.assertGreater(known, 0)
        self.assertLess(known, 1 << 64)
        other = x.copy()
        other[0, 1] += 1
        for changed in ((other, y), (x[:-1], y[:-1]), (x.astype("float32"), y), (x[::-1], y), (x, y + 1)):
            self.assertNotEqual(_data.fingerprint_of(changed), known)
        for dataset in (x, torch.utils.data.TensorDataset(y), numpy.array(["a", None], dtype=object)):
            self.assertGreater(_data.fingerprint_of(dataset), 0)
        self.assertEqual(_data.fingerprint_of(numpy.array([object()], dtype=object)), 0, "whose words hold an address")
        self.assertEqual([_data.hash_of(each) for each in ("", b"", 0)], [0, 0, 0])
        self.assertEqual(len({_data.hash_of(each) for each in ("v1", "v2", 7, b"7x")}), 4)

    def test_plain_lists_and_parts_of_tensors_have_a_fingerprint_too(self):
        def examples(last=7.5, size=3):
            return [{"x": torch.arange(6.0), "y": numpy.float32(index), "z": ("a", b"b", [None, True, 1, last])} for index in range(size)]

        utils = torch.utils.data
        tensors = utils.TensorDataset(X, Y)
        first, second = utils.random_split(tensors, [20, 10], torch.Generator().manual_seed(1))
        told = [
            [(1, 2), (3, 4)],
            [(1, 2), (3, 5)],
            [(1, 2), (3, "4")],
            examples(),
            examples(last=7),
            examples(size=4),
            first,
            second,
            utils.random_split(tensors, [20, 10], torch.Generator().manual_seed(2))[0],
            utils.Subset(tensors, torch.arange(20)),
            utils.ConcatDataset([first, second]),
            utils.ConcatDataset([second, first]),
        ]
        known = [_data.fingerprint_of(each) for each in told]
        self.assertEqual(len(set(known)), len(told))
        self.assertGreater(min(known), 0)
        self.assertEqual(_data.fingerprint_of(examples()), known[3])
        self.assertEqual(_data.fingerprint_of(utils.Subset(tensors, range(20))), known[9])
        itself = []
        itself.append(itself)
        many = [[list(range(1000))] * 1000] * 256
        for unknown in ([object()], [{1: 2, "a": 3}], itself, many, utils.Subset([object()], [0]), utils.ConcatDataset([tensors, [object()]]), {}):
            self.assertEqual(_data.fingerprint_of(unknown), 0)

    def test_of_data_without_a_fingerprint_a_job_warns(self):
        class Own:
            def __len__(self):
                return 30

            def __getitem__(self, row):
                return X[row], Y[row]

        for dataset, told, alone, warns in (
            (Own(), None, False, True),
            (Own(), "", False, False),
            (Own(), "v1", False, False),
            (Own(), None, True, False),
            ((X, Y), None, False, False),
        ):
            job, _ = fresh(linear(), adam)
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                with mock.patch.object(type(job), "alone", alone):
                    job.batches(dataset, fingerprint=told)
            job.close()
            words = [str(each.message) for each in seen if "fingerprint=" in str(each.message)]
            self.assertEqual(len(words), int(warns))
            self.assertTrue(not warns or "of a Own ranks and checkpoints compare no more than the number" in words[0])

    def test_what_cannot_have_been_measured_is_refused_by_its_value(self):
        job, _ = fresh(linear(), adam)
        for told, says in (
            ({"accuracy": 97}, "job.report: accuracy is 97.0; accuracy is a share, 0 to 1: divide by 100"),
            ({"accuracy": -0.5}, "accuracy is -0.5"),
            ({"accuracy": float("nan")}, "accuracy is nan"),
            ({"loss": float("inf")}, "job.report: loss is inf"),
            ({"loss": torch.ones(2)}, "job.report: loss must be one number"),
            ({"loss": "low"}, "job.report: loss must be one number, not 'low'"),
        ):
            with self.assertRaisesRegex(muster.Error, says):
                job.report(**told)
        job.report(loss=-1.5, accuracy=torch.tensor(0.975))
        job.close()

    def test_what_the_program_tells_of_its_data_is_told_to_the_library(self):
        for told, expected in ((None, _data.fingerprint_of((X, Y))), ("", 0), ("v1", _data.hash_of("v1"))):
            model = linear()
            job, _ = fresh(model, adam)
            seen = []
            begin = job._call
            job._call = lambda name, *rest, begin=begin: (seen.append((name, rest)), begin(name, *rest))
            job.batches((X, Y), fingerprint=told)
            training = next(rest[0]._obj for name, rest in seen if name == "muster_begin")
            self.assertEqual(training.fingerprint, expected)
            job.close()

    def test_a_list_of_examples_is_collated_as_torch_does(self):
        model = linear()
        job, _ = fresh(model, adam)
        x, y = next(job.batches([(X[i], Y[i]) for i in range(30)], batch_size=4))
        self.assertEqual((x.shape, y.shape), ((4, 3), (4,)))

    def test_numpy_arrays_train_by_any_rule(self):
        _job._job = None
        job = muster.init()
        model = muster.Arrays({"w": numpy.zeros(3), "b": numpy.zeros(())})

        class Descent:
            def step(self):
                for name in model:
                    model[name][...] -= 0.3 * model.grad[name]

        opt = muster.Optimizer(Descent(), model)
        for x, y in job.batches((X.numpy(), Y.numpy()), batch_size=10, epochs=400):
            error = x @ model["w"] + model["b"] - y
            model.grad["w"][...] = error @ x / len(x)
            model.grad["b"][...] = error.mean()
            opt.step()
        self.assertAlmostEqual(float(model["b"]), 3, places=1)

    def test_the_state_of_a_model_with_buffers_and_schedulers_comes_back(self):
        def made():
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
            model[0].bias.requires_grad_(False)
            base = adam(model.parameters())
            scheduler = torch.optim.lr_scheduler.StepLR(base, 2)
            _job._job = None
            job = muster.init()
            return job, model, muster.Optimizer(base, model, also=[scheduler]), scheduler

        job, model, opt, scheduler = made()
        for x, y in job.batches((X, Y), batch_size=8):
            loss_of(model, x, y).backward()
            opt.step()
            opt.zero_grad()
            scheduler.step()
        state = opt.give_state()
        other_job, other, other_opt, other_scheduler = made()
        other_opt.take_state(state)
        self.assertTrue(torch.equal(other[1].running_mean, model[1].running_mean))
        self.assertTrue(torch.equal(other[0].bias, model[0].bias))
        self.assertEqual(other_scheduler.last_epoch, 4)
        self.assertEqual(other_opt.param_groups[0]["lr"], opt.param_groups[0]["lr"])
        job.close()
        other_job.close()


class Wrong(unittest.TestCase):
    def tearDown(self):
        if _job._job is not None:
            _job._job.close()

    def expect(self, says):
        return self.assertRaisesRegex(muster.Error, says)

    def one_batch(self, change):
        model = linear()
        job, opt = fresh(model, adam)
        for x, y in job.batches((X, Y), batch_size=8):
            loss_of(model, x, y).backward()
            change(model)
            opt.step()

    def test_a_parameter_that_moved(self):
        def move(model):
            model.weight.data = model.weight.data.clone()

        with self.expect("parameter weight was moved"):
            self.one_batch(move)

    def test_a_parameter_of_another_type_later(self):
        with self.expect("parameter weight was moved or changed its type"):
            self.one_batch(lambda model: model.double())

    def test_a_parameter_of_another_type_at_once(self):
        model = linear().double()
        with self.expect("parameter weight is torch.float64.*model.float"):
            fresh(model, adam)

    def test_a_batch_without_a_step(self):
        job, _ = fresh(linear(), adam)
        with self.expect(r"opt.step\(\) was not called"):
            for _ in job.batches((X, Y), batch_size=8):
                pass

    def test_a_state_that_cannot_travel_is_told_before_the_first_step(self):
        class Odd:
            def state_dict(self):
                return {"lock": object()}

        job, _ = fresh(linear(), adam, also=[Odd()])
        with self.expect("lock.*cannot travel"):
            job.batches((X, Y))

    def test_a_step_without_a_batch(self):
        _, opt = fresh(linear(), adam)
        with self.expect("no batch whose gradient is due"):
            opt.step()

    def test_an_optimizer_of_another_model(self):
        _job._job = None
        muster.init()
        with self.expect("a parameter of shape .1, 3. that the model does not have"):
            muster.Optimizer(adam(linear().parameters()), torch.nn.Linear(2, 2))

    def test_batches_before_an_optimizer(self):
        _job._job = None
        job = muster.init()
        with self.expect("make a muster.Optimizer first"):
            job.batches((X, Y))

    def test_a_second_job(self):
        _job._job = None
        muster.init()
        with self.expect("in a job already"):
            muster.init()

    def test_an_empty_dataset(self):
        job, _ = fresh(linear(), adam)
        with self.expect("from 1 to"):
            job.batches((X[:0], Y[:0]))

    def test_parameter_servers_do_not_make_every_step(self):
        parameters = list(linear().parameters())
        words = _optimizer._in_words(torch.optim.AdamW(parameters, 0.1, (0.8, 0.9)))
        self.assertEqual((words["name"], words["beta1"], words["learningRate"]), ("AdamW", 0.8, 0.1))
        for base, says in (
            (torch.optim.RMSprop(parameters), "not of RMSprop"),
            (torch.optim.SGD(parameters, 0.1, momentum=0.9, nesterov=True), "no nesterov"),
            (torch.optim.SGD([{"params": [parameters[0]]}, {"params": [parameters[1]]}], 0.1), "with 2"),
        ):
            with self.expect(says):
                _optimizer._in_words(base)

    def test_a_library_of_another_version(self):
        code = "from muster import _version, _library; _version.__version__ = _library.__version__ = '9.9'; _library.library()"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        self.assertIn("the package muster of 9.9; install both from one wheel", run.stderr)

    def test_a_library_that_is_not_there(self):
        env = dict(os.environ, MUSTER_LIBRARY="/nowhere/libmuster_worker.so")
        run = subprocess.run([sys.executable, "-c", "import muster; muster.init()"], env=env, capture_output=True, text=True)
        self.assertIn("install the wheel of muster", run.stderr)

    def test_a_struct_is_as_the_header_says(self):
        self.assertEqual(ctypes.sizeof(_library.Event), 80)
        self.assertEqual(ctypes.sizeof(_library.World), 64)
        self.assertEqual(ctypes.sizeof(_library.Training), 56)


if __name__ == "__main__":
    unittest.main()
