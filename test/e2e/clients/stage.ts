// Stage of the scenario: the gateway with what provokes each refusal, and the person who approves what clients ask for.
import { randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { Agent, fetch } from 'undici';
import { pipeline, type Step } from '../../../src/gateway/request/pipeline.ts';
import { approve } from '../../dev/browser.ts';
import { type RouteChange, yamlOf } from '../../support/configuration.ts';
import { createGate } from '../../support/gate.ts';
import { until, untilAtRest } from '../../support/until.ts';
import { closedPort } from '../../support/upstream.ts';
import { type Scene, startScene } from './scene.ts';

/** What a client is refused with, in the order of the scenario. */
export const refusals = ['denied', '403', '401', '404', '413', '415', '503', 'outage'] as const;
export type Refusal = (typeof refusals)[number];

/** The path of a server behind the gateway. */
export type Endpoint = '/v1' | '/v2';

export interface Stage {
  readonly scene: Scene;
  /** Whether a server behind the gateway has got the request of an audit record. */
  reached(requestId: string): boolean;
  /** The queries of the authorization requests that the person has approved. */
  readonly approvals: readonly URLSearchParams[];
  /** Approves on the page of an authorization request. Resolves with the URL that the browser is sent to. */
  approve(page: URL): Promise<URL>;
  /** Lets the next call at an endpoint be refused. The returned function takes the cause away. */
  provoke(refusal: Refusal, endpoint: Endpoint): Promise<() => Promise<void>>;
  close(): Promise<void>;
}

const places = 4;
const newKey = () => `${randomBytes(32).toString('base64')}\n`;
const nothing = async () => {};
const both = (route: RouteChange) => ({ '/v1': route, '/v2': route });
/** A tool call with an argument of 100 KB is too large. */
const changes = {
  server: { limits: { bodyBytes: '64KiB' } },
  upstreams: { v1: { limits: { concurrency: places } }, v2: { limits: { concurrency: places } } },
  routes: both({ mcp: { sessionKeyFiles: ['sessions.key'] } }),
};

export async function startStage(webSocketUpstream?: string): Promise<Stage> {
  const approvals: URLSearchParams[] = [];
  const reached = new Set<string>();
  const gate = createGate();
  let waiting = 0;
  let occupied = 0;
  let revoked = 0;
  let spoilt = false;
  function arrive({ headers }: IncomingMessage): Promise<void> | undefined {
    reached.add(String(headers['x-request-id']));
    const held = headers['x-forwarded-client-id'] === scene.agent.clientId ? gate.open() : undefined;
    if (held !== undefined) waiting++;
    return held;
  }
  const scene = await startScene({
    arrive,
    changes,
    ...(webSocketUpstream !== undefined && { webSocketUpstream }),
    revocationPollMs: 50,
    files: { 'sessions.key': newKey() },
    pipeline: spoilingMediaTypes(() => spoilt),
  });
  const dispatcher = new Agent({ connect: { ca: scene.caPem } });

  /** Takes all places at an upstream with requests of the agent. */
  async function occupy(endpoint: Endpoint): Promise<() => Promise<void>> {
    const token = await scene.token(endpoint, 'dashboards:read');
    const release = gate.hold();
    waiting = 0;
    const held = Array.from({ length: places }, () =>
      fetch(scene.origin + endpoint, { method: 'POST', dispatcher, ...initialize(token) }),
    );
    await until(() => waiting === places);
    return async () => {
      release();
      for (const answer of await Promise.all(held)) await answer.text();
      occupied += places;
      await scene.gateway.matchingRecords(
        occupied,
        ({ stage, principal }) => stage === 'completed' && principal?.clientId === scene.agent.clientId,
      );
    };
  }

  /** Revokes every token of the person. The streams that they opened end; most clients open them anew, and are refused. */
  async function revoke(endpoint: Endpoint): Promise<void> {
    const records = await scene.gateway.records();
    const ofPerson = records.flatMap(({ principal }) => (principal?.subject === 'analyst' ? [principal] : []));
    const jti = new Set(ofPerson.map(({ credentialId }) => credentialId));
    await scene.gateway.write('revoked.yaml', yamlOf({ jti: [...jti] }));
    await scene.gateway.matchingRecords(++revoked, ({ detail }) => detail?.event === 'revocation list taken');
    const hasAskedAgain = async () =>
      (await scene.gateway.records()).some(({ http, status }) => http?.method === 'GET' && status === 401);
    if (endpoint === '/v1') await until(hasAskedAgain, 'a stream is opened anew', 15_000).catch(nothing);
    await untilAtRest(async () => (await scene.gateway.records()).length, 'what the client does about it');
  }

  async function provoke(refusal: Refusal, endpoint: Endpoint): Promise<() => Promise<void>> {
    switch (refusal) {
      case 'denied':
      case '413':
        return nothing;
      case '403':
        await scene.reload({ routes: both({ mcp: { denials: 'http' } }) });
        return () => scene.reload();
      case '401':
        await revoke(endpoint);
        return nothing;
      case '404':
        await scene.gateway.write('sessions.key', newKey());
        await scene.reload();
        return nothing;
      case '415':
        spoilt = true;
        return async () => {
          spoilt = false;
        };
      case '503':
        return occupy(endpoint);
      case 'outage':
        await scene.reload({
          authenticators: { corp: { type: 'jwt', issuer: scene.issuer, jwksUri: await closedPort() } },
        });
        return () => scene.reload();
    }
  }
  return {
    scene,
    reached: (requestId) => reached.has(requestId),
    approvals,
    async approve(page) {
      approvals.push(page.searchParams);
      return approve(page);
    },
    provoke,
    async close() {
      await dispatcher.destroy();
      await scene.close();
    },
  };
}

/** The pipeline of the gateway behind something that spoils the media type of tool calls: no client sends a wrong one by itself. */
function spoilingMediaTypes(spoilt: () => boolean): typeof pipeline {
  const [first, ...others] = pipeline.onRequest as readonly [Extract<Step, { run: unknown }>, ...Step[]];
  const spoiling: Step = {
    name: first.name,
    run(context, runtime) {
      if (spoilt() && context.method === 'POST') context.request.headers['content-type'] = 'text/plain';
      first.run(context, runtime);
    },
  };
  return { ...pipeline, onRequest: [spoiling, ...others] };
}

function initialize(token: string) {
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'occupant', version: '1' } };
  return {
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
  };
}
