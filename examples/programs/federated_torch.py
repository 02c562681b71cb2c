"""A PyTorch model of your own in a federation: the function that trains one client, and the line that serves it.

python3 federated_torch.py                                   a hundred clients in this process
muster run examples/programs/federated-torch.yaml            in the client pods of a FederatedRound
"""

import os

import torch
from torch import nn

import muster

torch.set_num_threads(1)
CLASSES = 10


def part_of(client):
    """A client's own pictures of points around class centres; most are of two classes of its own."""
    draw = torch.Generator().manual_seed(client)
    centres = torch.randn(CLASSES, 16, generator=torch.Generator().manual_seed(0)) * 1.5
    own = torch.tensor([client % CLASSES, (client + 1) % CLASSES])
    classes = torch.where(
        torch.rand(120, generator=draw) < 0.8,
        own[torch.randint(2, (120,), generator=draw)],
        torch.randint(CLASSES, (120,), generator=draw),
    )
    return centres[classes] + torch.randn(120, 16, generator=draw), classes


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, CLASSES))


@muster.client
def train(model, data, round):
    x, y = data
    told = round.config
    came = [each.detach().clone() for each in model.parameters()]
    with torch.no_grad():
        accuracy = (model(x).argmax(1) == y).float().mean().item()  # of the common model, on data of this client
    optimizer = torch.optim.SGD(model.parameters(), told["learning_rate"])
    order = torch.Generator().manual_seed(round.seed)
    total = 0.0
    for _ in range(told["local_epochs"]):
        for rows in torch.randperm(len(x), generator=order).split(told["batch_size"] or len(x)):
            loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            total += loss.item() * len(rows) / told["local_epochs"]
            if told["mu"]:  # FedProx
                loss = loss + told["mu"] / 2 * sum(((a - b) ** 2).sum() for a, b in zip(model.parameters(), came))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return muster.Update(model, examples=len(x), loss=total / len(x), accuracy=accuracy)


if __name__ == "__main__":
    done = muster.serve(
        train, model=network, data=part_of, clients=100, rounds=20, cohort=10, config={"learning_rate": 0.1, "local_epochs": 2}
    )
    if done:  # alone
        for each in done.history:
            print(f"round {each.number}: loss {each.loss:.3f} accuracy {each.accuracy:.3f}")
