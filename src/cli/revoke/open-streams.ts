// Open streams of the running gateway, asked of its admin listener.
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import * as z from 'zod';
import { isWildcard, parseListenAddress } from '../../http/connection/listen-address.ts';

const stream = z.object({
  route: z.string(),
  clientId: z.string().optional(),
  credentialIds: z.array(z.string()),
  count: z.number(),
});
const status = z.object({ streams: z.array(stream), streamsOmitted: z.boolean().optional() });

/** Streams of one client with one credential on one route. */
type StreamGroup = z.output<typeof stream>;

/** Open streams that a revocation ends. */
export interface OpenStreams {
  /** Undefined where the gateway did not tell. */
  readonly groups: readonly StreamGroup[] | undefined;
  /** For a person. */
  readonly sentence: string;
}

const timeoutMs = 2000;

/** Asks the admin listener at this address of the configuration. Never throws. */
export async function openStreamsOf(listen: string, isMeant: (group: StreamGroup) => boolean): Promise<OpenStreams> {
  try {
    const { streams, streamsOmitted = false } = status.parse(JSON.parse(await getStatus(listen)));
    const groups = streams.filter(isMeant);
    const list = groups.map(({ clientId, count, route }) => `${count} of ${clientId ?? 'no client'} on ${route}`);
    const more = streamsOmitted ? ' (of those that the gateway lists; there are more)' : '';
    const sentence =
      list.length === 0
        ? 'No open stream is theirs by client or credential'
        : `Open streams that end: ${list.join(', ')}`;
    return { groups, sentence: `${sentence}${more}.` };
  } catch (error) {
    const reason =
      error instanceof z.ZodError || error instanceof SyntaxError
        ? 'its answer is of another version'
        : (error as Error).message;
    return {
      groups: undefined,
      sentence: `The gateway was not asked about open streams: no answer from ${listen} (${reason}).`,
    };
  }
}

async function getStatus(listen: string): Promise<string> {
  const address = parseListenAddress(listen);
  const where =
    address.kind === 'unix'
      ? { socketPath: address.path }
      : { host: isWildcard(address) ? '127.0.0.1' : address.host, port: address.port };
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asked = request(
    { ...where, path: '/status', agent: false, signal: AbortSignal.timeout(timeoutMs) },
    (response) => {
      text(response).then(resolve, reject);
    },
  );
  asked.on('error', reject).end();
  return promise;
}
