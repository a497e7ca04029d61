// Steps of an explanation: verdict, credentials, routes, each rule, limits, upstream and answer.
import type { PartReading, RuleReading } from '../../policy/explain.ts';
import type { CredentialReading } from '../../review/explain/credential-reading.ts';
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
import type { RequestExplanation, RouteReading } from '../../review/explain/request-explanation.ts';
import { fitting, type Html, html, type Value } from '../html/html.ts';
import { badge, code, facts, hash, shorten } from '../html/parts.ts';
import type { ExplanationFacts } from './facts.ts';

type Explained = Extract<ExplanationFacts, { readonly explanation: RequestExplanation }>;

/** The whole walk. */
export function explanationSteps({ explanation, notReached }: Explained): Html {
  const {
    allowed,
    answer,
    at,
    caller,
    code: refusal,
    credentials,
    decision,
    from,
    limits,
    notes,
    policy,
    reason,
    request,
    routes,
    upstream,
  } = explanation;
  const why = refusal === undefined ? '' : `: ${refusalWords({ code: refusal, reason })}`;
  return html`<section class="card answer ${allowed ? 'good' : 'bad'}" id="answer" aria-live="polite"><h2>${allowed ? 'Allowed' : `Refused${why}`}</h2>
<p>${code(`${request.method} ${request.path}`)} from ${from} at ${at}, by policy ${hash(policy)}</p></section>
<ol class="steps">
${step('Credentials', html`${credentials.length === 0 ? html`<p>none</p>` : credentials.map(credentialOf)}${caller !== undefined && callerOf(caller)}`)}
${step('Routes', routeList(routes, refusal))}
${decision !== undefined && partsOf(decision.parts, notReached)}
${decision !== undefined && decision.parts.length > 1 && step('Together', html`<p>${shorten(decisionWords(decision.decision), 1000)}</p>`)}
${limits.length > 0 && step('Limits', limitList(limits))}
${step('Upstream', upstreamOf(upstream))}
${step('Answer', answer === undefined ? html`<p>that of the upstream</p>` : html`<p>HTTP ${answer.status}</p>${headersOf(Object.entries(answer.headers))}<pre tabindex="0" aria-label="Body of the answer">${shorten(answer.body, 4000)}</pre>`)}
</ol>${notes.map((note) => html`<p class="empty">${note}</p>`)}`;
}

function limitList(limits: RequestExplanation['limits']): Html {
  const lineOf = ({ bucket, name, size }: RequestExplanation['limits'][number]): Html => {
    const values = Object.entries(bucket).map(([key, value]) => `${key} ${value ?? 'none'}`);
    return html`<p>${code(name)} ${size}, counted for ${shorten(values.join(', '), 1000)}</p>`;
  };
  const shown = fitting(limits, stepBytes, lineOf);
  const left = limits.length - shown.length;
  return html`${shown.map(lineOf)}${left > 0 && html`<p class="muted">${left === 1 ? '1 more limit' : `${left} more limits`}; <code>portcullis explain</code> shows each</p>`}`;
}

/** A step with its heading. */
export function step(title: string, body: Value): Html {
  return html`<li><h3>${title}</h3>${body}</li>\n`;
}

/** A sign with its word for who does not see it. */
function mark(state: boolean | undefined): Html {
  const [sign, word, tone] =
    state === undefined ? ['–', 'not', 'muted'] : state ? ['✓', 'met', 'ok'] : ['✗', 'unmet', 'ko'];
  return html`<span class="sign ${tone}"><span aria-hidden="true">${sign}</span><span class="hidden">${word}</span></span>`;
}

function credentialOf({ authenticator, facts: stated, id, kind, state, why }: CredentialReading): Html {
  const texts = Object.entries(stated).map(([name, value]) => `${name} ${value}`);
  return html`<p>${mark(countsByState[state])} ${kind}${authenticator !== undefined && html` of ${code(authenticator)}`}${id !== undefined && html` ${code(shorten(id))}`}: ${why}${texts.length > 0 && html`<br><span class="muted">${texts.join('; ')}</span>`}</p>`;
}

/** The caller that the credentials make. */
export function callerOf({
  authenticatedBy,
  claims,
  clientId,
  method,
  scopes,
  senderConstrained,
  subject,
}: NonNullable<RequestExplanation['caller']>): Html {
  return facts([
    ['Client', clientId ?? 'none'],
    ['Subject', subject],
    ['By', `${method} (${authenticatedBy.join(' and ')})${senderConstrained ? ', sender-constrained' : ''}`],
    ['Scopes', shorten(scopes.join(' '), 1000) || 'none'],
    ...(Object.keys(claims).length === 0 ? [] : [['Claims', shorten(JSON.stringify(claims))] as const]),
  ]);
}

/** Bytes of the routes that did not match, and of the limits. */
const stepBytes = 6000;

/** The routes that were looked at: the first ones, and the one that matched. */
export function routeList(routes: readonly RouteReading[], refusal: string | undefined): Html {
  const words = ({ methods, outcome }: RouteReading): string =>
    ({ matched: 'matches', other_path: 'another path', other_method: `takes ${methods?.join(', ')} only` })[outcome];
  const lineOf = (route: RouteReading): Html =>
    html`<li>${mark(route.outcome === 'matched' || undefined)} ${route.name} ${code(route.path)} <span class="muted">${words(route)}</span></li>\n`;
  const matched = routes.filter(({ outcome }) => outcome === 'matched');
  const others = routes.filter((route) => !matched.includes(route));
  const shown = fitting(others, stepBytes, lineOf);
  const left = others.length - shown.length;
  return html`<ul class="plain">${shown.map(lineOf)}${left > 0 && html`<li class="muted">${left === 1 ? '1 more route' : `${left} more routes`} did not match; <code>portcullis explain</code> shows each</li>`}${matched.map(lineOf)}${
    matched.length === 0 && html`<li>${mark(false)} no route: ${refusal}</li>`
  }</ul>`;
}

/** Rules that are shown though they did not match. */
const maxMismatches = 100;
/** Of the rules of all parts that are shown. A page may have two walks. */
const walkBytes = { matched: 6000, mismatches: 20_000 };
/** The caller decides how many parts a message has: each resource that it names is two. */
const maxParts = 3;

/** The rules for the parts of a message. Of many parts a few are shown, first of all those that are not allowed. */
export function partsOf(parts: readonly PartReading[], notReached: readonly number[]): Html {
  const refused = parts.filter(({ decision }) => !decision.allow);
  const allowed = parts.filter(({ decision }) => decision.allow);
  const shown = new Set([...refused, ...allowed].slice(0, maxParts));
  const left = parts.length - shown.size;
  return html`${parts.map((part, index) => shown.has(part) && partOf(part, notReached[index] ?? 0, shown.size))}${
    left > 0 &&
    step(
      left === 1 ? '1 more part of the message' : `${left} more parts of the message`,
      html`<p class="muted"><code>portcullis explain</code> shows each</p>`,
    )
  }`;
}

/** The rules for one of some parts: the first ones, and each that matched. */
function partOf(
  { decision, method, otherwise, rules, target, via }: PartReading,
  notReached: number,
  parts: number,
): Html {
  const of =
    method === undefined
      ? ''
      : ` for ${method}${target === undefined ? '' : ` ${shorten(target.name)}`}${via === undefined ? '' : ` through ${shorten(via)}`}`;
  const matched = rules.filter((rule) => mismatchWords(rule, shorten) === undefined);
  // The governing one is the last of them.
  const matchedShown = fitting(matched.toReversed(), walkBytes.matched / parts, ruleOf);
  const mismatches = rules.slice(0, maxMismatches).filter((rule) => !matched.includes(rule));
  const chosen = new Set([...matchedShown, ...fitting(mismatches, walkBytes.mismatches / parts, ruleOf)]);
  const shown = rules.filter((rule) => chosen.has(rule));
  const left = rules.length - shown.length;
  return step(
    `Rules${of}`,
    html`<ol class="walk">${shown.map(ruleOf)}</ol>
${left > 0 && html`<p class="muted">${left === 1 ? '1 more rule' : `${left} more rules`} ${matchedShown.length === matched.length ? 'did not match' : 'did not decide'}; <code>portcullis explain</code> shows each</p>`}
${notReached > 0 && html`<p class="muted">${notReached === 1 ? '1 rule' : `${notReached} rules`} behind it not reached</p>`}
${otherwise !== undefined && html`<p>${mark(decision.allow)} ${otherwiseWords[otherwise]}</p>`}
<p><strong>${rules.some((rule) => rule.mode === 'enforce' && isUntold(rule)) ? 'cannot be told from the record' : shorten(decisionWords(decision), 1000)}</strong></p>`,
  );
}

function ruleOf(reading: RuleReading): Html {
  const { decision, demands, effect, mode, rule, selectors, when } = reading;
  const title = html`${code(rule)} ${effect}${mode === 'report' && html` ${badge('report only', 'warn')}`}`;
  const mismatch = mismatchWords(reading, shorten);
  if (mismatch !== undefined)
    return html`<li>${mark(undefined)} ${title} <span class="muted">no match: ${shorten(mismatch, 400)}</span></li>\n`;
  return html`<li class="governs">${mark(decision?.allow === true)} ${title} <strong>${outcomeWords(reading)}</strong>
<ul class="plain">${selectors.map((each) => html`<li>${mark(each.matches === true)} ${selectorWords(each, shorten)}</li>`)}${
    when !== undefined && html`<li>${mark(when.result === true)} ${shorten(conditionWords(when), 1000)}</li>`
  }${demands.map((each) => html`<li>${mark(each.met)} requires ${shorten(demandWords(each), 1000)}</li>`)}</ul></li>\n`;
}

function upstreamOf(upstream: RequestExplanation['upstream']): Html {
  if (upstream === undefined) return html`<p>gets nothing</p>`;
  const { assertion, headers, method, name, url } = upstream;
  return html`<p>${name} gets ${code(`${method} ${url}`)}</p>${headersOf(headers)}${
    assertion !== undefined &&
    html`<p>assertion ${code(shorten(JSON.stringify(assertion), 2000))}, with iat, exp and jti</p>`
  }`;
}

function headersOf(headers: readonly (readonly [string, string])[]): Html {
  return html`<ul class="plain headers">${headers.map(([name, value]) => html`<li>${code(`${name}: ${shorten(value, 1000)}`)}</li>`)}</ul>`;
}
