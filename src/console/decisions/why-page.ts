// Page of one decision: the facts of its record, the rules that were walked, and the same request under another policy.
import { type AuditRecord, messageWords } from '../../audit/reading/record.ts';
import type { ReadDecision } from '../../review/replay/recorded-decision.ts';
import type { Verdict } from '../../review/replay/replay.ts';
import { failure } from '../failure.ts';
import { fitting, type Html, html, type Value } from '../html/html.ts';
import { badge, card, code, facts, hash, shorten, table } from '../html/parts.ts';
import { pathOf, workerField } from '../links.ts';
import type { ConsolePage } from '../page.ts';
import { callerOf, partsOf, routeList, step } from '../policy/explanation-steps.ts';
import type { RecordReading, Untried } from './reading.ts';
import type { DecisionFacts, Under } from './why-facts.ts';

const underWords: Readonly<Record<Under, string>> = {
  file: 'the file as it is on the disk',
  shadow: 'the shadow',
};

/** One decision, by the id of its request. */
export const why: Pick<ConsolePage, 'path' | 'name' | 'render'> = {
  path: '/decisions/:id',
  name: 'Decision',
  async render({ params, query, source, worker }) {
    const id = params.id ?? '';
    const under = underIn(query);
    const found = await source.decision({ id, ...(under !== undefined && { under }) });
    const back = pathOf('/decisions', { worker });
    if (found === undefined) {
      const message = `The records of request ${id} are not in the memory of this process: they may have made room for newer ones, or be another worker's. The audit log has them: portcullis audit show ${id} FILE.`;
      throw failure(404, message);
    }
    const { choices, policy, records, tried, why } = found;
    return {
      lead: html`Request ${code(id)} · <a href="${back}">all decisions</a>`,
      styles: ['decisions.css', 'policy.css'],
      body: html`${card('Record', recordFacts(records), 'record')}
${
  why === undefined
    ? html`<p class="empty">The record tells of no request that rules could be read for.</p>`
    : html`${verdicts(found, why)}
<form class="form try" method="get" action="/decisions/${encodeURIComponent(id)}">
<label>Try it again under<select name="under">${choices.map(
        (each) => html`<option value="${each}"${each === under && html` selected`}>${underWords[each]}</option>`,
      )}</select></label>
${workerField({ worker })}
<button class="primary">Try</button></form>
<div class="grid">${card('Why: under the policy in force', walk(why), 'why')}
${under !== undefined && tried !== undefined && ('problems' in tried ? problemsOf(under, tried) : card(`Under ${underWords[under]}`, walk(tried), 'tried'))}</div>`
}
${card('Records', html`<p class="muted">As the audit log has them, without their place in its chain.</p>${records.map((record) => html`<details><summary>${record.stage}</summary><pre tabindex="0">${textOf(record, records.length)}</pre></details>`)}`, 'records')}
<p class="muted">Policy in force: ${hash(policy)}</p>`,
    };
  },
};

function underIn(query: URLSearchParams): Under | undefined {
  const under = query.get('under');
  return under === 'file' || under === 'shadow' ? under : undefined;
}

/** The first record has the decision, the last one the end. */
function recordFacts(records: readonly AuditRecord[]): Html {
  const [first] = records;
  const last = records.findLast(({ stage }) => stage === 'completed') ?? records.at(-1);
  if (first === undefined || last === undefined) return html``;
  const { client, credentials = [], cut, http, mcp, policy, principal, route, scopes, time } = first;
  const { bytes, durationMs, outcome, reason, rule, status, upstream } = last;
  const call = messageWords(first);
  const given: readonly (readonly [string, Value])[] = [
    ['Time', time ?? ''],
    [
      'From',
      client &&
        html`${client.address}${client.userAgent !== undefined && html` <span class="muted">${shorten(client.userAgent, maxFact)}</span>`}`,
    ],
    ['Client', principal?.clientId],
    ['Subject', principal?.subject],
    ['Issuer', principal?.issuer],
    [
      'Credentials',
      credentials
        .map(
          ({ authenticator, id, kind }) =>
            `${kind}${authenticator === undefined ? '' : ` of ${authenticator}`}${id === undefined ? '' : ` ${id}`}`,
        )
        .join('; '),
    ],
    ['Request', http && `${http.method} ${http.path ?? ''}`],
    ['Call', call],
    [
      'Arguments',
      cut === undefined
        ? mcp?.arguments !== undefined && shortJson(mcp.arguments)
        : 'left out, as the record is long; the audit log has it whole',
    ],
    ['Route', route],
    ['Decision', first.decision && badge(first.decision, first.decision === 'allow' ? 'good' : 'bad')],
    ['Rule', rule ?? first.rule],
    ['Reason', reason],
    ['Scopes granted', scopes?.granted.join(' ')],
    ['Scopes required', scopes?.required.join(' ')],
    ['Scopes missing', scopes?.missing.join(' ')],
    ['Outcome', outcome ?? (records.some(({ stage }) => stage === 'completed') ? '' : 'open')],
    ['Status', status],
    [
      'Upstream',
      upstream && `${upstream.name}${typeof upstream.status === 'number' ? ` answered ${upstream.status}` : ''}`,
    ],
    ['Took', typeof durationMs === 'number' && `${durationMs} ms`],
    ['Bytes', bytes],
    ['Policy', hash(policy)],
  ];
  const stated = given.filter(([, value]) => value !== undefined && value !== '' && value !== false && value !== null);
  return facts(stated.map(([name, value]) => [name, typeof value === 'string' ? shorten(value, maxFact) : value]));
}

/** The decisions side by side. */
function verdicts({ records, tried }: DecisionFacts, why: RecordReading): Html {
  const [first] = records;
  const rows: (readonly Value[])[] = [
    [
      'Then',
      hash(first?.policy ?? ''),
      recordedWords(why.then),
      first?.rule ?? '',
      records.find(({ reason }) => reason !== undefined)?.reason ?? '',
    ],
    ['Policy in force', policyOf(why), ...verdictWords(why.now)],
  ];
  if (tried !== undefined && !('problems' in tried)) rows.push(['Tried', policyOf(tried), ...verdictWords(tried.now)]);
  return html`<section class="card" id="verdicts"><h2>Then and now</h2>${table({
    caption: 'The decision then, and by the policies of now',
    isCaptionHidden: true,
    columns: ['Under', 'Policy', 'Decision', 'Rule', 'Reason'],
    rows,
  })}</section>`;
}

function policyOf({ isSamePolicy, policy }: RecordReading): Html {
  return html`${hash(policy)}${isSamePolicy === true && html` <span class="muted">that of the record</span>`}`;
}

function recordedWords(then: ReadDecision): Html {
  switch (then.kind) {
    case 'none':
      return html`none recorded`;
    case 'refused':
      return html`${badge('refused', 'bad')} before the rules: ${then.reason}`;
    default:
      return decisionBadge(then.kind);
  }
}

function verdictWords(now: Verdict | undefined): readonly [Value, Value, Value] {
  if (now === undefined) return ['–', '', ''];
  if (now.kind === 'unknown') return [html`${badge('cannot be told', 'warn')} it depends on ${now.lacking}`, '', ''];
  return [decisionBadge(now.kind), now.rule ?? '', now.reason ?? ''];
}

function decisionBadge(kind: 'allow' | 'deny'): Html {
  return badge(kind, kind === 'allow' ? 'good' : 'bad');
}

/** The walk through routes and rules. */
function walk({ caller, decision, notReached, notes, refused, routes, unknown }: RecordReading): Html {
  return html`<ol class="steps">
${caller !== undefined && step('Caller', callerOf(caller))}
${step('Routes', routeList(routes, refused ?? 'not found'))}
${refused !== undefined && step('Refused before the rules', html`<p>${code(refused)}</p>`)}
${decision !== undefined && partsOf(decision.parts, notReached)}
</ol>
${unknown.length > 0 && html`<p class="empty">Not in the record: ${unknown.join(', ')}. A test above that reads this has no answer here, and is shown as an error.</p>`}
${notes.map((note) => html`<p class="empty">${note}</p>`)}`;
}

function problemsOf(under: Under, { name, problems }: Untried): Html {
  const line = (problem: string) => html`<li>${code(shorten(problem, maxFact))}</li>`;
  const shown = fitting(problems, problemBytes, line);
  const left = problems.length - shown.length;
  return card(
    `Under ${underWords[under]}`,
    html`<p>It cannot be used: ${code(name)}</p><ul>${shown.map(line)}</ul>${left > 0 && html`<p>and ${left} more</p>`}`,
    'tried',
  );
}

/** Characters of a fact, of the arguments, and of all records. */
const maxFact = 500;
const maxArguments = 2000;
const maxRecords = 6000;
const problemBytes = 10_000;

function textOf({ seq: _, ...record }: AuditRecord, count: number): string {
  const text = JSON.stringify(record, undefined, 2);
  const whole = shorten(text, Math.ceil(maxRecords / count));
  return whole === text ? text : `${whole}\nThe whole one: portcullis audit show ${record.id} FILE`;
}

function shortJson(value: unknown): Html {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return code(shorten(text, maxArguments));
}
