// Explanation of a request as text for people, with colours where the output is a terminal.
import type { Decision } from '../../policy/decision.ts';
import type { Explanation, PartReading, RuleReading } from '../../policy/explain.ts';
import { printable } from '../../printable.ts';
import {
  conditionWords,
  countsByState,
  decisionWords,
  demandWords,
  isUntold,
  mismatchWords,
  otherwiseWords,
  outcomeWords,
  refusalWords,
  selectorWords,
} from '../../review/explain/reading-words.ts';
import type { RequestExplanation } from '../../review/explain/request-explanation.ts';
import { limitLines } from './limit-text.ts';

/** Colours a text. */
export type Paint = (colour: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string) => string;

/** The lines so far. */
export interface Writer {
  readonly paint: Paint;
  readonly lines: string[];
}

/** The explanation in sections. */
export function explanationText(explanation: RequestExplanation, paint: Paint): string {
  const writer: Writer = { paint, lines: [] };
  const { request, at, from, policy, notes } = explanation;
  writer.lines.push(
    `${request.method} ${printable(request.path)}  from ${from} at ${at}  ${paint('dim', `policy ${policy.slice(0, 12)}`)}`,
  );
  writeCredentials(explanation, writer);
  writeRoutes(explanation, writer);
  if (explanation.decision !== undefined) writeDecision(explanation.decision, writer);
  const limits = limitLines(explanation.limits);
  if (limits.length > 0) heading(writer, 'Limits');
  writer.lines.push(...limits);
  writeUpstream(explanation, writer);
  writeAnswer(explanation, writer);
  for (const note of notes) writer.lines.push('', `${paint('yellow', 'note')}  ${note}`);
  return `${writer.lines.join('\n')}\n`;
}

/** A line above a section. */
export function heading({ lines, paint }: Writer, text: string): void {
  lines.push('', paint('bold', text));
}

function mark(paint: Paint, state: boolean | undefined): string {
  return state === undefined ? paint('dim', '-') : state ? paint('green', '✓') : paint('red', '✗');
}

/** The credentials and the caller. */
export function writeCredentials(
  { caller, credentials }: Pick<RequestExplanation, 'caller' | 'credentials'>,
  writer: Writer,
): void {
  const { lines, paint } = writer;
  heading(writer, 'Credentials');
  if (credentials.length === 0) lines.push(`  ${mark(paint, undefined)} none`);
  for (const { authenticator, facts, id, kind, reason, state, why } of credentials) {
    const by = authenticator === undefined ? '' : ` of ${printable(authenticator)}`;
    const named = id === undefined ? '' : ` ${shorten(printable(id))}`;
    const stable = reason === undefined ? '' : ` (${reason})`;
    lines.push(`  ${mark(paint, countsByState[state])} ${kind}${by}${named}: ${state.replaceAll('_', ' ')}${stable}`);
    lines.push(`      ${printable(why)}`);
    const texts = Object.entries(facts).map(([name, value]) => `${name} ${printable(value)}`);
    if (texts.length > 0) lines.push(paint('dim', `      ${texts.join('; ')}`));
  }
  if (caller === undefined) return;
  const { authenticatedBy, claims, clientId, method, scopes, senderConstrained, subject } = caller;
  const known = Object.keys(claims).length === 0 ? '' : `, claims ${shorten(printable(JSON.stringify(claims)))}`;
  const bound = senderConstrained ? ', sender-constrained' : '';
  lines.push(
    `  caller: client ${printable(clientId ?? 'none')}, subject ${printable(subject)}, by ${method} (${authenticatedBy.join(' and ')})${bound}`,
  );
  lines.push(`      scopes ${printable(scopes.join(' ')) || 'none'}${known}`);
}

/** The routes that were looked at. */
export function writeRoutes({ code, routes }: Pick<RequestExplanation, 'code' | 'routes'>, writer: Writer): void {
  const { lines, paint } = writer;
  heading(writer, 'Routes');
  for (const { methods, name, outcome, path } of routes) {
    const why = { matched: '', other_path: '  another path', other_method: `  takes ${methods?.join(', ')} only` }[
      outcome
    ];
    const text = `${printable(name)}  ${printable(path)}${why}`;
    lines.push(
      `  ${mark(paint, outcome === 'matched' ? true : undefined)} ${outcome === 'matched' ? text : paint('dim', text)}`,
    );
  }
  if (!routes.some(({ outcome }) => outcome === 'matched')) lines.push(`  ${mark(paint, false)} no route: ${code}`);
}

/** The rules for each part of the message. */
export function writeDecision({ decision, parts }: Explanation, writer: Writer): void {
  for (const part of parts) writePart(part, parts.length > 1, writer);
  if (parts.length > 1) {
    heading(writer, 'Together');
    writer.lines.push(`  ${verdict(decision, writer.paint)}`);
  }
}

function writePart(part: PartReading, isOneOfSeveral: boolean, writer: Writer): void {
  const { lines, paint } = writer;
  const { decision, method, otherwise, rules, target, via } = part;
  const named = target === undefined ? '' : ` ${printable(target.name)}`;
  const through = via === undefined ? '' : ` through ${printable(via)}`;
  heading(writer, `Rules${method === undefined ? '' : ` for ${printable(method)}${named}${through}`}`);
  const read = rules.filter(({ outcome }) => outcome !== 'not_reached');
  for (const rule of read) writeRule(rule, writer);
  const left = rules.length - read.length;
  if (left > 0) lines.push(paint('dim', `  - ${left === 1 ? '1 rule' : `${left} rules`} behind it not reached`));
  if (otherwise !== undefined) lines.push(`  ${mark(paint, decision.allow)} ${otherwiseWords[otherwise]}`);
  const told = rules.some((rule) => rule.mode === 'enforce' && isUntold(rule))
    ? paint('yellow', 'cannot be told from the record')
    : verdict(decision, paint);
  lines.push(`  ${isOneOfSeveral ? 'so: ' : ''}${told}`);
}

function writeRule(reading: RuleReading, writer: Writer): void {
  const { decision, demands, effect, mode, rule, selectors, when } = reading;
  const { lines, paint } = writer;
  const title = `${printable(rule)}  ${effect}${mode === 'report' ? ', reported only' : ''}`;
  const mismatch = mismatchWords(reading, shorten);
  if (mismatch !== undefined) {
    lines.push(`  ${mark(paint, undefined)} ${title}  ${paint('dim', `no match: ${printable(mismatch)}`)}`);
    return;
  }
  lines.push(`  ${mark(paint, decision?.allow === true)} ${paint('bold', title)}  ${outcomeWords(reading)}`);
  for (const selector of selectors)
    lines.push(`      ${mark(paint, selector.matches === true)} ${printable(selectorWords(selector, shorten))}`);
  if (when !== undefined) lines.push(`      ${mark(paint, when.result === true)} ${printable(conditionWords(when))}`);
  for (const demand of demands)
    lines.push(`      ${mark(paint, demand.met)} requires ${printable(demandWords(demand))}`);
}

function verdict(decision: Decision, paint: Paint): string {
  return paint(decision.allow ? 'green' : 'red', printable(decisionWords(decision)));
}

function writeUpstream({ upstream }: RequestExplanation, writer: Writer): void {
  const { lines, paint } = writer;
  heading(writer, 'Upstream');
  if (upstream === undefined) {
    lines.push(`  ${mark(paint, undefined)} gets nothing`);
    return;
  }
  const { assertion, headers, method, name, url } = upstream;
  lines.push(`  ${printable(name)} gets ${method} ${printable(url)}`);
  for (const [header, value] of headers) lines.push(`      ${header}: ${printable(value)}`);
  if (assertion !== undefined)
    lines.push(`      assertion ${printable(JSON.stringify(assertion))}, with iat, exp and jti`);
}

function writeAnswer({ allowed, answer, code, reason }: RequestExplanation, writer: Writer): void {
  const { lines, paint } = writer;
  heading(writer, 'Answer');
  if (answer === undefined) {
    lines.push('  that of the upstream');
    return;
  }
  const why = code === undefined ? '' : `  ${refusalWords({ code, reason })}`;
  lines.push(`  ${paint(allowed ? 'green' : 'red', `HTTP ${answer.status}${why}`)}`);
  for (const [header, value] of Object.entries(answer.headers)) lines.push(`      ${header}: ${printable(value)}`);
  lines.push(`      ${printable(answer.body)}`);
}

const maxShown = 160;

function shorten(text: string): string {
  return text.length <= maxShown ? text : `${text.slice(0, maxShown)}… (${text.length} characters; --json has all)`;
}
