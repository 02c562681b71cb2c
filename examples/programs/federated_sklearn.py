"""A scikit-learn model in a federation: handwritten digits, which come with scikit-learn, at twenty clients.

python3 federated_sklearn.py                                 in this process
muster run examples/programs/federated-sklearn.yaml          in the client pods of a FederatedRound
Needs scikit-learn: Debian's python3-sklearn, or pip install scikit-learn.
"""

import numpy
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import muster

CLIENTS = 20
X, Y = load_digits(return_X_y=True)
X = X / 16


def part_of(client):
    """The digits with this number, and every twentieth after it."""
    return X[client::CLIENTS], Y[client::CLIENTS]


def classifier():
    model = SGDClassifier(loss="log_loss", learning_rate="constant", eta0=0.05, random_state=0)
    model.partial_fit(X[:1], Y[:1], classes=numpy.arange(10))  # so that it has coefficients, which are then
    model.coef_[:], model.intercept_[:] = 0, 0
    return model


@muster.client
def train(model, data, round):
    x, y = data
    accuracy = model.score(x, y)  # of the common model
    order = numpy.random.default_rng(round.seed)
    for _ in range(round.config["local_epochs"]):
        rows = order.permutation(len(x))
        model.partial_fit(x[rows], y[rows])
    chances = model.predict_proba(x)[numpy.arange(len(y)), y]
    return muster.Update(model, examples=len(x), loss=-numpy.log(chances + 1e-9).mean(), accuracy=accuracy)


if __name__ == "__main__":
    done = muster.serve(train, model=classifier, data=part_of, clients=CLIENTS, rounds=15, cohort=8)
    if done:  # alone
        print(f"accuracy {done.model.score(X, Y):.3f} after {len(done.history)} rounds")
