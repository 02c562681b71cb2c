// A round of a stock Kubernetes client against the cluster of $KUBECONFIG; a step that fails is named, and the
// exit code is 1. $CLIENT_NODE is the folder of @kubernetes/client-node.
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';

const k8s = await import(`${process.env.CLIENT_NODE}/dist/index.js`);
const config = new k8s.KubeConfig();
config.loadFromDefault();
const core = config.makeApiClient(k8s.CoreV1Api);
const custom = config.makeApiClient(k8s.CustomObjectsApi);
const leases = config.makeApiClient(k8s.CoordinationV1Api);
const objects = k8s.KubernetesObjectApi.makeApiClient(config);
const namespace = 'node-client';
const patience = 15_000;

const as = (type) => k8s.setHeaderOptions('Content-Type', type);
const map = (name, data, labels) => ({ metadata: { name, labels }, data });
const refused = async (promise, code) => {
  const error = await promise.then(() => assert.fail(`it was not refused with ${code}`), (e) => e);
  assert.equal(error.code, code, String(error));
  return typeof error.body === 'string' ? JSON.parse(error.body) : error.body;
};
async function until(what, holds) {  // the server's side of an event: polled, with an end
  const deadline = Date.now() + patience;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `${what} did not come`);
    await new Promise((go) => setTimeout(go, 20));
  }
}

const steps = {
  async 'the kubeconfig is used as it is'() {
    const names = (await core.listNamespace()).items.map((n) => n.metadata.name);
    assert.ok(names.includes('default'));
    await core.createNamespace({ body: { metadata: { name: namespace } } });
    await until('the default service account', async () =>
      (await core.listNamespacedServiceAccount({ namespace })).items.some((a) => a.metadata.name === 'default'));
  },

  async 'a wrong token is a stranger'() {
    const wrong = new k8s.KubeConfig();
    wrong.loadFromString(config.exportConfig());
    wrong.users = wrong.users.map((user) => ({ ...user, token: 'wrong' }));
    await refused(wrong.makeApiClient(k8s.CoreV1Api).listNamespace(), 401);
  },

  async 'create, read, replace, delete'() {
    const made = await core.createNamespacedConfigMap({ namespace, body: map('one', { a: '1' }) });
    assert.ok(made.metadata.uid && made.metadata.creationTimestamp instanceof Date);
    assert.equal((await refused(core.createNamespacedConfigMap({ namespace, body: map('one') }), 409)).reason, 'AlreadyExists');
    const read = await core.readNamespacedConfigMap({ name: 'one', namespace });
    assert.deepEqual(read.data, { a: '1' });
    const replaced = await core.replaceNamespacedConfigMap({ name: 'one', namespace, body: { ...read, data: { a: '2' } } });
    assert.notEqual(replaced.metadata.resourceVersion, read.metadata.resourceVersion);
    const stale = await refused(core.replaceNamespacedConfigMap({ name: 'one', namespace, body: { ...read, data: {} } }), 409);
    assert.equal(stale.reason, 'Conflict');
    const dry = await core.createNamespacedConfigMap({ namespace, body: map('dry'), dryRun: 'All' });
    assert.equal(dry.metadata.name, 'dry');
    await refused(core.readNamespacedConfigMap({ name: 'dry', namespace }), 404);
    await core.deleteNamespacedConfigMap({ name: 'one', namespace, body: { preconditions: { uid: made.metadata.uid } } });
    assert.equal((await refused(core.readNamespacedConfigMap({ name: 'one', namespace }), 404)).reason, 'NotFound');
    const named = await core.createNamespacedConfigMap({ namespace, body: { metadata: { generateName: 'gen-' } } });
    assert.match(named.metadata.name, /^gen-[a-z0-9]{5}$/);
  },

  async 'lists in pages, at one version'() {
    await Promise.all([...Array(25).keys()].map((i) => core.createNamespacedConfigMap(
      { namespace, body: map(`page-${String(i).padStart(2, '0')}`, { i: String(i) }, { paged: 'yes' }) })));
    const names = [];
    let page = await core.listNamespacedConfigMap({ namespace, labelSelector: 'paged=yes', limit: 10 });
    const version = page.metadata.resourceVersion;
    for (;;) {
      names.push(...page.items.map((item) => item.metadata.name));
      assert.equal(page.metadata.resourceVersion, version);
      if (!page.metadata._continue) break;
      page = await core.listNamespacedConfigMap(
        { namespace, labelSelector: 'paged=yes', limit: 10, _continue: page.metadata._continue });
    }
    assert.deepEqual(names, [...Array(25).keys()].map((i) => `page-${String(i).padStart(2, '0')}`));
    await core.deleteCollectionNamespacedConfigMap({ namespace, labelSelector: 'paged=yes' });
    assert.equal((await core.listNamespacedConfigMap({ namespace, labelSelector: 'paged=yes' })).items.length, 0);
  },

  async 'every kind of patch'() {
    await core.createNamespacedService({ namespace, body: { metadata: { name: 'web' },
      spec: { selector: { app: 'web' }, ports: [{ name: 'a', port: 80 }, { name: 'b', port: 81 }] } } });
    const patch = (body, type) => core.patchNamespacedService({ name: 'web', namespace, body }, as(type));
    const { JsonPatch, MergePatch, StrategicMergePatch } = k8s.PatchStrategy;
    let web = await patch([{ op: 'test', path: '/spec/ports/0/port', value: 80 },
      { op: 'add', path: '/metadata/labels', value: { by: 'json' } }], JsonPatch);
    assert.equal(web.metadata.labels.by, 'json');
    await refused(patch([{ op: 'test', path: '/spec/ports/0/port', value: 1 }], JsonPatch), 422);
    web = await patch({ metadata: { labels: { by: null, also: 'merge' } } }, MergePatch);
    assert.deepEqual(web.metadata.labels, { also: 'merge' });
    web = await patch({ spec: { ports: [{ port: 81, targetPort: 8081 }] } }, StrategicMergePatch);
    assert.deepEqual(web.spec.ports.map((p) => [p.port, p.targetPort]), [[80, 80], [81, 8081]]);
    web = await patch({ spec: { ports: [{ name: 'only', port: 90 }] } }, MergePatch);
    assert.deepEqual(web.spec.ports.map((p) => p.port), [90]);
  },

  async 'server-side apply, its conflicts and its force'() {
    const wanted = (value) => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'applied', namespace }, data: { a: value } });
    const apply = (spec, manager, force) => objects.patch(
      spec, undefined, undefined, manager, force, k8s.PatchStrategy.ServerSideApply);
    await apply(wanted('1'), 'one');
    const conflict = await refused(apply(wanted('2'), 'two'), 409);
    assert.match(conflict.message, /conflict with "one": \.data\.a/);
    const forced = await apply(wanted('2'), 'two', true);
    assert.equal(forced.data.a, '2');
    assert.deepEqual(forced.metadata.managedFields.map((f) => f.manager), ['two']);
    await apply({ ...wanted('2'), data: {} }, 'two');
    assert.equal((await core.readNamespacedConfigMap({ name: 'applied', namespace })).data, undefined);
  },

  async 'a watch tells what happens, in order'() {
    const seen = [];
    const version = (await core.listNamespacedConfigMap({ namespace })).metadata.resourceVersion;
    let stopped;
    const done = new Promise((resolve) => { stopped = resolve; });
    const request = await new k8s.Watch(config).watch(`/api/v1/namespaces/${namespace}/configmaps`,
      { resourceVersion: version, labelSelector: 'watched=yes', allowWatchBookmarks: true },
      (type, object) => seen.push([type, object.metadata.name, BigInt(object.metadata.resourceVersion)]), stopped);
    await core.createNamespacedConfigMap({ namespace, body: map('w', { a: '1' }, { watched: 'yes' }) });
    await core.patchNamespacedConfigMap({ name: 'w', namespace, body: { data: { a: '2' } } }, as(k8s.PatchStrategy.MergePatch));
    await core.createNamespacedConfigMap({ namespace, body: map('not', {}, { watched: 'no' }) });
    await core.patchNamespacedConfigMap({ name: 'not', namespace, body: { metadata: { labels: { watched: 'yes' } } } },
      as(k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ name: 'w', namespace });
    await until('the last event', () => seen.length >= 4);
    assert.deepEqual(seen.map(([type, name]) => `${type} ${name}`), ['ADDED w', 'MODIFIED w', 'ADDED not', 'DELETED w']);
    for (let i = 1; i < seen.length; ++i) assert.ok(seen[i][2] > seen[i - 1][2], 'versions grow');
    request.abort();
    await done;
  },

  async 'an informer follows, reconnects and lists again after 410'() {
    const path = `/api/v1/namespaces/${namespace}/configmaps`;
    let lists = 0;
    const informer = k8s.makeInformer(config, path, () => { ++lists; return core.listNamespacedConfigMap({ namespace }); });
    const log = [];
    for (const verb of ['add', 'update', 'delete']) informer.on(verb, (o) => log.push(`${verb} ${o.metadata.name}`));
    const has = (line) => () => log.includes(line);
    await informer.start();
    await core.createNamespacedConfigMap({ namespace, body: map('i1', { a: '1' }) });
    await until('an added object', has('add i1'));
    await informer.stop();
    await core.deleteNamespacedConfigMap({ name: 'i1', namespace });
    await core.createNamespacedConfigMap({ namespace, body: map('i2', { a: '1' }) });
    await informer.start();  // from where it was: no list
    await until('what happened meanwhile', () => log.includes('delete i1') && log.includes('add i2'));
    assert.equal(lists, 1);

    await informer.stop();
    await core.createNamespacedConfigMap({ namespace, body: map('i3', { a: '1' }) });
    const big = 'x'.repeat(900_000);  // more than the server's history of one kind may hold
    await core.createNamespacedConfigMap({ namespace, body: map('big', { big }) });
    for (let i = 0; i < 80; ++i)
      await core.patchNamespacedConfigMap({ name: 'big', namespace, body: { data: { i: String(i) } } }, as(k8s.PatchStrategy.MergePatch));
    await core.deleteNamespacedConfigMap({ name: 'i2', namespace });
    await informer.start();
    await until('a second list', () => lists === 2);
    await until('what the list shows', () => log.includes('add i3') && log.includes('delete i2'));
    await core.deleteNamespacedConfigMap({ name: 'big', namespace });
    await until('events after it', has('delete big'));
    await informer.stop();
  },

  async 'custom objects'() {
    const group = 'muster.dev', version = 'v1alpha1', plural = 'distributedjobs';
    const where = { group, version, namespace, plural };
    const job = (name, workers) => ({ apiVersion: `${group}/${version}`, kind: 'DistributedJob', metadata: { name },
      spec: { suspend: true, workers: { replicas: workers, template: { spec: { containers: [
        { name: 'worker', image: 'debian:12', command: ['true'] }] } } } } });
    const made = await custom.createNamespacedCustomObject({ ...where, body: job('job', 2) });
    assert.equal(made.metadata.generation, 1);
    const status = await refused(custom.createNamespacedCustomObject({ ...where, body: job('bad', -1) }), 422);
    assert.equal(status.reason, 'Invalid');
    assert.ok(status.details.causes.some((cause) => cause.field === 'spec.workers.replicas'), JSON.stringify(status));
    const patched = await custom.patchNamespacedCustomObject(
      { ...where, name: 'job', body: { spec: { workers: { replicas: 3 } } } }, as(k8s.PatchStrategy.MergePatch));
    assert.equal(patched.metadata.generation, 2);
    const scale = await custom.getNamespacedCustomObjectScale({ ...where, name: 'job' });
    assert.equal(scale.spec.replicas, 3);
    assert.equal((await custom.listNamespacedCustomObject(where)).items.length, 1);
    await until('the operator', async () =>
      (await custom.getNamespacedCustomObjectStatus({ ...where, name: 'job' })).status?.phase === 'Suspended');
    await custom.deleteNamespacedCustomObject({ ...where, name: 'job' });
    await refused(custom.getNamespacedCustomObject({ ...where, name: 'job' }), 404);
  },

  async 'a pod runs, and its log is followed to the end'() {
    const script = 'for i in 1 2 3; do echo line $i; sleep 0.2; done; echo last';
    await core.createNamespacedPod({ namespace, body: { metadata: { name: 'talks' }, spec: { restartPolicy: 'Never',
      containers: [{ name: 'main', image: 'busybox', command: ['sh', '-c', script] }] } } });
    await until('a container', async () => {
      const { status } = await core.readNamespacedPod({ name: 'talks', namespace });
      return status.containerStatuses?.some((c) => c.state.running || c.state.terminated);
    });
    const out = new PassThrough();
    let text = '';
    out.on('data', (bytes) => { text += bytes; });
    const ended = new Promise((resolve) => out.on('end', resolve));
    await new k8s.Log(config).log(namespace, 'talks', 'main', out, { follow: true });
    await Promise.race([ended, new Promise((_, no) => setTimeout(no, patience, new Error('the log did not end')))]);
    assert.equal(text, 'line 1\nline 2\nline 3\nlast\n');
    await until('its end', async () => (await core.readNamespacedPod({ name: 'talks', namespace })).status.phase === 'Succeeded');
    assert.equal(await core.readNamespacedPodLog({ name: 'talks', namespace, tailLines: 1 }), 'last\n');
  },

  async 'candidates share a lease, and no update is lost'() {
    const name = 'leader';
    await leases.createNamespacedLease({ namespace, body: { metadata: { name }, spec: { leaseTransitions: 0 } } });
    let conflicts = 0;
    const candidate = async (holderIdentity) => {
      for (let turn = 0; turn < 20;) {
        const lease = await leases.readNamespacedLease({ name, namespace });
        lease.spec = { ...lease.spec, holderIdentity, leaseDurationSeconds: 15,
          leaseTransitions: lease.spec.leaseTransitions + 1, renewTime: new k8s.V1MicroTime() };
        try {
          await leases.replaceNamespacedLease({ name, namespace, body: lease });
          ++turn;
        } catch (error) {
          assert.equal(error.code, 409, String(error));
          ++conflicts;
        }
      }
    };
    await Promise.all(['a', 'b', 'c'].map(candidate));
    assert.equal((await leases.readNamespacedLease({ name, namespace })).spec.leaseTransitions, 60);
    assert.ok(conflicts > 0, 'three candidates at once conflict');
  },

  async 'the namespace goes with all that is in it'() {
    await core.deleteNamespace({ name: namespace });
    await until('its end', async () => core.readNamespace({ name: namespace }).then(() => false, (e) => e.code === 404));
    assert.equal((await core.listNamespacedConfigMap({ namespace })).items.length, 0);
  },
};

for (const [name, step] of Object.entries(steps)) {
  const begin = Date.now();
  try {
    await step();
    console.log(`ok: ${name} (${Date.now() - begin} ms)`);
  } catch (error) {
    console.log(`FAILED: ${name}: ${error.stack ?? error}`);
    process.exit(1);
  }
}
console.log(`all ${Object.keys(steps).length} steps passed`);
process.exit(0);  // connections that the library keeps alive would hold it
