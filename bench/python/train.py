"""One training in PyTorch, by muster.Optimizer, by the backend muster of c10d, or by DistributedDataParallel over Gloo.

train.py MODE ...: MODE is muster, c10d, c10d-hook (compressed as the manifest says) or gloo. The result is a JSON line in the file --result, written by rank 0:
seconds of training (tests left out), images, accuracy, seconds to --target, and what the bridge to the worker costs a step."""
import argparse
import gzip
import json
import os
import pathlib
import statistics
import time

import numpy
import torch

DATA = pathlib.Path('/usr/share/datasets/fashion-mnist')


def idx(name, offset):
    path = DATA / name
    raw = path.read_bytes() if path.exists() else gzip.decompress((DATA / (name + '.gz')).read_bytes())
    return torch.from_numpy(numpy.frombuffer(raw, numpy.uint8, offset=offset).copy())


def network(name):
    torch.manual_seed(42)
    if name == 'cnn':
        return torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 22, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                                   torch.nn.Flatten(), torch.nn.Linear(550, 136), torch.nn.ReLU(), torch.nn.Linear(136, 10))
    width = {'mlp': 128, 'wide': 1024}[name]
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, 10))


class Clock:
    """Seconds of training, and the accuracy after each epoch, of rank 0."""

    def __init__(self, args):
        self.args = args
        self.tests = idx('t10k-images-idx3-ubyte', 16).view(-1, 1, 28, 28).float() / 255
        self.answers = idx('t10k-labels-idx1-ubyte', 8).long()
        self.seconds = 0.0
        self.to_target = None
        self.accuracy = 0.0
        self.begun = None

    def start(self):
        self.begun = time.perf_counter()

    def stop(self, model):
        self.seconds += time.perf_counter() - self.begun
        with torch.no_grad():
            self.accuracy = (model(self.tests).argmax(1) == self.answers).float().mean().item()
        if self.to_target is None and self.accuracy >= self.args.target:
            self.to_target = self.seconds

    def tell(self, images, **more):
        told = {'seconds': self.seconds, 'images': images, 'rate': images / self.seconds, 'accuracy': self.accuracy, 'to_target': self.to_target, **more}
        pathlib.Path(self.args.result).write_text(json.dumps(told))


def by_optimizer(args, images, labels):
    import muster

    model = network(args.model)
    base = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    spent = {'base': 0.0, 'batch': 0.0}

    def timed(name, call):
        def run(*given):
            begun = time.perf_counter()
            made = call(*given)
            spent[name] += time.perf_counter() - begun
            return made
        return run

    if args.bridge:
        base.step = timed('base', base.step)
    clock = Clock(args)
    job = muster.init()
    opt = muster.Optimizer(base, model)

    take = timed('batch', lambda rows: (images[rows], labels[rows]))
    epoch, costs, cpu, begun = 0, [], [], None
    loss_of = torch.nn.CrossEntropyLoss()
    for batch in job.batches(range(len(labels)), collate=take) if args.bridge else job.batches((images, labels)):
        if clock.begun is None:  # as DDP's: ranks have met, and Auto has tried its topologies, which is once for a job
            clock.start()
        if job.epoch != epoch:
            epoch = job.epoch
            if job.rank == 0:
                clock.stop(model)
                clock.start()
            begun = None
        if begun is not None:
            costs.append(time.perf_counter() - begun - spent['base'] - spent['batch'])
            cpu.append(time.thread_time() - began_cpu)
        loss = loss_of(model(batch[0]), batch[1])
        loss.backward()
        spent['base'] = spent['batch'] = 0.0
        begun, began_cpu = time.perf_counter(), time.thread_time()
        opt.step()
        opt.zero_grad()
    if job.rank == 0:
        clock.stop(model)
        clock.tell(job.epoch * len(labels), bridge_ms=1000 * statistics.median(costs) if costs else None, cpu_ms=1000*statistics.median(cpu), low=1000*sorted(costs)[len(costs)//10])


def by_ddp(args, images, labels):
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    if args.mode == 'gloo':
        path, own, size = args.meet.split(',')
        dist.init_process_group('gloo', init_method='file://' + path, rank=int(own), world_size=int(size))
    else:
        import muster.c10d

        dist.init_process_group('muster')
    rank, size = dist.get_rank(), dist.get_world_size()
    model = DistributedDataParallel(network(args.model))
    if args.mode == 'c10d-hook':
        model.register_comm_hook(None, muster.c10d.compressed_hook)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    clock = Clock(args)
    loss_of = torch.nn.CrossEntropyLoss()
    done = 0
    for epoch in range(args.epochs):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        clock.start()
        for at in range(0, len(order) - size * args.batch + 1, size * args.batch):
            rows = order[at + rank * args.batch:at + (rank + 1) * args.batch]
            optimizer.zero_grad()
            loss_of(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            done += size * args.batch
        if rank == 0:
            clock.stop(model.module)
        dist.barrier()
    if rank == 0:
        clock.tell(done)
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('mode', choices=['muster', 'c10d', 'c10d-hook', 'gloo'])
    parser.add_argument('--model', default='cnn')
    parser.add_argument('--epochs', type=int, default=1)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--examples', type=int, default=60000)
    parser.add_argument('--target', type=float, default=2)
    parser.add_argument('--meet')
    parser.add_argument('--bridge', action='store_true')
    parser.add_argument('--result', default=os.devnull)
    args = parser.parse_args()
    torch.set_num_threads(1)
    images = (idx('train-images-idx3-ubyte', 16).view(-1, 1, 28, 28).float() / 255)[:args.examples]
    labels = idx('train-labels-idx1-ubyte', 8).long()[:args.examples]
    (by_optimizer if args.mode == 'muster' else by_ddp)(args, images, labels)


if __name__ == '__main__':
    main()
