"""The peer: the same small network on the same data by PyTorch's DistributedDataParallel over Gloo.

Started by torchrun, or as one rank with --meet FILE,RANK,SIZE. Rank 0 prints a JSON line an epoch: epoch, seconds of training so far, images, accuracy."""
import argparse
import gzip
import json
import os
import pathlib
import time

import numpy
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

DATA = pathlib.Path('/usr/share/datasets/fashion-mnist')


def idx(name, offset):
    path = DATA / name
    raw = path.read_bytes() if path.exists() else gzip.decompress((DATA / (name + '.gz')).read_bytes())
    return numpy.frombuffer(raw, numpy.uint8, offset=offset)


def network(name):
    if name == 'mlp':
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    return torch.nn.Sequential(torch.nn.Conv2d(1, 8, 5), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(8, 22, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
                               torch.nn.Flatten(), torch.nn.Linear(550, 136), torch.nn.ReLU(), torch.nn.Linear(136, 10))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--model', default='mlp')
    parser.add_argument('--epochs', type=int, default=2)
    parser.add_argument('--batch', type=int, default=64)
    parser.add_argument('--target', type=float, default=2)
    parser.add_argument('--steps-file')
    parser.add_argument('--pids')
    parser.add_argument('--meet')
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.meet:
        path, own, size = args.meet.split(',')
        dist.init_process_group('gloo', init_method='file://' + path, rank=int(own), world_size=int(size))
    else:
        dist.init_process_group('gloo')
    rank, world = dist.get_rank(), dist.get_world_size()
    if args.pids:
        (pathlib.Path(args.pids) / f'rank-{rank}').write_text(str(os.getpid()))
    images = torch.tensor(idx('train-images-idx3-ubyte', 16).reshape(-1, 1, 28, 28) / numpy.float32(255))
    labels = torch.tensor(idx('train-labels-idx1-ubyte', 8).astype(numpy.int64))
    tests = torch.tensor(idx('t10k-images-idx3-ubyte', 16).reshape(-1, 1, 28, 28) / numpy.float32(255))
    answers = torch.tensor(idx('t10k-labels-idx1-ubyte', 8).astype(numpy.int64))
    torch.manual_seed(42)
    model = DistributedDataParallel(network(args.model))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loss = torch.nn.CrossEntropyLoss()
    first = 0
    checkpoint = pathlib.Path(args.pids) / 'checkpoint' if args.pids else None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state['model'])
        optimizer.load_state_dict(state['optimizer'])
        first = state['epoch']
    seconds, steps = 0.0, 0
    for epoch in range(first, args.epochs):
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(epoch))
        begun = time.perf_counter()
        for at in range(0, len(order) - world * args.batch + 1, world * args.batch):
            rows = order[at + rank * args.batch:at + (rank + 1) * args.batch]
            optimizer.zero_grad()
            loss(model(images[rows]), labels[rows]).backward()
            optimizer.step()
            steps += 1
            if args.steps_file and rank == 0:
                pathlib.Path(args.steps_file).write_text(str(epoch * 10000 + steps))
        seconds += time.perf_counter() - begun
        with torch.no_grad():
            part = slice(rank * len(answers) // world, (rank + 1) * len(answers) // world)
            right = torch.tensor([float((model.module(tests[part]).argmax(1) == answers[part]).sum())])
        dist.all_reduce(right)
        accuracy = right.item() / len(answers)
        if rank == 0:
            print(json.dumps({'epoch': epoch + 1, 'seconds': seconds, 'images': (epoch + 1 - first) * len(labels), 'accuracy': accuracy}), flush=True)
            if checkpoint:
                torch.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict(), 'epoch': epoch + 1}, str(checkpoint) + '.new')
                os.replace(str(checkpoint) + '.new', checkpoint)
        if accuracy >= args.target:
            break
    dist.destroy_process_group()


if __name__ == '__main__':
    main()
