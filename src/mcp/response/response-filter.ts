// Filters for the responses of upstreams that are read before the caller sees them.
import { createByteBuffer } from '../../http/body/byte-buffer.ts';
import { isEventStream, isJson } from '../media-type.ts';
import type { McpMessage } from '../message.ts';
import type { MetaTools, SearchMetaTool } from '../meta-tools.ts';
import { type Listing, methodOf } from '../methods.ts';
import { type AnswerOptions, filterAnswers } from './answer-filter.ts';
import { filterLists, type ShowsItem } from './list-filter.ts';
import { filterSearch } from './search-filter.ts';
import { filterServerRequests, type ServerRequestOptions } from './server-request-filter.ts';
import { createEventStreamFilter, type RewriteText } from './sse-filter.ts';

/** Takes the body of one response; `whole` ones give nothing before their end. After a throw the response must not be shown. */
export interface ResponseFilter {
  readonly whole: boolean;
  write(chunk: Buffer): Buffer | undefined;
  end(): Buffer | undefined;
}

/** Undefined lets the body pass. */
export type FilterResponse = (
  status: number,
  head: { readonly contentType: string | undefined; readonly contentEncoding: string | undefined },
) => ResponseFilter | undefined;

/** The part of a response that is filtered. */
export type Reading =
  | { readonly kind: 'list'; readonly listing: Listing }
  | { readonly kind: 'search'; readonly tool: SearchMetaTool }
  | { readonly kind: 'any list' }
  | { readonly kind: 'messages' };

/** Options of the filter of a response. */
export interface ResponseFilterOptions {
  readonly shows: ShowsItem;
  /** Undefined lets all requests of the server to the client pass. */
  readonly requests?: ServerRequestOptions | undefined;
  /** Undefined lets results of other requests pass. */
  readonly answers?: AnswerOptions | undefined;
  /** False where a stream must not be taken up by a GET. True by default. */
  readonly resumable?: boolean | undefined;
  /** Called when an event says that a list of the server has changed. */
  readonly listChanged?: (() => void) | undefined;
  /** Called with the cause when a search result could not be read and is replaced by an error. */
  readonly withheld: (cause: unknown) => void;
  /** Of a JSON body, or of one event; more cannot be read. */
  readonly maxBytes: number;
}

const anyList: Reading = { kind: 'any list' };

/**
 * The part to filter in the response to a message. Without a message, as for a GET, it is any list: a broken stream with the response to another request
 * may be resumed there. Of all other calls the messages are read where the route has pins, and else nothing: undefined.
 */
export function readingOf(
  message: McpMessage | undefined,
  { searches }: MetaTools,
  isPinned = false,
): Reading | undefined {
  if (message === undefined || (isPinned && message.method === 'subscriptions/listen')) return anyList;
  const listing = message.method === undefined ? undefined : methodOf(message.method)?.listing;
  if (listing !== undefined) return { kind: 'list', listing };
  const tool = message.target?.kind === 'tool' ? searches.get(message.target.name) : undefined;
  if (tool !== undefined) return { kind: 'search', tool };
  return isPinned ? { kind: 'messages' } : undefined;
}

/**
 * The filter for such a response. A successful one to a list or search request must be JSON or an event stream, in plain UTF-8, or empty; in other
 * responses only those two are read, and only lists are changed. A stream that answers a search cannot be resumed: what a GET brings of it could not be
 * told from the results of other tools.
 */
export function responseFilter(reading: Reading, options: ResponseFilterOptions): FilterResponse {
  const { answers, listChanged, maxBytes, requests } = options;
  return (status, { contentType = '', contentEncoding = 'identity' }) => {
    if (status === 204 || status === 304) return undefined;
    const expected = (reading.kind === 'list' || reading.kind === 'search') && status >= 200 && status < 300;
    const rewriteParts = rewriteOf(reading, expected, options);
    const rewriteOwn = answers ? inTurn((text) => filterAnswers(text, answers), rewriteParts) : rewriteParts;
    const rewrite = requests ? inTurn((text) => filterServerRequests(text, requests), rewriteOwn) : rewriteOwn;
    const plain = contentEncoding.toLowerCase() === 'identity';
    if (plain && isEventStream(contentType)) {
      const resumable = options.resumable !== false && reading.kind !== 'search';
      return createEventStreamFilter({ rewrite: whereObjects(rewrite, listChanged), maxBytes, resumable });
    }
    if (plain && isJson(contentType)) return documentFilter(rewrite, maxBytes);
    return expected || readElsewhere.test(contentType) ? nothingShown : undefined;
  };
}

/** Messages are taken out first: what is left is read on. */
function inTurn(takeOut: RewriteText, rewrite: RewriteText): RewriteText {
  return (text) => {
    const left = takeOut(text);
    return left?.length === 0 ? left : (rewrite(left ?? text) ?? left);
  };
}

function rewriteOf(reading: Reading, expected: boolean, { shows, withheld }: ResponseFilterOptions): RewriteText {
  if (reading.kind === 'search') {
    const { tool } = reading;
    return (text) =>
      filterSearch(text, { tool, shows: (name, item) => shows(toolListing, name, item, true), withheld });
  }
  if (reading.kind === 'messages') return () => undefined;
  const listing = reading.kind === 'list' && expected ? reading.listing : undefined;
  return (text) => filterLists(text, listing, shows);
}

const toolListing = methodOf('tools/list')!.listing!;
/** Written or encoded in a way that this filter does not read, and that some client might. */
const readElsewhere = /application\/json|text\/event-stream/i;

/** Data without a brace holds no list, whatever it is; an event with empty data begins every resumable stream. */
function whereObjects(rewrite: RewriteText, listChanged?: () => void): RewriteText {
  return (text) => {
    if (!text.includes('{')) return undefined;
    if (listChanged !== undefined && text.includes('list_changed')) listChanged();
    const rewritten = rewrite(text);
    return escapeLineEnds(rewritten ?? text) ?? rewritten;
  };
}

/** JSON has these within strings only, where an escape means the same; some readers of event streams end a line at each. */
const lineEnds = ['\u0085', '\u2028', '\u2029'];

/** Undefined where there are none. */
function escapeLineEnds(json: Buffer): Buffer | undefined {
  if (!lineEnds.some((end) => json.includes(end))) return undefined;
  const escaped = (end: string) => `\\u${end.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return Buffer.from(json.toString().replace(/[\u0085\u2028\u2029]/g, escaped));
}

function documentFilter(rewrite: RewriteText, maxBytes: number): ResponseFilter {
  const body = createByteBuffer();
  return {
    whole: true,
    write(chunk) {
      if (body.length() + chunk.length > maxBytes) throw new RangeError('the answer is too large');
      body.append(chunk);
      return undefined;
    },
    end() {
      const text = body.take();
      if (text.length === 0) return undefined;
      const left = rewrite(text) ?? text;
      if (left.length === 0) throw new Error('nothing of the answer passes');
      return left;
    },
  };
}

const nothingShown: ResponseFilter = {
  whole: true,
  write(chunk) {
    if (chunk.length === 0) return undefined;
    throw new Error('the answer is neither JSON nor an event stream in plain UTF-8');
  },
  end: () => undefined,
};
