// Path proxy: requests of path routes, forwarded by @fastify/http-proxy with our connections, timeouts and relay of the answer.
import httpProxy, { type FastifyHttpProxyOptions } from '@fastify/http-proxy';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { sendContinue, streamBody } from '../../http/body/body.ts';
import { dispatch } from '../../upstream/forward.ts';
import type { Transfer } from '../../upstream/transfer.ts';
import { completePart } from '../request/completion.ts';
import type { RequestContext } from '../request/context.ts';
import { checkCredential } from '../request/credential-check.ts';
import { forwardRequest } from '../request/forward-request.ts';
import { bodyLimitsOf } from '../request/local-responses.ts';
import { decisionOf } from '../request/pipeline.ts';
import type { Runtime } from '../runtime.ts';
import { webSocketOf } from './websocket.ts';

/** Key of the transfer in the headers object, the one argument that the proxy hands to `undici.request` unchanged. */
const transferOf = Symbol('transfer');

interface Outgoing {
  readonly headers: { readonly [transferOf]: Transfer };
}

/**
 * Registers the proxy as the one route of the application; the hooks before it answer what is not a path route. The proxy holds the
 * destination to the upstream's origin and hands over the streamed body. Its own agent, retries, `Location` and header rules stay out:
 * the requester dispatches on the upstream's connections, and the answer goes to the client as it does on MCP routes.
 */
export async function registerPathProxy(app: FastifyInstance, runtime: Runtime, httpMethods: string[]): Promise<void> {
  const options: FastifyHttpProxyOptions & { handler: typeof handler; routes: string[] } = {
    upstream: '',
    routes: ['*'],
    httpMethods: httpMethods as never,
    proxyPayloads: false,
    disableRequestLogging: true,
    undici: { request: requestOnTransfer } as never,
    replyOptions: { getUpstream: ({ context }) => context.route!.upstream!.target.origin, retryDelay: () => null },
    handler,
  };
  await app.register(httpProxy, options);

  async function handler(request: FastifyRequest, reply: FastifyReply, _destination: string, given: object) {
    const { context } = request;
    const decided = decisionOf(context);
    const body = streamBody(context.request, bodyLimitsOf(context), (bytes) => {
      checkCredential(context, runtime);
      runtime.countPassed(bytes);
    });
    request.body = body ?? undefined;
    sendContinue(context.request, context.response);
    const send = (transfer: Transfer): void => {
      const rewriteRequestHeaders = () => ({ [transferOf]: transfer }) as never;
      // Not the destination: reply-from would normalize it as a URL, and refuse a name that begins with two dots.
      reply.from('/', { ...given, rewriteRequestHeaders });
    };
    const upgrade = webSocketOf(context);
    await forwardRequest(context, decided, context.route!, runtime, body, { upgrade }, send);
    endPipeline(reply, context, runtime);
  }
}

/** Ends the pipeline of a request that is answered, or whose client is gone. */
export function endPipeline(reply: FastifyReply, context: RequestContext, runtime: Runtime): void {
  reply.hijack();
  completePart(context, runtime);
}

/** Replaces `undici.request`: sends the judged request byte for byte. */
function requestOnTransfer({ headers }: Outgoing): void {
  dispatch(headers[transferOf]);
}
