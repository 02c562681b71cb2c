"""What runs while the dashboards are asked: real data, small models, more steps and rounds than the test waits for."""
DATA = '/usr/share/datasets/fashion-mnist'
WORKERS = 3
SERVED = 2  # workers beside SERVERS
SERVERS = 2
CLIENTS = 6
COHORT = 4


def template(role, claim=None, **container):
    volumes = [{'name': 'data', 'hostPath': {'path': DATA, 'type': 'Directory'}}]
    mounts = [{'name': 'data', 'mountPath': '/data', 'readOnly': True}]
    if claim:
        volumes.append({'name': 'kept', 'persistentVolumeClaim': {'claimName': claim}})
        mounts.append({'name': 'kept', 'mountPath': '/kept'})
    return {'spec': {'containers': [{'name': role, 'volumeMounts': mounts, **container}], 'volumes': volumes}}


def claim(name):
    return {'apiVersion': 'v1', 'kind': 'PersistentVolumeClaim', 'metadata': {'name': name},
            'spec': {'accessModes': ['ReadWriteOnce'], 'resources': {'requests': {'storage': '100Mi'}}}}


def thing(kind, name, spec):
    return {'apiVersion': 'muster.dev/v1alpha1', 'kind': kind, 'metadata': {'name': name}, 'spec': spec}


def training(**more):
    return {'model': {'name': 'mlp', 'hidden': [64]}, 'dataset': {'name': 'fashion-mnist', 'path': '/data'},
            'optimizer': {'name': 'SGD', 'learningRate': 0.05}, 'seed': 7, **more}


def ring():
    """Restarted once, it is at its limit."""
    return [claim('ring'), thing('DistributedJob', 'ring', {
        'workers': {'replicas': WORKERS, 'template': template('worker', 'ring')},
        'training': training(batchSize=64, epochs=100000, checkpoint={'path': '/kept', 'everySteps': 50}),
        'runPolicy': {'maxRestarts': 1}})]


def served():
    """Each worker by itself, so that gradients have ages; two servers, so that parts are mirrored."""
    return [thing('DistributedJob', 'served', {
        'workers': {'replicas': SERVED, 'template': template('worker')},
        'synchronization': {'topology': 'ParameterServer', 'updates': 'Asynchronous', 'parameterServers': {'shards': SERVERS}},
        'training': training(batchSize=64, epochs=100000)})]


def rounds():
    """Devices' data grows, and each adapts the model to its own."""
    return [claim('rounds'), thing('FederatedRound', 'rounds', {
        'rounds': 100000, 'training': training(localEpochs=1, batchSize=64),
        'strategy': {'name': 'FedAvgM', 'learningRate': 0.5, 'momentum': 0.5}, 'cohort': {'size': COHORT, 'overSelection': 1.0, 'minimum': COHORT},
        'stragglers': {'deadlineSeconds': 60, 'policy': 'Drop'}, 'personalization': {'fineTune': {'learningRate': 0.05}},
        'aggregator': {'template': template('aggregator', 'rounds'), 'storage': {'path': '/kept'}},
        'clients': {'count': CLIENTS, 'perPod': 3, 'stream': {'initialExamples': 2000, 'examplesPerRound': 10}, 'partition': {'kind': 'LabelShards', 'shardsPerClient': 2},
                    'template': template('client')}})]


def waiting():
    """No node has such a GPU."""
    return [thing('DistributedJob', 'waiting', {
        'workers': {'replicas': 1, 'template': template('worker', resources={'limits': {'nvidia.com/gpu': '64'}})},
        'training': training(batchSize=64, epochs=1)})]


def broken():
    """Its data is nowhere: Failed at once."""
    spec = training(batchSize=64, epochs=1)
    spec['dataset']['path'] = '/nowhere'
    return [thing('DistributedJob', 'broken', {'workers': {'replicas': 1, 'template': template('worker')}, 'training': spec})]
