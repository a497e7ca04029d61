// Filter for the results of search meta-tools: only tools that the caller is shown stay, in the structured result and in each text block.
import { applyEdits, type Edit, keepElements } from '../../json/edit.ts';
import { isArray, type Span, spanOf, stringAt } from '../../json/members.ts';
import { parsePointer } from '../../json/pointer.ts';
import { responseLimits, scanElements, scanJson } from '../../json/scanner.ts';
import { compileShape, type Shape } from '../../json/shape.ts';
import type { SearchMetaTool } from '../meta-tools.ts';
import { type Result, readResults, shapeOfMembers, shapeOfResult } from './results.ts';

/** Options of the filter of a search result. */
interface SearchOptions {
  readonly tool: SearchMetaTool;
  readonly shows: (name: string, item: Buffer | undefined) => boolean;
  /** A result that could not be read was put aside; why, for the log. */
  readonly withheld: (cause: unknown) => void;
}

type Member = 'content' | 'structuredContent' | 'resultType' | 'task';
const searchResult = shapeOfResult<Member>(['content', 'structuredContent', 'resultType', 'task']);
const block = shapeOfMembers(['type', 'text']);
const named = shapeOfMembers(['name']);

/** To the model, which can go on without the search. */
const unreadable =
  'The search did not answer with a list of tools that this gateway can read, so its result is not shown. Call a tool by its name, or list the tools.';

/**
 * Filters the results in a text. One in which any part of the content is no list of tools, as an object with a `name` or as a name, at the place
 * that the meta-tool's configuration says is not shown: a tool error stands for it. Yields undefined when nothing changes; throws an Error when the
 * text is no message.
 */
export function filterSearch(text: Buffer, options: SearchOptions): Buffer | undefined {
  const edits = readResults(text, searchResult, false).flatMap((result): Edit[] => {
    try {
      refuseTask(text, result);
      return [...contentEdits(text, result, options), ...structuredEdits(text, result, options)];
    } catch (cause) {
      options.withheld(cause);
      return [{ start: result.start, end: result.end, text: toolError(result) }];
    }
  });
  return applyEdits(text, edits);
}

/** The result of a task comes with another request, `tasks/result` or `tasks/get`, and could not be told there from that of another tool. */
function refuseTask(text: Buffer, result: Result<Member>): void {
  const type = result.member('resultType');
  const isAtHand = type === undefined || ['complete', 'input_required'].includes(stringAt(text, type) ?? '');
  if (!isAtHand || result.member('task') !== undefined) throw new Error('the result of the search comes in a task');
}

function toolError(result: Result<Member>): string {
  const complete = result.member('resultType') === undefined ? {} : { resultType: 'complete' };
  return JSON.stringify({ ...complete, content: [{ type: 'text', text: unreadable }], isError: true });
}

function structuredEdits(text: Buffer, result: Result<Member>, options: SearchOptions): Edit[] {
  const span = result.member('structuredContent');
  if (span === undefined) return [];
  const left = filterPayload(text.subarray(span.start, span.end), options);
  return left === undefined ? [] : [{ ...span, text: left }];
}

function contentEdits(text: Buffer, result: Result<Member>, options: SearchOptions): Edit[] {
  const content = result.member('content');
  if (content === undefined) return [];
  if (!isArray(text, content)) throw new Error('the content is no list');
  return scanElements(text, content.start, block, 2, responseLimits).flatMap((element) => {
    const type = stringAt(text, spanOf(element, 0));
    const place = spanOf(element, 1);
    const found = stringAt(text, place);
    if (type !== 'text' || place === undefined || found === undefined) throw new Error('the content is not all text');
    const left = filterPayload(Buffer.from(found), options);
    return left === undefined ? [] : [{ ...place, text: JSON.stringify(left.toString()) }];
  });
}

function filterPayload(payload: Buffer, { tool, shows }: SearchOptions): Buffer | undefined {
  const tools = findTools(payload, parsePointer(tool.results));
  const elements = scanElements(payload, tools.start, named, 1, responseLimits);
  return applyEdits(
    payload,
    keepElements(payload, tools, elements, (element) => {
      const bare = stringAt(payload, element);
      const name = bare ?? stringAt(payload, spanOf(element, 0));
      if (name === undefined) throw new Error('a tool that was found has no name');
      return shows(name, bare === undefined ? payload.subarray(element.start, element.end) : undefined);
    }),
  );
}

/** A payload that is an array is itself the list. */
function findTools(payload: Buffer, steps: readonly string[]): Span {
  const spans = scanJson(payload, shapeTo(steps), Math.max(1, steps.length), responseLimits);
  const start = payload.findIndex((byte) => byte > 0x20);
  const whole = { start, end: payload.length };
  if (isArray(payload, whole)) return whole;
  const found = steps.length === 0 ? undefined : spanOf({ spans }, steps.length - 1);
  if (found === undefined || !isArray(payload, found)) throw new Error('the payload has no list of tools at its place');
  return found;
}

function shapeTo([step, ...rest]: readonly string[], slot = 0): Shape {
  if (step === undefined) return compileShape(new Map(), false);
  return compileShape(new Map([[step, { slot, shape: shapeTo(rest, slot + 1) }]]), false);
}
