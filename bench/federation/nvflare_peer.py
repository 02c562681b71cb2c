"""NVFlare's FedAvg with clients that train nothing, for bench/federation/main.py.

Run by a Python that has nvflare and numpy:
  nvflare_peer.py FOLDER CLIENTS MODEL_BYTES ROUNDS    runs the job in NVFlare's simulator, a process for each client
What is called at its time becomes a line of FOLDER/events-PID: {"event", "round", "begin", "end"} (monotonic seconds).
"""

import json
import os
import pathlib
import sys
import time

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, MetaKey, from_shareable
from nvflare.apis.executor import Executor
from nvflare.app_common.abstract.model import ModelLearnable, make_model_learnable
from nvflare.app_common.abstract.model_persistor import ModelPersistor
from nvflare.app_common.aggregators.intime_accumulate_model_aggregator import InTimeAccumulateWeightedAggregator
from nvflare.app_common.app_constant import AppConstants

KEY = "numpy_key"


def tell(event: str, number: int, begin: float) -> None:
    line = json.dumps({"event": event, "round": int(number), "begin": begin, "end": time.monotonic()})
    with open(pathlib.Path(os.environ["MUSTER_PEER_FOLDER"]) / f"events-{os.getpid()}", "a", encoding="ascii") as file:
        file.write(line + "\n")


class Idle(Executor):
    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        begin = time.monotonic()
        weights = from_shareable(shareable).data
        number = shareable.get_header(AppConstants.CURRENT_ROUND)
        diff = {KEY: np.full_like(np.asarray(weights[KEY]), 1e-3)}
        reply = DXO(data_kind=DataKind.WEIGHT_DIFF, data=diff, meta={MetaKey.NUM_STEPS_CURRENT_ROUND: 1}).to_shareable()
        tell("fit", number, begin)
        return reply


class Zeros(ModelPersistor):
    def __init__(self, model_bytes: int):
        super().__init__()
        self.model_bytes = model_bytes

    def load_model(self, fl_ctx) -> ModelLearnable:
        return make_model_learnable({KEY: np.zeros(self.model_bytes // 4, np.float32)}, {})

    def save_model(self, model, fl_ctx) -> None:
        pass


class Aggregator(InTimeAccumulateWeightedAggregator):
    def aggregate(self, fl_ctx):
        tell("whole", fl_ctx.get_prop(AppConstants.CURRENT_ROUND), time.monotonic())
        return super().aggregate(fl_ctx)


def serve(folder: pathlib.Path, clients: int, model_bytes: int, rounds: int) -> None:
    from nvflare.app_common.shareablegenerators.full_model_shareable_generator import FullModelShareableGenerator
    from nvflare.app_common.workflows.scatter_and_gather import ScatterAndGather
    from nvflare.job_config.api import FedJob

    import nvflare_peer as me  # by the name by which the clients' processes find it, on PYTHONPATH

    job = FedJob(name="bench", min_clients=clients)
    job.to_server(me.Zeros(model_bytes), id="persistor")
    job.to_server(FullModelShareableGenerator(), id="shareable_generator")
    job.to_server(me.Aggregator(expected_data_kind=DataKind.WEIGHT_DIFF), id="aggregator")
    job.to_server(
        ScatterAndGather(
            min_clients=clients, num_rounds=rounds, wait_time_after_min_received=0, persistor_id="persistor",
            task_check_period=0.01, persist_every_n_rounds=0, snapshot_every_n_rounds=0,
        )
    )
    job.to_clients(me.Idle(), tasks=["train"])
    job.simulator_run(str(folder / "workspace"), n_clients=clients, threads=clients)


if __name__ == "__main__":
    os.environ["MUSTER_PEER_FOLDER"] = sys.argv[1]
    serve(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
