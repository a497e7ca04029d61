// Accesses in words, and callers that have the same one together.
import {
  type Access,
  answerOf,
  type Clause,
  isFalse,
  isTrue,
  type Literal,
  negated,
  rulesOf,
  type Way,
} from '../../policy/access/access-formula.ts';
import type { ReportedCaller } from './access.ts';
import { type CallerClass, nameOf } from './access-callers.ts';
import type { AccessItem } from './access-items.ts';

/** `yes`, `no`, or the conditions that remain; `isWhole`: with the whole source of conditions. */
export function wordsOfAccess(access: Access, isWhole = false): string {
  const answer = answerOf(access);
  return answer === 'conditional' ? access.map((way) => wordsOfWay(way, isWhole)).join('; or ') : answer;
}

/** In the order in which a reader asks: with what, from where, until when, for which arguments. */
const order = ['scope', 'certificate', 'bound', 'claim', 'network', 'until', 'name', 'condition'];

function wordsOfWay({ clauses }: Way, isWhole: boolean): string {
  const rank = ([literal]: Clause): number => order.indexOf(literal!.variable.key.split(' ', 1)[0]!);
  const sorted = clauses.toSorted((one, other) => rank(one) - rank(other));
  const scopes = sorted.filter(([literal, ...more]) => literal!.variable.key.startsWith('scope ') && more.length === 0);
  const several = `with scopes ${scopes.map(([literal]) => literal!.variable.key.slice('scope '.length)).join(' ')}`;
  const others = scopes.length > 1 ? sorted.filter((clause) => !scopes.includes(clause)) : sorted;
  // A condition that must be false denies where it errs.
  const judged = sorted.flatMap(([literal, ...more]) =>
    more.length === 0 && mustNotErr(literal!) ? literal!.variable.words(isTrue | isFalse, isWhole) : [],
  );
  const words = [...others.map((clause) => wordsOfClause(clause, isWhole)), ...judged];
  return [...(scopes.length > 1 ? [several] : []), ...new Set(words)].join(', ');
}

function mustNotErr({ variable, mask }: Literal): boolean {
  return variable.values === 3 && mask === isFalse;
}

/** A clause of what must not all be true is an exception. */
function wordsOfClause(clause: Clause, isWhole: boolean): string {
  const [only, ...more] = clause;
  if (only !== undefined && more.length === 0) return wordsOf(only, isWhole);
  if (clause.every(({ mask }) => (mask & isTrue) === 0)) {
    const exceptions = clause.map((literal) => {
      const words = wordsOf(negated(literal), isWhole).replace(/^if /, '');
      return mustNotErr(literal) ? `(${words} or the arguments cannot be judged)` : words;
    });
    return `unless ${exceptions.join(' and ')}`;
  }
  const [first, ...rest] = clause.map((literal) => {
    const words = wordsOf(literal, isWhole);
    return mustNotErr(literal) ? `${words} (if the arguments can be judged)` : words;
  });
  return [first, ...rest.map((words) => words.replace(/^with scope /, ''))].join(' or ');
}

/** Of a condition that must not be true, an error counts as true: the call is denied either way. */
function wordsOf({ variable, mask }: Literal, isWhole: boolean): string {
  return variable.words(variable.values === 3 && mask & isTrue && mask !== 3 ? isTrue : mask, isWhole);
}

/** Callers with the same access, as one line. */
export interface CallersAlike {
  readonly who: string;
  readonly words: string;
  readonly rules: string;
}

/** The callers of an access, those alike together. `callers` are all of whom lines may speak. */
export function groupCallers(access: ReadonlyMap<string, Access>, callers: readonly ReportedCaller[]): CallersAlike[] {
  const present = callers.filter(({ id }) => access.has(id));
  const lineOf = ({ id }: ReportedCaller): string => {
    const ways = access.get(id)!;
    return JSON.stringify([wordsOfAccess(ways), rulesOf(ways)]);
  };
  return [...Map.groupBy(present, lineOf)].map(([line, alike]) => {
    const [words, rules] = JSON.parse(line) as [string, string];
    return {
      who: nameTogether(
        alike.map(({ caller }) => caller),
        callers,
      ),
      words,
      rules,
    };
  });
}

/** A name for callers that are treated alike. Named clients and claims are among the tokens of their authenticator where those are treated so too. */
export function nameTogether(alike: readonly CallerClass[], all: readonly ReportedCaller[]): string {
  if (alike.some(({ kind }) => kind === 'anyone')) return 'anyone';
  const tokens = new Set(alike.flatMap(({ kind, authenticator }) => (kind === 'token' ? authenticator : [])));
  const named = alike.filter(
    ({ kind, authenticator }) => kind !== 'token' && !(isOfTokens(kind) && tokens.has(authenticator)),
  );
  const clients = [...Map.groupBy(named.filter(isClient), ({ name }) => name)].map(
    ([name, of]) => `${name} of ${of.map(({ authenticator }) => authenticator).join(' or ')}`,
  );
  const withClaim = named.filter((caller) => caller.kind === 'claim');
  const claims = [
    ...Map.groupBy(withClaim, ({ authenticator, claim }) => `any token of ${authenticator} with ${claim}`),
  ].map(([words, of]) => `${words} ${of.map(({ value }) => String(value)).join(' or ')}`);
  const others = named.filter(({ kind }) => !isOfTokens(kind)).map(nameOf);
  return [...clients, ...others, ...claims, ...nameTokens([...tokens], alike, all)].join(', ');
}

function isOfTokens(kind: CallerClass['kind']): boolean {
  return kind === 'client' || kind === 'claim';
}

function isClient(caller: CallerClass): caller is CallerClass & { readonly kind: 'client' } {
  return caller.kind === 'client';
}

/** Named clients of any token that a line shows. */
const maxNamed = 6;

/** Any tokens, or any others where named clients are treated otherwise; with the named clients among them. */
function nameTokens(
  authenticators: readonly string[],
  alike: readonly CallerClass[],
  all: readonly ReportedCaller[],
): string[] {
  const clients = all.map(({ caller }) => caller).filter(isClient);
  const hasOthers = (name: string): boolean =>
    clients.some((caller) => caller.authenticator === name && !alike.includes(caller));
  const words = [
    ...Map.groupBy(authenticators, (name) => (hasOthers(name) ? 'any other token of' : 'any token of')),
  ].map(([any, names]) => `${any} ${names.join(' or ')}`);
  const today = new Set(
    alike.filter(isClient).flatMap(({ name, authenticator }) => (authenticators.includes(authenticator) ? name : [])),
  );
  const last = words.pop();
  if (last === undefined) return [];
  const shown = [...today].slice(0, maxNamed).join(', ');
  const more = today.size > maxNamed ? ` and ${today.size - maxNamed} more` : '';
  return [...words, today.size === 0 ? last : `${last} (today ${shown}${more})`];
}

/** The items of a route in words, the methods of a path together. */
export function nameItems(items: readonly AccessItem[]): string[] {
  const names = Map.groupBy(items, ({ kind, name }) =>
    kind === 'path' ? name.slice(name.indexOf(' ')) : `${kind} ${name}`,
  );
  return [...names].map(([path, alike]) => {
    const [{ kind, name }] = alike as [AccessItem];
    if (kind === 'path') return alike.map((item) => item.name.split(' ', 1)[0]).join('|') + path;
    if (name === '*') return `any other ${kind}`;
    return kind === 'tool' ? name : `${kind} ${name}`;
  });
}
