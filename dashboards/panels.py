"""What the dashboards ask: each panel is a question of somebody who runs a cluster, with the queries that answer it."""

RATE = '[$__rate_interval]'


def panel(kind, title, description, *queries, **more):
    """queries: (PromQL, legend); more: unit, steps, width, height, ... of dashboards/make."""
    return {'type': kind, 'title': title, 'description': description, 'queries': queries, **more}


def graph(title, description, *queries, **more):
    return panel('timeseries', title, description, *queries, **more)


def stat(title, description, *queries, **more):
    return panel('stat', title, description, *queries, **{'width': 4, **more})


def table(title, description, columns, *queries, **more):
    return panel('table', title, description, *queries, **{'columns': columns, 'width': 12, **more})


def bars(title, description, *queries, **more):
    return panel('bargauge', title, description, *queries, **more)


def quantile(q, family, by):
    return f'histogram_quantile({q}, sum by ({by}, le) (rate({family}{RATE})))'


# ---------------------------------------------------------------------------------------------------------- operator
OP = '{namespace=~"$namespace"}'
OURS = '{namespace=~"$namespace",controller=~"distributedjob|federatedround"}'  # other controllers have the names, too
# Names that every program has, of the operator's pods only.
OF_OPERATOR = f'and on (namespace, pod) muster_build_info{OP}'

OPERATOR_ROWS = [
    ('Is it working?', [
        stat('Replicas', 'Operator replicas that are scraped. None: alert MusterOperatorDown.',
             (f'count(muster_build_info{OP})', ''), steps=[(None, 'red'), (1, 'green')]),
        stat('Leaders', 'Replicas that hold the Lease. One is right; none or two for longer than a takeover (17 s) is an alert.',
             (f'sum(leader_election_master_status{OP})', ''), steps=[(None, 'red'), (1, 'green'), (2, 'red')]),
        stat('Version', 'What runs. Two versions: an upgrade is under way.',
             (f'count by (version) (muster_build_info{OP})', '{{version}}'), text='name'),
        stat('Objects under way', 'DistributedJobs and FederatedRounds that have not ended.',
             (f'sum(max by (kind, phase) (muster_jobs{{namespace=~"$namespace",phase!~"Succeeded|Failed"}}))', '')),
        stat('Failed in the last hour', 'Objects that ended Failed.',
             (f'sum(increase(muster_finished_total{{namespace=~"$namespace",result="Failed"}}[1h]))', ''),
             decimals=0, steps=[(None, 'green'), (0.5, 'orange')]),
        stat('Counted restarts in the last hour', 'Restarts that count towards runPolicy.maxRestarts.',
             (f'sum(increase(muster_restarts_total{OP}[1h]))', ''), decimals=0, steps=[(None, 'green'), (0.5, 'orange')]),
    ]),
    ('What is there, and why does it not run?', [
        graph('Objects by phase', 'How many there are of each kind in each phase, those that have ended included.',
              (f'max by (kind, phase) (muster_jobs{OP}) > 0', '{{kind}} {{phase}}'), width=12),
        graph('Ended in the last hour', 'How many reached their end, by result.',
              (f'sum by (kind, result) (increase(muster_finished_total{OP}[1h]))', '{{kind}} {{result}}'), width=12),
        table('What does not run, and why', 'Objects that have not ended and do not run. `reason` is that of condition PodsReady: kubectl describe says more.',
              ['namespace', 'job_kind', 'job_name', 'phase', 'reason'],
              ('max by (namespace, job_kind, job_name, phase, reason) (muster_job_info{phase!="Running"})', '')),
        table('Restarts against their limit', 'Objects under way that were restarted. At the limit, the next failure ends them.',
              ['namespace', 'job_kind', 'job_name'],
              ('max by (namespace, job_kind, job_name) (muster_job_restarts)', 'restarts'),
              ('max by (namespace, job_kind, job_name) (muster_job_restarts_max)', 'limit')),
        graph('Restarts and disruptions in the last hour', 'Restarts after failures, which count, and after evictions, preemptions and lost nodes, which do not.',
              (f'sum by (kind) (increase(muster_restarts_total{OP}[1h]))', '{{kind}} restarts'),
              (f'sum by (kind) (increase(muster_disruptions_total{OP}[1h]))', '{{kind}} disruptions'), width=12),
        graph('Pods created', 'A steady rate without new objects is a restart loop.',
              (f'sum by (kind) (rate(muster_pods_created_total{OP}{RATE}))', '{{kind}}'), unit='ops', width=12),
    ]),
    ('Does it keep up?', [
        graph('Passes', 'Reconcile passes a second, by result.',
              (f'sum by (controller, result) (rate(controller_runtime_reconcile_total{OURS}{RATE}))', '{{controller}} {{result}}'), unit='ops'),
        graph('Time of a pass', 'Median and 99th percentile.',
              (quantile(0.5, f'controller_runtime_reconcile_time_seconds_bucket{OURS}', 'controller'), '{{controller}} p50'),
              (quantile(0.99, f'controller_runtime_reconcile_time_seconds_bucket{OURS}', 'controller'), '{{controller}} p99'), unit='s'),
        graph('Passes that failed', 'Errors, and the retries that follow them; the log says what it was.',
              (f'sum by (controller) (rate(controller_runtime_reconcile_errors_total{OURS}{RATE}))', '{{controller}} errors'),
              (f'sum by (controller) (rate(workqueue_retries_total{OURS}{RATE}))', '{{controller}} retries'), unit='ops'),
        graph('Queue depth', 'Objects that wait for their pass.',
              (f'sum by (controller) (workqueue_depth{OURS})', '{{controller}}')),
        graph('Wait in the queue', '99th percentile of the time from a change to the pass that looks at it.',
              (quantile(0.99, f'workqueue_queue_duration_seconds_bucket{OURS}', 'controller'), '{{controller}}'), unit='s'),
        graph('Busy passes', 'Share of the passes that may run at once, and how long the longest has been running.',
              (f'sum by (controller) (controller_runtime_active_workers{OURS}) / sum by (controller) (controller_runtime_max_concurrent_reconciles{OURS})',
               '{{controller}} share'),
              (f'max by (controller) (workqueue_longest_running_processor_seconds{OURS})', '{{controller}} longest, s'), unit='none'),
    ]),
    ('What does it ask of the API server, and what does it cost?', [
        graph('Requests', 'Requests to the API server a second, by method. Watches count once, when they begin.',
              (f'sum by (method) (rate(rest_client_requests_total{RATE}) {OF_OPERATOR})', '{{method}}'), unit='reqps'),
        graph('Refused and failed requests', 'By status code. 404 and 409 are normal now and then; 429 and 5xx are the server\'s, <error> is no answer.',
              (f'sum by (code) (rate(rest_client_requests_total{{code!~"2.."}}{RATE}) {OF_OPERATOR})', '{{code}}'), unit='reqps'),
        graph('Who leads', '1: this replica holds the Lease.',
              (f'max by (pod) (leader_election_master_status{OP})', '{{pod}}'), min=0, max=1, decimals=0),
        graph('CPU', 'Cores of each replica.', (f'rate(process_cpu_seconds_total{RATE}) {OF_OPERATOR}', '{{pod}}'), unit='none'),
        graph('Memory', 'Resident memory of each replica.', (f'process_resident_memory_bytes {OF_OPERATOR}', '{{pod}}'), unit='bytes', min=0),
        graph('Open files', 'Descriptors: connections to agents and to the API server above all.',
              (f'process_open_fds {OF_OPERATOR}', '{{pod}}'), min=0),
    ]),
]

# -------------------------------------------------------------------------------------------------------------- jobs
JOB = 'namespace=~"$namespace",job_name=~"$job"'
J = '{' + JOB + '}'
# Servers have a worker's metrics, too, and train nothing.
W = '{' + JOB + ',role="worker"}'
S = '{' + JOB + ',role="server"}'
BY_JOB = 'by (namespace, job_name)'
BY_POD = 'by (namespace, job_name, pod)'
NAME = '{{namespace}}/{{job_name}}'
STEP_RATE = f'max {BY_JOB} (rate(muster_worker_steps_total{W}{RATE}))'
GRADIENT = f'sum {BY_POD} (rate(muster_worker_seconds_total{{{JOB},role="worker",activity="gradient"}}{RATE}))'

JOB_ROWS = [
    ('Is it going, and how fast?', [
        bars('Progress', 'Steps made of the steps wanted.',
             (f'max {BY_JOB} (muster_worker_step{W}) / max {BY_JOB} (muster_worker_steps_wanted{W})', NAME),
             unit='percentunit', min=0, max=1),
        bars('Time left', 'At the pace of the last minutes.',
             (f'(max {BY_JOB} (muster_worker_steps_wanted{W}) - max {BY_JOB} (muster_worker_step{W})) / ({STEP_RATE} > 0)', NAME),
             unit='s', min=0),
        graph('Workers', 'Workers that are scraped. Fewer than wanted: pods are missing, see the operator\'s dashboard for the reason.',
              (f'count {BY_JOB} (muster_worker_step{W})', NAME), min=0),
        graph('Steps', 'Training steps a second. 0: alert MusterJobNotProgressing after 15 minutes.', (STEP_RATE, NAME), unit='ops', min=0),
        graph('Examples', 'Examples (pictures, rows, sequences) trained on a second by the whole job.',
              (f'max {BY_JOB} (muster_worker_examples_per_second{W})', NAME), min=0),
        graph('Loss', 'Mean training loss of the last global batch.', (f'max {BY_JOB} (muster_worker_loss{J} and on (namespace, pod) muster_worker_step > 0)', NAME), unit='none'),
    ]),
    ('Who is slow?', [
        graph('Computing time a step, by worker', 'Forward and backward pass. Where the ranks step together, all wait for the slowest.',
              (f'{GRADIENT} / sum {BY_POD} (rate(muster_worker_steps_total{W}{RATE}))', '{{pod}}'), unit='s', min=0),
        graph('Slowest worker against the median', '1: all are equal. From 1.5 on: alert MusterStragglerRank.',
              (f'max {BY_JOB} ({GRADIENT}) / quantile {BY_JOB} (0.5, {GRADIENT})', NAME), unit='none', min=1),
        graph('Exposed communication', 'Share of the time in which workers do nothing but wait for each other and the network.',
              (f'sum {BY_JOB} (rate(muster_worker_seconds_total{{{JOB},role="worker",activity="exchange"}}{RATE})) / sum {BY_JOB} (rate(muster_worker_seconds_total{W}{RATE}))', NAME),
              unit='percentunit', min=0, max=1),
        graph('Where the time goes', 'Of all workers that are chosen above, by activity.',
              (f'sum by (activity) (rate(muster_worker_seconds_total{W}{RATE})) / ignoring (activity) group_left () sum (rate(muster_worker_seconds_total{W}{RATE}))',
               '{{activity}}'), unit='percentunit', min=0, max=1, stack=True, width=24),
    ]),
    ('What is sent?', [
        graph('Gradients sent', 'By all workers of a job together.',
              (f'sum {BY_JOB} (rate(muster_worker_payload_bytes_total{W}{RATE}))', NAME), unit='Bps', min=0),
        graph('A step and worker', 'Gradient bytes that one worker sends for one step: 2k(n-1)/n in a ring of n, k being the gradient\'s size.',
              (f'avg {BY_JOB} (rate(muster_worker_payload_bytes_total{W}{RATE}) / rate(muster_worker_steps_total{W}{RATE}))', NAME), unit='bytes', min=0),
        graph('Sent against the formula', '1 is right. More: a step was begun that could not be finished.',
              (f'sum {BY_JOB} (muster_worker_payload_bytes_total{J}) / sum {BY_JOB} (muster_worker_payload_bytes_expected_total{J})', NAME),
              unit='none', decimals=3),
    ]),
    ('Parameter servers', [
        graph('Updates', 'Made a second by each server, of its part of the parameters. Synchronous: as many as steps; Asynchronous: one for each gradient.',
              (f'sum {BY_POD} (rate(muster_server_updates_total{S}{RATE}))', '{{pod}}'), unit='ops', min=0),
        graph('Staleness', 'Updates a second, by how many others were made since their worker read the parameters. Synchronous: all are 0.',
              (f'sum by (staleness) (rate(muster_server_updates_total{S}{RATE}))', '{{staleness}}'), unit='ops', min=0),
        graph('Parameters sent', 'To the workers, by server.',
              (f'sum {BY_POD} (rate(muster_worker_payload_bytes_total{S}{RATE}))', '{{pod}}'), unit='Bps', min=0),
        graph('Replication', 'To the server that mirrors this one\'s part, so that one of them may be lost. None with a single server.',
              (f'sum {BY_POD} (rate(muster_server_replication_bytes_total{S}{RATE}))', '{{pod}}'), unit='Bps', min=0),
        graph('Memory of servers', 'Resident memory, by server: its part and the one that it mirrors, each with the optimizer\'s state.',
              (f'process_resident_memory_bytes{S}', '{{pod}}'), unit='bytes', min=0),
        graph('CPU of servers', 'Cores, by server.', (f'rate(process_cpu_seconds_total{S}{RATE})', '{{pod}}'), unit='none', min=0),
    ]),
    ('What goes wrong?', [
        graph('Counted restarts', 'Of the objects that were restarted, and how many they may have.',
              (f'max {BY_JOB} (muster_job_restarts{{{JOB},job_kind="DistributedJob"}})', NAME + ' restarts'),
              (f'max {BY_JOB} (muster_job_restarts_max{{{JOB},job_kind="DistributedJob"}})', NAME + ' limit'), min=0, decimals=0),
        graph('Steps at risk', 'Steps since the newest checkpoint on disk: what would be repeated if all workers were lost now.',
              (f'max {BY_JOB} (muster_worker_step{W}) - max {BY_JOB} (muster_worker_checkpoint_step{J})', NAME), min=0),
        graph('Checkpoints', 'How long the newest took to write, and how many were skipped because the one before was still being written.',
              (f'max {BY_JOB} (muster_worker_checkpoint_seconds{J})', NAME + ' seconds'),
              (f'sum {BY_JOB} (increase(muster_worker_checkpoints_skipped_total{J}[1h]))', NAME + ' skipped in the last hour'), unit='none', min=0),
        graph('Data connections refused', 'In the last 5 minutes, by reason. After a restart some of `membership` and `closed` are normal; `garbage`, `job`, `proof` and `tls` are not of this job.',
              (f'sum by (reason) (increase(muster_data_connections_refused_total{J}[5m]))', '{{reason}}'), width=12, min=0),
        graph('Control connections refused', 'In the last 5 minutes, by reason. Only the operator has something to say at this port.',
              (f'sum by (reason) (increase(muster_control_calls_refused_total{J}[5m]))', '{{reason}}'), width=12, min=0),
    ]),
    ('What does it cost?', [
        graph('CPU', 'Cores, by worker.', (f'rate(process_cpu_seconds_total{W}{RATE})', '{{pod}}'), unit='none', width=12, min=0),
        graph('Memory', 'Resident memory, by worker.', (f'process_resident_memory_bytes{W}', '{{pod}}'), unit='bytes', width=12, min=0),
    ]),
]

# ------------------------------------------------------------------------------------------------------------ rounds
ROUND_ROWS = [
    ('Is it going, and is it any good?', [
        bars('Progress', 'Committed rounds of the rounds wanted.',
             (f'max {BY_JOB} (muster_aggregator_round{J}) / (max {BY_JOB} (muster_aggregator_rounds{J}) > 0)', NAME), unit='percentunit', min=0, max=1),
        graph('Test accuracy', 'Of the newest model that was evaluated.', (f'max {BY_JOB} (muster_aggregator_test_accuracy{J} and on (namespace, pod) muster_aggregator_round > 0)', NAME), unit='percentunit'),
        graph('Test loss', 'Of the newest model that was evaluated.', (f'max {BY_JOB} (muster_aggregator_test_loss{J} and on (namespace, pod) muster_aggregator_round > 0)', NAME), unit='none'),
        graph('The step of a round', 'Euclidean norms: of what the newest round changed the model by, and of what the strategy remembers (m and v of a server optimizer, c of SCAFFOLD). A step that grows: lower a learning rate.',
              (f'max {BY_JOB} (muster_aggregator_step_norm{J})', NAME + ' step'),
              (f'max by (namespace, job_name, vector) (muster_aggregator_state_norm{J})', NAME + ' {{vector}}'), unit='none', min=0),
        graph('Rounds a minute', 'Committed, and abandoned for want of updates.',
              (f'sum by (namespace, job_name, outcome) (rate(muster_aggregator_round_seconds_count{J}{RATE})) * 60', NAME + ' {{outcome}}'), unit='none', min=0),
        graph('Time of a round', 'From the selection of clients to the commit: median and 95th percentile.',
              (quantile(0.5, f'muster_aggregator_round_seconds_bucket{{{JOB},outcome="committed"}}', 'namespace, job_name'), NAME + ' p50'),
              (quantile(0.95, f'muster_aggregator_round_seconds_bucket{{{JOB},outcome="committed"}}', 'namespace, job_name'), NAME + ' p95'), unit='s', min=0),
        graph('Abandoned rounds', 'Share of the rounds of the last 30 minutes that came to nothing. More than half: alert MusterRoundsFailing.',
              (f'sum {BY_JOB} (increase(muster_aggregator_round_seconds_count{{{JOB},outcome="abandoned"}}[30m])) / sum {BY_JOB} (increase(muster_aggregator_round_seconds_count{J}[30m]))', NAME),
              unit='percentunit', min=0, max=1),
    ]),
    ('Who takes part, and who does not?', [
        graph('Clients here', 'Clients that wait, work or are about to come back.',
              (f'sum {BY_JOB} (muster_aggregator_connected_clients{J})', NAME), min=0),
        graph('The round under way', 'Clients that were selected, have the model, and have sent their update.',
              (f'sum by (namespace, job_name, state) (muster_aggregator_round_clients{J})', NAME + ' {{state}}'), min=0),
        graph('Updates', 'Answered a second, by verdict. Many late ones: raise stragglers.deadlineSeconds.',
              (f'sum by (verdict) (rate(muster_aggregator_updates_total{J}{RATE}))', '{{verdict}}'), unit='ops', min=0),
        graph('Age of updates', 'Taken into an aggregate a minute, by how many rounds or versions older the model was that they began with. With stragglers.policy Drop or AcceptPartial all are 0.',
              (f'sum by (staleness) (rate(muster_aggregator_updates_taken_total{J}{RATE})) * 60', '{{staleness}}'), unit='none', min=0),
        graph('Partial updates', 'Share of the updates taken whose clients stopped by themselves before the deadline (stragglers.policy AcceptPartial).',
              (f'sum {BY_JOB} (rate(muster_aggregator_partial_updates_total{J}{RATE})) / sum {BY_JOB} (rate(muster_aggregator_updates_taken_total{J}{RATE}))', NAME),
              unit='percentunit', min=0, max=1),
        graph('What became of updates', 'As the clients were told with their next task: counted, in a committed model, or not. `lost`: clients that had to begin anew with what they keep between rounds; give spec.clients.storage a volume.',
              (f'sum by (verdict) (rate(muster_device_updates_settled_total{J}{RATE}))', '{{verdict}}'),
              (f'sum (rate(muster_device_states_lost_total{J}{RATE}))', 'lost'), unit='ops', min=0),
        graph('Drift', 'With spec.clients.stream: by how much the newest model\'s loss on what its clients hold is larger than it lately was. 0: not at all; 1: twice as large.',
              (f'max {BY_JOB} (muster_aggregator_drift{J})', NAME), unit='none', decimals=2),
        graph('Accuracy on the devices', 'With spec.personalization, on examples that devices never train on: the mean over devices and that of the worst tenth, of the global, the fine-tuned and the personal model.',
              (f'max by (namespace, job_name, model, figure) (muster_aggregator_device_accuracy{{{JOB},figure=~"mean|worst_tenth"}})', NAME + ' {{model}} {{figure}}'), unit='percentunit', min=0, max=1),
        graph('Scored updates', 'With strategy Scoring, since the federation began: updates tested on held-out data; `harmful` raised its loss, `copy` were like an earlier one. Who sent them: status.progress.contributionsBottom, and contributions.csv.',
              (f'sum by (namespace, job_name, finding) (muster_aggregator_scored_updates{J})', NAME + ' {{finding}}'), min=0),
        graph('Calls refused', 'In the last 5 minutes, by reason. No honest client causes `task_of_another`, `client_of_another`, `malformed` or `damaged`; `other_data` is a pod whose dataset is not the aggregator\'s; `no_room` and `displaced` are want of memory, `no_disk` of disk.',
              (f'sum by (reason) (increase(muster_federation_calls_refused_total{J}[5m]))', '{{reason}}'), width=12, min=0),
        graph('Tasks of the clients', 'As the client pods count them: updates sent, and tasks that failed there.',
              (f'sum by (outcome) (rate(muster_device_updates_total{J}{RATE}))', '{{outcome}}'), unit='ops', width=12, min=0),
    ]),
    ('What is moved?', [
        graph('Journal', 'Disk of updates that are acknowledged and in no saved model yet: up to three cohorts of them.',
              (f'sum {BY_JOB} (muster_aggregator_journal_bytes{J})', NAME), unit='bytes', min=0),
        graph('Journal: a sync', 'How long a group of updates takes to become durable, at the median and for the slowest hundredth.',
              (f'histogram_quantile(0.5, sum by (le) (rate(muster_aggregator_journal_sync_seconds_bucket{J}{RATE})))', 'p50'),
              (f'histogram_quantile(0.99, sum by (le) (rate(muster_aggregator_journal_sync_seconds_bucket{J}{RATE})))', 'p99'), unit='s', min=0),
        graph('Models and updates', 'Bytes a second that the aggregator sends (models) and receives (updates).',
              (f'sum by (direction) (rate(muster_aggregator_bytes_total{J}{RATE}))', '{{direction}}'), unit='Bps', min=0),
        graph('A committed round', 'Bytes in both directions for one round, over the last 30 minutes.',
              (f'sum {BY_JOB} (increase(muster_aggregator_bytes_total{J}[30m])) / sum {BY_JOB} (increase(muster_aggregator_round_seconds_count{{{JOB},outcome="committed"}}[30m]))', NAME),
              unit='bytes', min=0),
        graph('Moved against the formula', '1: models and updates, each once. More: transfers broke and began anew, or clients were lost with a model half sent.',
              (f'sum {BY_JOB} (muster_aggregator_bytes_total{J}) / sum {BY_JOB} (muster_aggregator_bytes_expected_total{J})', NAME), unit='none', decimals=3),
    ]),
    ('What does it cost?', [
        graph('Memory for updates', 'Share of the memory for updates on their way in that is taken. At 1, clients are turned away.',
              (f'max {BY_JOB} (muster_aggregator_upload_memory_bytes{J} / muster_aggregator_upload_memory_max_bytes{J})', NAME), unit='percentunit', min=0, max=1),
        graph('Memory', 'Resident memory: of the aggregator, and of all client pods together.',
              (f'sum by (namespace, job_name, role) (process_resident_memory_bytes{{{JOB},role=~"aggregator|client"}})', NAME + ' {{role}}'), unit='bytes', min=0),
        graph('CPU', 'Cores: of the aggregator, and of all client pods together.',
              (f'sum by (namespace, job_name, role) (rate(process_cpu_seconds_total{{{JOB},role=~"aggregator|client"}}{RATE}))', NAME + ' {{role}}'), unit='none', min=0),
        graph('Control connections refused', 'In the last 5 minutes, by reason. Only the operator has something to say at this port.',
              (f'sum by (reason) (increase(muster_control_calls_refused_total{{{JOB},job_kind="FederatedRound"}}[5m]))', '{{reason}}'), min=0, width=24),
    ]),
]

# -------------------------------------------------------------------------------------------------------------- gpus
# DCGM exporter 4.9 gave its metrics the names and units of DCGM 4.7: both are asked for, the older one is converted. It names
# the pod that holds a GPU by `pod`, or where Prometheus keeps that for the exporter's own pod, by `exported_pod`.
def of_job(expr):
    expr = f'label_replace({expr}, "pod", "$1", "exported_pod", "(.+)")'
    expr = f'label_replace({expr}, "namespace", "$1", "exported_namespace", "(.+)")'
    expr = f'label_replace({expr}, "job_name", "$1", "pod", "(.+)-(?:worker|server|aggregator|client)-[0-9]+")'
    return f'({expr} and on (namespace, job_name) muster_job_info{J})'


GPU_UTIL = of_job('(DCGM_FI_DEV_GPU_UTIL / 100 or DCGM_FI_DEV_GPU_UTIL_RATIO)')
GPU_POWER = of_job('(DCGM_FI_DEV_POWER_USAGE or DCGM_FI_DEV_BOARD_POWER_WATTS)')
GPU = '{{pod}} GPU {{gpu}}'

GPU_ROWS = [
    ('Are the GPUs that we pay for at work?', [
        stat('GPUs held', 'By the jobs that are chosen above.', (f'count({GPU_UTIL})', ''), width=6),
        stat('Idle', 'Held and used for less than 5 %.', (f'sum({GPU_UTIL} < bool 0.05)', ''), width=6,
             steps=[(None, 'green'), (1, 'orange')]),
        stat('Mean utilization', 'Over all that are held.', (f'avg({GPU_UTIL})', ''), unit='percentunit', width=6, decimals=0),
        stat('Power', 'Of all that are held.', (f'sum({GPU_POWER})', ''), unit='watt', width=6, decimals=0),
        graph('Utilization', 'Share of the time in which a kernel ran. It says nothing of how much of the GPU the kernel used.',
              (GPU_UTIL, GPU), unit='percentunit', min=0, max=1),
        graph('Tensor cores', 'Share of the cycles in which tensor cores worked (profiling metrics).',
              (of_job('(DCGM_FI_PROF_PIPE_TENSOR_ACTIVE or DCGM_FI_PROF_TENSOR_UTIL_RATIO)'), GPU), unit='percentunit', min=0, max=1),
        graph('Memory bandwidth', 'Share of the cycles in which the GPU\'s memory moved data (profiling metrics).',
              (of_job('(DCGM_FI_PROF_DRAM_ACTIVE or DCGM_FI_PROF_DRAM_UTIL_RATIO)'), GPU), unit='percentunit', min=0, max=1),
    ]),
    ('What limits them?', [
        graph('Memory used', 'Share of the GPU\'s memory.',
              (of_job('(DCGM_FI_DEV_FB_USED / (DCGM_FI_DEV_FB_USED + DCGM_FI_DEV_FB_FREE) or DCGM_FI_DEV_FB_USED_BYTES / DCGM_FI_DEV_FB_CAPACITY_BYTES)'), GPU),
              unit='percentunit', min=0, max=1),
        graph('Clock', 'Of the streaming multiprocessors. A drop under load: too hot, or out of power.',
              (of_job('(DCGM_FI_DEV_SM_CLOCK * 1e6 or DCGM_FI_DEV_SM_CLOCK_HERTZ)'), GPU), unit='hertz', min=0),
        graph('Temperature', 'Of the GPU.', (of_job('(DCGM_FI_DEV_GPU_TEMP or DCGM_FI_DEV_GPU_TEMP_CELSIUS)'), GPU), unit='celsius'),
        graph('PCIe sent', 'By the GPU, headers included (profiling metrics): to the host and to other GPUs without NVLink.',
              (of_job('DCGM_FI_PROF_PCIE_TX_BYTES'), GPU), unit='Bps', min=0),
        graph('PCIe received', 'By the GPU, headers included (profiling metrics).', (of_job('DCGM_FI_PROF_PCIE_RX_BYTES'), GPU), unit='Bps', min=0),
        graph('Last XID error', 'Number of the last error that the driver reported; 0: none. NVIDIA\'s list of XID errors says what each is.',
              (of_job('(DCGM_FI_DEV_XID_ERRORS or DCGM_FI_DEV_XID_ERROR)'), GPU), min=0, decimals=0),
    ]),
    ('What does it cost?', [
        graph('Power', 'By GPU.', (GPU_POWER, GPU), unit='watt', min=0),
        graph('Energy of a step', 'Power of all GPUs of a job over its steps a second.',
              (f'sum {BY_JOB} ({GPU_POWER}) / {STEP_RATE}', NAME), unit='joule', min=0),
        graph('Energy in the last hour', 'Of all GPUs of a job.',
              (f'sum {BY_JOB} ({of_job("(increase(DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION[1h]) / 1000 or increase(DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL[1h]))")})', NAME),
              unit='joule', min=0),
    ]),
]


def selectors(metric, job_label='Job'):
    return [('namespace', 'Namespace', f'label_values({metric}, namespace)'),
            ('job', job_label, f'label_values({metric}{{namespace=~"$namespace"}}, job_name)')]


DASHBOARDS = {
    'operator': {'title': 'Muster / Operator', 'description': 'Does the operator work, does it keep up, and what does not run?',
                 'variables': [('namespace', 'Namespace of the operator', 'label_values(muster_build_info, namespace)')],
                 'rows': OPERATOR_ROWS},
    'jobs': {'title': 'Muster / Distributed jobs', 'description': 'Is a DistributedJob going, how fast, who is slow, what does it send and cost?',
             'variables': selectors('muster_worker_step'), 'rows': JOB_ROWS},
    'rounds': {'title': 'Muster / Federated rounds', 'description': 'Is a FederatedRound going, who takes part, what is moved?',
               'variables': selectors('muster_aggregator_round', 'Round'), 'rows': ROUND_ROWS},
    'gpus': {'title': 'Muster / GPUs', 'description': 'What the GPUs do that jobs hold, by the metrics of NVIDIA\'s DCGM exporter (names before and since 4.9).',
             'variables': selectors('muster_job_info'), 'rows': GPU_ROWS},
}
