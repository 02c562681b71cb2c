"""The backend "muster" of torch.distributed alone, where every collective is what is there already; in jobs it is
tests/process/program_clients_test.sh that runs it. Each case in a process of its own: a group is one of a process."""

import os
import subprocess
import sys
import textwrap
import unittest


def run(script):
    environment = {name: value for name, value in os.environ.items() if name not in ("MUSTER_SOCKET", "RANK")}
    head = "import torch, torch.distributed as dist, muster.c10d\ndist.init_process_group('muster')\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)], env=environment, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


class Alone(unittest.TestCase):
    def test_collectives_of_one(self):
        code, out, err = run(
            """
            assert (dist.get_rank(), dist.get_world_size()) == (0, 1)
            for dtype in (torch.float32, torch.float64, torch.int64, torch.bfloat16):
                for op in (dist.ReduceOp.SUM, dist.ReduceOp.AVG, dist.ReduceOp.MIN, dist.ReduceOp.MAX, dist.ReduceOp.PRODUCT):
                    x = torch.tensor([[3, -2], [5, 7]]).to(dtype).t()
                    dist.all_reduce(x, op)
                    assert x.tolist() == [[3, 5], [-2, 7]], (dtype, op, x)
            x = torch.arange(6.)
            dist.broadcast(x, 0)
            rows = [torch.zeros(6)]
            dist.all_gather(rows, x)
            assert rows[0].tolist() == x.tolist()
            part = torch.zeros(6)
            dist.reduce_scatter(part, [x])
            assert part.tolist() == x.tolist()
            work = dist.all_reduce(x, async_op=True)
            work.wait()
            dist.barrier()
            assert dist.get_backend() == "muster"
            dist.destroy_process_group()
            print("all well")
            """
        )
        self.assertEqual((code, out), (0, "all well\n"), err)

    def test_a_larger_tensor_than_the_room_goes_in_pieces(self):
        code, _, err = run(
            """
            x = torch.arange(5 << 22, dtype=torch.float32)  # 80 MiB
            rows = [torch.zeros(1)]
            dist.all_reduce(x)
            rows = [torch.empty_like(x)]
            dist.all_gather(rows, x)
            assert (rows[0] == torch.arange(5 << 22)).all()
            """
        )
        self.assertEqual(code, 0, err)

    def test_ddp(self):
        code, _, err = run(
            """
            model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 1))
            twin = __import__("copy").deepcopy(model)
            model = torch.nn.parallel.DistributedDataParallel(model)
            x = torch.randn(16, 3)
            for each in (model, twin):
                each(x).square().mean().backward()
            for a, b in zip(model.parameters(), twin.parameters()):
                assert torch.equal(a.grad, b.grad)
            """
        )
        self.assertEqual(code, 0, err)

    def test_work_tells_how_it_went(self):
        code, _, err = run(
            """
            x = torch.ones(3)
            work = dist.all_reduce(x, async_op=True)
            work.wait()
            assert work.is_completed() and work.is_success() and work.exception() is None
            assert work.result()[0].data_ptr() == x.data_ptr()
            wrong = muster.c10d._group.later(lambda: 1 / 0, [])
            try:
                wrong.wait()
            except RuntimeError as error:
                assert "zero" in str(error)
            assert wrong.is_completed() and not wrong.is_success() and "zero" in str(wrong.exception())
            """
        )
        self.assertEqual(code, 0, err)

    def test_results_are_held_while_somebody_may_ask_for_them(self):
        code, _, err = run(
            """
            kept = []
            for number in range(40):
                x = torch.ones(1000)
                work = dist.all_reduce(x, async_op=True)
                if number == 3:
                    kept.append(work)
                work.wait()
            del x, work
            assert len(muster.c10d._group._works) <= 2
            assert kept[0].result()[0].tolist() == [1.0] * 1000
            assert all(each._future is None and each.is_success() and each.wait() for each in muster.c10d._group._over)
            assert len(muster.c10d._group._over) >= 36
            """
        )
        self.assertEqual(code, 0, err)

    def test_inference_mode(self):
        code, _, err = run(
            """
            with torch.inference_mode():
                for dtype in (torch.float32, torch.float64, torch.bool):
                    x = torch.ones(3, dtype=dtype)
                    dist.all_reduce(x)
                    dist.broadcast(x, 0)
                    rows = [torch.zeros(3, dtype=dtype)]
                    dist.all_gather(rows, x)
                    assert rows[0].tolist() == [1, 1, 1]
            x = torch.ones(3, requires_grad=True)
            dist.all_reduce(x)
            """
        )
        self.assertEqual(code, 0, err)

    def test_what_ends_well_is_said_once_and_by_the_process_itself(self):
        for script, times in (
            ("sys.exit(1)", 0),
            ("try: sys.exit(2)\nexcept SystemExit: dist.barrier()", 1),
            ("child = os.fork()\nif child == 0: sys.exit(0)\nos.waitpid(child, 0)", 1),
        ):
            code, out, err = run("import os, sys\nmuster.c10d._group.done = lambda: os.write(1, b'done ')\n" + script)
            self.assertEqual(out.count("done"), times, (script, code, err))

    def test_env_stays_torchs_where_its_variables_are(self):
        code, _, err = run(
            """
            import os, socket
            dist.destroy_process_group()
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
            dist.init_process_group("gloo", rank=0, world_size=1)
            x = torch.ones(1)
            dist.reduce(x, 0)
            """
        )
        self.assertEqual(code, 0, err)

    def test_a_rank_that_is_not_this_one_is_refused(self):
        code, _, err = run(
            """
            dist.destroy_process_group()
            try:
                dist.init_process_group("muster", store=muster.c10d._group.store, rank=1, world_size=1)
            except (RuntimeError, ValueError) as error:
                assert "rank" in str(error), error
            else:
                assert False
            """
        )
        self.assertEqual(code, 0, err)

    def test_others_are_refused_by_name(self):
        code, _, err = run(
            """
            for call, name in (
                (lambda: dist.reduce(torch.zeros(1), 0), "no reduce;"),
                (lambda: dist.all_to_all([torch.zeros(1)], [torch.zeros(1)]), "no alltoall;"),
                (lambda: dist.all_reduce(torch.zeros(1, dtype=torch.int32), dist.ReduceOp.BXOR), "not "),
                (lambda: dist.all_reduce(torch.ones(1).to_sparse()), "of dense real tensors"),
                (lambda: dist.all_reduce(torch.ones(1, dtype=torch.bool), dist.ReduceOp.AVG), "AVG of bool"),
                (lambda: dist.all_gather([torch.ones(2)], torch.ones(1)), "same number of elements"),
                (lambda: dist.all_gather([torch.ones(1).double()], torch.ones(1)), ""),
                (lambda: dist.reduce_scatter(torch.ones(1), [torch.ones(2)]), "same number of elements"),
                (lambda: dist.group.WORLD.allgather_coalesced([[torch.ones(1)]], [torch.ones(1)]), "no allgather_coalesced;"),
            ):
                try:
                    call()
                except RuntimeError as error:
                    assert name in str(error), error
                else:
                    assert False, name
            """
        )
        self.assertEqual(code, 0, err)


if __name__ == "__main__":
    unittest.main()
