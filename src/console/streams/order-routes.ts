// Forms of the streams page: the two orders, their guard, and what is said of each outcome.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { PrincipalKind } from '../../authn/caller/principal.ts';
import { failure } from '../failure.ts';
import { fieldOf } from '../form.ts';
import type { PageRequest, Viewer } from '../page.ts';
import type { OrderOutcome } from './orders.ts';

/** Takes the posted forms. An order that was carried out leads back to the page; any other outcome is an error with a status and a sentence. */
export function answerOrders(app: FastifyInstance, read: (request: FastifyRequest) => PageRequest): void {
  app.post('/streams/end', async (request, reply) => {
    const { name: by, operator } = viewerOf(request);
    const { source, worker } = read(request);
    return answer(await source.endStream({ id: fieldOf(request, 'id'), by, operator }), worker, reply);
  });
  app.post('/streams/revoke', async (request, reply) => {
    const { name: by, operator } = viewerOf(request);
    const { source, worker } = read(request);
    const credential = {
      kind: fieldOf(request, 'kind') as PrincipalKind,
      authenticator: fieldOf(request, 'authenticator'),
      id: fieldOf(request, 'id'),
    };
    return answer(await source.revokeCredential({ credential, by, operator }), worker, reply);
  });
}

/** Throws 403 where nobody is asked who it is: an order has to be somebody's. */
function viewerOf({ viewer }: FastifyRequest): Viewer {
  if (viewer !== undefined) return viewer;
  throw failure(403, 'Orders need an operator with a name: say with admin.authenticate who may give them.');
}

const failures: Readonly<
  Record<Exclude<OrderOutcome['outcome'], 'ended' | 'ending' | 'revoked'>, readonly [number, string]>
> = {
  stream_gone: [
    404,
    'stream_gone: no such stream is open in this process. It has ended meanwhile, or it is in another worker.',
  ],
  credential_unknown: [
    404,
    'credential_unknown: no authenticator in force has such a credential. Nothing was revoked.',
  ],
  revocations_full: [
    503,
    'revocations_full: too many credentials are revoked for an hour. Put this one into the revocation file with "portcullis revoke".',
  ],
  supervisor_unavailable: [
    503,
    'supervisor_unavailable: the supervisor did not confirm the revocation. Look at the list of revocations, and put the credential into the revocation file with "portcullis revoke".',
  ],
  audit_unavailable: [
    503,
    'audit_unavailable: the order could not be recorded, so it was not carried out. The log of the gateway says what is wrong with the audit sink.',
  ],
};

function answer(result: OrderOutcome, worker: number | undefined, reply: FastifyReply): FastifyReply {
  const { outcome } = result;
  if (outcome !== 'ended' && outcome !== 'ending' && outcome !== 'revoked') throw failure(...failures[outcome]);
  const query = new URLSearchParams({ notice: outcome });
  if (worker !== undefined) query.set('worker', String(worker));
  for (const late of outcome === 'revoked' ? result.late : []) query.append('late', String(late));
  return reply.redirect(`/streams?${query}`, 303);
}

/** The sentence on an order that was carried out. */
export function noticeOf(query: URLSearchParams): string | undefined {
  const late = query.getAll('late').filter((each) => /^\d{1,4}$/.test(each));
  switch (query.get('notice')) {
    case 'ended':
      return 'The stream ends after its current event.';
    case 'ending':
      return 'The stream was ending already.';
    case 'revoked':
      return late.length === 0
        ? 'The credential is revoked for an hour. Its streams end within five seconds.'
        : `The credential is revoked for an hour. Worker ${late.join(', ')} has not answered yet, and takes it when it does.`;
    default:
      return undefined;
  }
}
