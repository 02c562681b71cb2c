"""Flower's gRPC server and clients that train nothing, for bench/federation/main.py.

Run by a Python that has flwr and numpy. Roles:
  server ADDRESS CLIENTS MODEL_BYTES ROUNDS OUT   when all updates of a round are here becomes a line of OUT: {"round", "whole"}
  clients ADDRESS CLIENTS OUT      each fit() becomes a line of OUT: {"client", "round", "begin", "end"} (monotonic seconds)

flwr's start_server and start_client are its leanest way: one connection per client over which the server pushes (its
SuperLink polls instead). Both are deprecated, and plaintext here: neither TLS nor a disk costs it anything.
"""

import json
import sys
import threading
import time

import numpy as np


def serve(address: str, clients: int, model_bytes: int, rounds: int, out: str) -> None:
    from flwr.common import ndarrays_to_parameters
    from flwr.server import ServerConfig, start_server
    from flwr.server.strategy import FedAvg

    class Told(FedAvg):
        def aggregate_fit(self, server_round, results, failures):
            line = json.dumps({"round": server_round, "whole": time.monotonic()})
            with open(out, "a", encoding="ascii") as file:
                file.write(line + "\n")
            return super().aggregate_fit(server_round, results, failures)

    strategy = Told(
        fraction_fit=1.0,
        fraction_evaluate=0.0,
        min_fit_clients=clients,
        min_available_clients=clients,
        initial_parameters=ndarrays_to_parameters([np.zeros(model_bytes // 4, np.float32)]),
        on_fit_config_fn=lambda server_round: {"round": server_round},
    )
    start_server(server_address=address, config=ServerConfig(num_rounds=rounds), strategy=strategy)


def play(address: str, clients: int, out: str) -> None:
    from flwr.client import NumPyClient, start_client

    lines: list[str] = []
    lock = threading.Lock()

    class Idle(NumPyClient):
        def __init__(self, number: int) -> None:
            self.number = number

        def fit(self, parameters, config):
            begin = time.monotonic()
            for values in parameters:
                values += np.float32(1e-3)
            with lock:
                lines.append(json.dumps({"client": self.number, "round": config["round"], "begin": begin, "end": time.monotonic()}))
            return parameters, 1, {}

    threads = [
        threading.Thread(target=lambda n=n: start_client(server_address=address, client=Idle(n).to_client()), daemon=True)
        for n in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with open(out, "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    else:
        play(sys.argv[2], int(sys.argv[3]), sys.argv[4])
