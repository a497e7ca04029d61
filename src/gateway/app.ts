// Public application: a Fastify instance whose hooks are the steps of the pipeline, and whose one route is the path proxy.
import type { RequestListener, Server } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { LoadedConfig } from '../config/load.ts';
import { GatewayError } from '../errors.ts';
import { createListener } from '../http/connection/listener.ts';
import { endRequest, takeInTurn } from '../http/connection/pipelining.ts';
import { METHODS } from '../http/node-http.ts';
import { badPath } from '../http/path.ts';
import { onClientError } from './plugins/client-errors.ts';
import { superviseConnections } from './plugins/connections.ts';
import { endPipeline, registerPathProxy } from './plugins/path-proxy.ts';
import { acceptsUpgrade, acceptUpgrades, upgradeOfferOf } from './plugins/websocket.ts';
import { completePart, refuse } from './request/completion.ts';
import { createRequestContext, type RequestContext } from './request/context.ts';
import { toGatewayError } from './request/error-response.ts';
import { bitOf, pipeline as everyStep, type Pipeline, type Step } from './request/pipeline.ts';
import { stepEnded, tracedLog } from './request/request-spans.ts';
import { fastifyOptions, makeRequestLogsLazy } from './request-log.ts';
import type { Runtime } from './runtime.ts';

declare module 'fastify' {
  interface FastifyRequest {
    context: RequestContext;
  }
}

/** CONNECT never gets this far. */
const methods = METHODS.filter((method) => method !== 'CONNECT');

/**
 * Builds the application; it does not listen yet. Routes, methods, media types and bodies are the pipeline's to judge: Fastify matches
 * everything to one route and parses nothing. `pipeline` is for tests that leave steps out.
 */
export async function createApp(
  runtime: Runtime,
  loaded: LoadedConfig,
  pipeline: Pipeline = everyStep,
): Promise<FastifyInstance> {
  const app = fastify({
    ...fastifyOptions(runtime.log),
    exposeHeadRoutes: false,
    return503OnClosing: false,
    forceCloseConnections: false,
    routerOptions: { querystringParser: () => ({}) },
    serverFactory: (listener) => createServer(listener, runtime, loaded),
    clientErrorHandler: (error, socket) => onClientError(error, socket as Socket, runtime),
    frameworkErrors(_error, request, reply) {
      openContext(request, reply, runtime);
      void fail(badPath(), request, reply, runtime);
    },
  });
  makeRequestLogsLazy(app);
  for (const method of methods) app.addHttpMethod(method, { overrideExisting: true });
  app.decorateRequest('context');
  app.setErrorHandler((thrown, request, reply) => fail(thrown, request, reply, runtime));
  app.setNotFoundHandler(() => {
    throw new GatewayError('not_found', 'There is nothing at this path.');
  });
  app.addHook('onRequest', (request, reply, done) => {
    openContext(request, reply, runtime);
    done();
  });
  app.addHook('onRequest', hookOf(pipeline.onRequest, runtime));
  app.addHook('preHandler', hookOf(pipeline.preHandler, runtime));
  acceptUpgrades(app, runtime);
  await registerPathProxy(app, runtime, methods);
  await app.ready();
  return app;
}

function createServer(listener: RequestListener, runtime: Runtime, { config, files }: LoadedConfig): Server {
  const server = createListener(config.server, files, takeInTurn, (request) => acceptsUpgrade(request, runtime));
  // Without these Node would answer 100 or 417 before the credentials were looked at.
  server.on('checkContinue', takeInTurn).on('checkExpectation', takeInTurn);
  superviseConnections(server, listener, runtime);
  return server;
}

function openContext(request: FastifyRequest, { raw: response }: FastifyReply, runtime: Runtime): void {
  const { snapshot } = runtime;
  const { raw } = request;
  // The target that is matched is the one that is forwarded.
  if (!raw.url!.startsWith('/')) raw.url = snapshot.hosts.originForm(raw.url!);
  const address = snapshot.clientAddress(runtime.peerAddress(raw.socket), raw.headers);
  const context = createRequestContext(request, response, snapshot, upgradeOfferOf(response), address);
  if (context.trace !== undefined) context.log = tracedLog(request.log, context, context.trace);
  request.context = context;
  runtime.open.add(context);
  response.on('close', () => {
    endRequest(raw);
    completePart(context, runtime);
  });
}

/** Every throw of a step, a handler or the framework ends here. */
async function fail(
  thrown: unknown,
  { context }: FastifyRequest,
  reply: FastifyReply,
  runtime: Runtime,
): Promise<void> {
  await refuse(toGatewayError(thrown), context, runtime);
  endPipeline(reply, context, runtime);
}

/** A hook that runs steps in their order until one has answered the request, or refuses it. */
function hookOf(
  steps: readonly Step[],
  runtime: Runtime,
): (request: FastifyRequest, reply: FastifyReply) => Promise<void> {
  const bits = steps.map(bitOf);
  return async ({ context }, reply) => {
    const { trace } = context;
    let index = 0;
    try {
      for (; index < steps.length; index += 1) {
        const step = steps[index]!;
        if ('run' in step) step.run(context, runtime);
        else await step.wait(context, runtime);
        if (trace !== undefined) stepEnded(context, trace, step.name);
        context.passedSteps |= bits[index]!;
        if (context.answered) return endPipeline(reply, context, runtime);
      }
    } catch (thrown) {
      if (trace !== undefined) stepEnded(context, trace, steps[index]!.name, thrown);
      // Behind a response, such as that to a request that was cut off in its body, Fastify would drop it.
      if (!reply.sent) throw thrown;
      endPipeline(reply, context, runtime);
    }
  };
}
