"""Muster: train a model of your own in a DistributedJob, or alone, with three changed lines.

    job = muster.init()
    opt = muster.Optimizer(torch.optim.AdamW(model.parameters(), 1e-3), model)
    for x, y in job.batches(dataset, batch_size=64):
        loss = loss_fn(model(x), y)
        loss.backward()
        job.report(loss=loss)
        opt.step()
        opt.zero_grad()

Or federated, by one function, in the client pods of a FederatedRound or in this process:

    @muster.client
    def train(model, data, round):
        ...
        return muster.Update(model, examples=len(data), loss=loss)

    muster.serve(train, model=Net, data=part_of)
    trained = muster.simulate(train, model=Net, data=part_of, clients=100, rounds=20, cohort=10).model

Or a manifest's job, in the cluster of the kubeconfig, else on this machine:

    run = muster.submit("job.yaml")
    run.wait()
"""

from ._federated import Round, RoundResult, Simulation, Update, client, simulate
from ._function import DistributedJob
from ._job import Ended, Job, init
from ._library import Error
from ._optimizer import Arrays, Optimizer
from ._serve import serve
from ._submit import Run, submit
from ._version import __version__

__all__ = [
    "Arrays",
    "DistributedJob",
    "Ended",
    "Error",
    "Job",
    "Optimizer",
    "Round",
    "RoundResult",
    "Run",
    "Simulation",
    "Update",
    "client",
    "init",
    "serve",
    "simulate",
    "submit",
    "__version__",
]
