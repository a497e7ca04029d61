// What two workers have together: limits of an upstream, sessions, keys, used proofs, revocations for an hour, a console, and requests that a cancellation names.
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { connect } from 'node:tls';
import t from 'tap';
import { createConsole } from '../../src/console/console.ts';
import { pages } from '../../src/console/pages.ts';
import { streamsFacts } from '../../src/console/streams/facts.ts';
import type { RunningParts } from '../../src/gateway/admin/admin-source.ts';
import { createLog } from '../../src/log.ts';
import { createLocalState } from '../../src/state/local-state.ts';
import type { SupervisorCalls, WorkerCalls } from '../../src/workers/calls.ts';
import { createChannel } from '../../src/workers/channel.ts';
import { answerConsole, consoleProcesses } from '../../src/workers/console.ts';
import { createSeat } from '../../src/workers/seat.ts';
import { type CommonsCalls, createCommons, type MemberCalls } from '../../src/workers/shared/commons.ts';
import { openMembership } from '../../src/workers/shared/membership.ts';
import { createTestCertificates } from '../support/certificates.ts';
import { toolCall } from '../support/client.ts';
import { createDpopKey } from '../support/dpop.ts';
import { createFakeIssuer } from '../support/issuer.ts';
import { createPortPair } from '../support/port-pair.ts';
import { type Caller, type Scenario, startScenario } from '../support/scenario.ts';
import { until } from '../support/until.ts';
import { type RecordedRequest, startUpstream } from '../support/upstream.ts';

const held: { readonly request: RecordedRequest; readonly response: ServerResponse }[] = [];
const upstream = await startUpstream({
  reply(request, response) {
    const { id, method, params } = JSON.parse(request.body.toString() || '{}');
    if (params?.arguments?.hold === true) return void held.push({ request, response });
    const headers = { 'content-type': 'application/json', ...(method === 'initialize' && { 'mcp-session-id': 's1' }) };
    response.writeHead(request.method === 'POST' && id === undefined ? 202 : 200, headers);
    response.end(id === undefined ? '' : JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] } }));
  },
});
const [issuer, certificates] = await Promise.all([createFakeIssuer(), createTestCertificates()]);
t.teardown(() => Promise.all([upstream.close(), issuer.close()]));

const tlsOptions = { servername: 'mcp.example.com', ca: certificates.authority.certificatePem };
const changes = {
  upstreams: {
    superset: {
      identity: { assertion: { audience: 'superset' } },
      limits: { concurrency: 4, concurrencyPerClient: 4, concurrencyPerSubject: 3, drains: 2, drainsPerSubject: 2 },
    },
  },
  routes: [
    { path: '/mcp', mcp: { rules: [{ allow: { tools: ['*'] } }] } },
    { path: '/api/*', scopes: ['dashboards:read'] },
  ],
};

const commons = createCommons(2, createLocalState({ now: Date.now }));

/** The places of the workers, as the console of their supervisor sees them. */
const seats = [createSeat({ number: 1, of: 3 }), createSeat({ number: 2, of: 3 }), createSeat({ number: 3, of: 3 })];

/** Gives a place a worker whose console answers. */
function seat(number: number, parts: RunningParts): void {
  const { ports } = createPortPair();
  const channel = createChannel<WorkerCalls, SupervisorCalls>(ports[0]);
  createChannel<SupervisorCalls, WorkerCalls>(ports[1]).answer('console', answerConsole(parts));
  const process = { pid: number, channel, ended: new Promise<never>(() => {}), watch() {}, kill() {} };
  Object.assign(seats[number - 1]!, { process, state: 'up' });
}

interface Worker extends Scenario {
  /** Ends it as the end of the process does, as far as its supervisor sees. */
  end(): void;
}

async function startWorker(number: number): Promise<Worker> {
  const { cut, ports } = createPortPair();
  const toWorker = createChannel<MemberCalls, CommonsCalls>(ports[0]);
  const toSupervisor = createChannel<CommonsCalls, MemberCalls>(ports[1]);
  commons.answer(toWorker);
  const membership = openMembership({ number, of: 2 }, commons.rootKey, toSupervisor);
  await membership.fetchKeys({
    upstreams: { superset: { identity: { assertion: { keyFiles: [], algorithm: 'ES256' } } } },
  });
  const { siblings, state } = membership;
  const worker = await startScenario(t, changes, {
    upstream,
    issuer,
    tls: certificates,
    siblings,
    state,
    logToFile: true,
  });
  membership.answer(worker.gateway);
  seat(number, worker.gateway.parts);
  const leave = commons.join(number, toWorker);
  t.teardown(membership.close);
  return {
    ...worker,
    end() {
      leave();
      cut();
    },
  };
}

const [first, second] = await Promise.all([startWorker(1), startWorker(2)]);

/** A caller with connections of its own, so that calls do not wait for each other. */
const personAt = (worker: Worker, sub: string) =>
  worker.as({ connections: 8, claims: { sub, client_id: `app-${sub}`, act: undefined } });
const holdCall = (id: number) => toolCall('list', { hold: true }, id);
const hold = (caller: Caller, id: number) => caller.post(holdCall(id));
const heldBy = async (count: number) => until(() => held.length === count, `${count} held calls`);
const releaseAll = () => {
  for (const { request, response } of held.splice(0)) {
    const { id } = JSON.parse(request.body.toString());
    response.writeHead(200, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] } }));
  }
};

t.test('concurrency: 4 lets four calls through both workers, wherever they come, and not one more', async (t) => {
  const [alice, bob] = await Promise.all([personAt(first, 'alice'), personAt(first, 'bob')]);
  const carol = await personAt(second, 'carol');
  const calls = [hold(alice, 1), hold(alice, 2), hold(alice, 3), hold(bob, 4)];
  await heldBy(4);
  const seen = upstream.requests.length;
  const refused = await carol.call('list');
  t.equal(refused.status, 503);
  t.match(JSON.parse(refused.text), { error: { data: { code: 'overloaded' } } });
  t.match(await second.recordOf(refused), {
    reason: 'overloaded',
    detail: { limit: 'concurrency' },
    outcome: 'refused',
  });
  t.equal(upstream.requests.length, seen, 'the upstream saw nothing');
  releaseAll();
  t.same(
    (await Promise.all(calls)).map(({ status }) => status),
    [200, 200, 200, 200],
  );
  t.equal((await carol.call('list')).status, 200, 'what one worker gave away comes back');
});

t.test('concurrencyPerSubject: 3 counts the calls of one person at both workers', async (t) => {
  const [here, there] = await Promise.all([personAt(first, 'dora'), personAt(second, 'dora')]);
  const calls = [hold(here, 1), hold(there, 2), hold(there, 3)];
  await heldBy(3);
  const refused = await Promise.all([here.call('list'), there.call('list')]);
  t.same(
    refused.map(({ status }) => status),
    [503, 503],
  );
  t.match(await first.recordOf(refused[0]!), { detail: { limit: 'concurrency_per_subject' } });
  t.match(await second.recordOf(refused[1]!), { detail: { limit: 'concurrency_per_subject' } });
  t.notMatch(
    await first.log(),
    /"level":"warn".*"code":"overloaded"/,
    'the record and the count tell of it, no line in the log',
  );
  releaseAll();
  await Promise.all(calls);
});

t.test('drains: 2 keeps two calls of one worker whose client has left, and ends the third', async (t) => {
  const client = first.connect({ connections: 3 });
  const headers = await first.bearer({ sub: 'erik' });
  for (const id of [1, 2, 3]) client.post(holdCall(id), { headers }).catch(() => {});
  await heldBy(3);
  const calls = held.map(({ request }) => request);
  const answers = held.map(({ response }) => response);
  client.close();
  await until(() => calls.some(({ aborted }) => aborted), 'the call that is ended');
  t.equal(await first.metric('portcullis_overloads_total', { limit: 'drains' }), 1);
  releaseAll();
  await until(
    () => answers.filter(({ writableFinished }) => writableFinished).length === 2,
    'two answers, taken whole',
  );
  t.equal(calls.filter(({ aborted }) => aborted).length, 1);
});

t.test('a session that the first worker opened goes on at the second', async (t) => {
  const [here, there] = await Promise.all([personAt(first, 'fred'), personAt(second, 'fred')]);
  const opened = await here.post({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
  const session = String(opened.headers['mcp-session-id']);
  t.not(session, 's1');
  const answer = await there.call('list', {}, { headers: { 'mcp-session-id': session } });
  t.equal(answer.status, 200);
  t.same(upstream.requests.at(-1)!.header('mcp-session-id'), ['s1']);
});

t.test('both workers publish the one key that both sign with', async (t) => {
  const keySets = await Promise.all(
    [first, second].map(({ anybody }) => anybody.send({ path: '/.well-known/jwks.json' })),
  );
  const [{ keys }, other] = keySets.map(({ text }) => JSON.parse(text));
  t.equal(keys.length, 1);
  t.same(other, { keys });
  for (const worker of [first, second]) {
    await (await personAt(worker, 'gina')).call('list');
    const [authorization = ''] = upstream.requests.at(-1)!.header('authorization');
    const { kid } = JSON.parse(Buffer.from(authorization.slice(7).split('.', 1)[0]!, 'base64url').toString());
    t.equal(kid, keys[0].kid);
  }
});

t.test(
  'a TLS session of the first worker is resumed at the second, until the configuration is another one',
  async (t) => {
    const ticket = await ticketOf(first);
    t.equal(await isResumed(second, ticket), true);
    await second.reload({ scopeImplies: { 'dashboards:write': ['dashboards:read'] } });
    t.equal(await isResumed(second, ticket), false);
    t.equal(await isResumed(second, await ticketOf(second)), true);
    await second.reload();
  },
);

t.test('a cancellation that comes to another worker than its call reaches the upstream, of nobody else', async (t) => {
  const [here, there, other] = await Promise.all([
    personAt(first, 'hugo'),
    personAt(second, 'hugo'),
    personAt(second, 'ida'),
  ]);
  const call = here.post(holdCall(77));
  await heldBy(1);
  const seen = upstream.requests.length;
  const cancel = { jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 77 } };
  const refused = await other.post(cancel);
  t.equal(refused.status, 403);
  t.match(await second.recordOf(refused), { detail: { session: { problem: 'not_pending' } } });
  t.equal(upstream.requests.length, seen, 'the upstream saw nothing');
  t.equal((await there.post(cancel)).status, 202);
  t.same(JSON.parse(upstream.requests.at(-1)!.body.toString()), cancel);
  releaseAll();
  await call;
  t.equal((await there.post(cancel)).status, 403, 'it is over');
});

t.test('a credential that is revoked for an hour at one worker is refused at both', async (t) => {
  const claims = { sub: 'jana', jti: 'lost-laptop', client_id: 'app-jana', act: undefined };
  const [here, there] = await Promise.all([first.as({ claims }), second.as({ claims })]);
  for (const caller of [here, there]) t.equal((await caller.call('list')).status, 200);
  const seen = upstream.requests.length;
  const credential = { kind: 'oauth', authenticator: 'corp', id: 'lost-laptop' } as const;
  const [shown] = consoleProcesses(seats)();
  t.match(await shown!.source!.revokeCredential({ credential, by: 'ops' }), { outcome: 'revoked', late: [] });
  await first.record(({ detail }) => detail?.event === 'credential revoked' && detail.by === 'ops');
  const refused = await Promise.all([here.call('list'), there.call('list')]);
  t.same(
    refused.map(({ status }) => status),
    [401, 401],
  );
  for (const [index, worker] of [first, second].entries())
    t.match(await worker.recordOf(refused[index]!), {
      reason: 'invalid_token',
      detail: { credential: { problem: 'revoked', revokedBy: 'jti' } },
    });
  t.equal(upstream.requests.length, seen, 'the upstream saw nothing');
});

t.test(
  'each page of the console shows one worker of three and names the others; one that is not running is 503',
  async (t) => {
    const console = await createConsole({
      processes: consoleProcesses(seats),
      admin: () => ({ listen: '127.0.0.1:9090', metrics: 'open' }),
      isServedHost: () => false,
      version: 'test',
      log: createLog({ level: 'silent' }),
    });
    t.teardown(() => console.close());
    for (const { name, path } of pages) {
      for (const query of ['', '?worker=2']) {
        const { payload, statusCode } = await console.inject(path + query);
        t.equal(statusCode, 200, path + query);
        t.match(payload, `<h1>${name}</h1>`);
        t.match(payload, `<a href="${path}?worker=${query === '' ? 1 : 2}" aria-current="true">`);
        t.match(payload, 'worker 3 (not running)');
      }
    }
    const down = await console.inject('/streams?worker=3');
    t.match([down.statusCode, down.payload], [503, /not running/]);
    t.equal((await console.inject('/streams?worker=4')).statusCode, 404);
  },
);

t.test('a console function that a worker does not have is an error, also a name of Object.prototype', async (t) => {
  const answer = answerConsole(first.gateway.parts);
  for (const method of ['nothing', 'constructor', '__proto__'])
    t.match(await answer({ method, args: [] }), { error: /has no function/ });
  const [source] = consoleProcesses(seats)().map(({ source }) => source!);
  t.equal(await Promise.resolve(source), source, 'the source of another process is no promise');
});

t.test(
  'a worker that starts within the hour gets what is revoked, one behind it gets nothing, and one that does not confirm is named',
  async (t) => {
    let now = 0;
    const commons = createCommons(2, createLocalState({ now: () => now }), () => now);
    const start = (number = 1) => {
      const { cut, ports } = createPortPair();
      const toWorker = createChannel<MemberCalls, CommonsCalls>(ports[0]);
      const toSupervisor = createChannel<CommonsCalls, MemberCalls>(ports[1]);
      const taken: unknown[] = [];
      toSupervisor.answer('revocations', (list) => void taken.push(list));
      commons.answer(toWorker);
      const leave = commons.join(number, toWorker);
      return {
        taken,
        cut,
        ask: toSupervisor.ask,
        end() {
          leave();
          cut();
        },
      };
    };
    const revocation = { kind: 'api-key', authenticator: 'keys', id: 'k1', by: 'ops', until: 100 } as const;
    const worker = start();
    t.same(await worker.ask('revoke', revocation), { late: [] });
    t.same(worker.taken, [[revocation]]);
    worker.end();
    now = 99;
    const next = start();
    // What was sent before an answer has come before it.
    await next.ask('secret', ['x', 1]);
    t.same(next.taken, [[revocation]]);
    next.end();
    now = 100;
    const last = start();
    await last.ask('secret', ['x', 1]);
    t.same(last.taken, []);
    start(2).cut();
    t.same(await last.ask('revoke', { ...revocation, until: 200 }), { late: [2] });
    t.match(last.taken, [[{ until: 200 }]]);
    last.end();
  },
);

t.test(
  'a DPoP proof is good once at all workers; what a worker held that has ended is free; and without its supervisor no proof is good',
  async (t) => {
    const key = await createDpopKey();
    const token = await issuer.token({ aud: 'https://mcp.example.com/api', ...key.binding, scope: 'dashboards:read' });
    const proof = () => key.proof({ token, method: 'GET', url: 'https://mcp.example.com/api/x' });
    const get = async (worker: Worker, dpop: string) =>
      worker.anybody.send({ path: '/api/x', headers: { authorization: `DPoP ${token}`, dpop } });
    const used = await proof();
    t.equal((await get(first, used)).status, 200);
    const seenBefore = upstream.requests.length;
    const replayed = await get(second, used);
    t.equal(replayed.status, 401);
    t.equal(upstream.requests.length, seenBefore, 'the upstream saw nothing');
    t.match(await second.recordOf(replayed), { detail: { credential: { problem: 'proof_replayed' } } });
    const [mia, ken, lea] = await Promise.all([
      personAt(second, 'mia'),
      personAt(first, 'ken'),
      personAt(first, 'lea'),
    ]);
    const lost = [hold(mia, 1), hold(mia, 2), hold(mia, 3)];
    await heldBy(3);
    second.end();
    const calls = [hold(ken, 4), hold(ken, 5), hold(ken, 6), hold(lea, 7)];
    await heldBy(7);
    t.equal((await lea.call('list')).status, 503);
    releaseAll();
    await Promise.all([...lost, ...calls]);
    const seen = upstream.requests.length;
    const unknown = await get(second, await proof());
    t.equal(unknown.status, 503);
    t.match(JSON.parse(unknown.text), { code: 'state_unavailable' });
    t.match(await second.recordOf(unknown), { outcome: 'refused', reason: 'state_unavailable' });
    t.equal(upstream.requests.length, seen, 'the upstream saw nothing');
    t.match(await second.recordOf(unknown), { detail: { state: { problem: 'unreachable' } } });
    for (let count = 0; count < 3; count += 1) t.equal((await get(second, await proof())).status, 503);
    t.equal(await second.metric('portcullis_limits_state_failures_total'), 4);
    t.equal(await second.metric('portcullis_state_failures_total', { outcome: 'unreachable' }), 4);
    const credential = { kind: 'oauth', authenticator: 'corp', id: 'x' } as const;
    t.same(await streamsFacts(second.gateway.parts).revokeCredential({ credential, by: 'ops' }), {
      outcome: 'supervisor_unavailable',
    });
    t.match(await second.record(({ detail }) => detail?.event === 'order not carried out'), {
      detail: { order: 'credential revoked', reason: 'supervisor_unavailable', by: 'ops' },
    });
    const log = await second.log();
    t.equal(log.match(/the shared state is unavailable/g)?.length, 1, 'one line for the outage');
    t.notMatch(log, /"level":"warn".*"code":"state_unavailable"/, 'and none for each request');
  },
);

/** A TLS connection, closed once it is known whether it went on with the session. */
async function isResumed({ port }: Worker, session: Buffer): Promise<boolean> {
  const socket = connect({ ...tlsOptions, port, session });
  await once(socket, 'secureConnect');
  const isReused = socket.isSessionReused();
  socket.destroy();
  return isReused;
}

async function ticketOf({ port }: Worker): Promise<Buffer> {
  const socket = connect({ ...tlsOptions, port });
  const [ticket] = (await once(socket, 'session')) as [Buffer];
  socket.destroy();
  return ticket;
}
