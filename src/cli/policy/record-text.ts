// Explanation of a recorded request as text for people.
import { messageWords } from '../../audit/reading/record.ts';
import { printable } from '../../printable.ts';
import type { RecordExplanation } from '../../review/explain/explain-record.ts';
import { heading, type Paint, type Writer, writeCredentials, writeDecision, writeRoutes } from './explanation-text.ts';

/** The explanation in sections: the record, its caller, the rules, and both decisions. */
export function recordText(explanation: RecordExplanation, paint: Paint): string {
  const writer: Writer = { paint, lines: [] };
  const { lines } = writer;
  const { caller, decision, record, refused, routes, unknown } = explanation;
  const { client, http, id, time } = record;
  const request = [http?.method, http?.path, messageWords(record), client && `from ${client.address}`]
    .filter(Boolean)
    .join(' ');
  lines.push(`${printable(id)}  ${printable(request)} at ${time}`);
  const credentials = (record.credentials ?? []).map(({ authenticator, id: credential, kind }) => ({
    kind: kind as 'access token',
    state: 'stated' as const,
    authenticator,
    id: credential,
    reason: undefined,
    why: 'as recorded; the credential itself is not in the record',
    facts: {},
  }));
  writeCredentials({ caller, credentials }, writer);
  writeRoutes({ code: refused ?? 'not found', routes }, writer);
  if (decision !== undefined) writeDecision(decision, writer);
  heading(writer, 'Then and now');
  lines.push(`  then  ${thenText(explanation)}`, `  now   ${nowText(explanation, paint)}`);
  lines.push(`  ${configurationText(explanation)}`);
  if (unknown.length > 0)
    lines.push(
      `  not in the record: ${unknown.join(', ')}; a test above that reads this has no answer here, and is shown as an error`,
    );
  return `${lines.join('\n')}\n`;
}

function thenText({ record, then }: RecordExplanation): string {
  const { reason, rule, scopes, status } = record;
  const missing =
    scopes === undefined || scopes.missing.length === 0 ? undefined : `missing ${scopes.missing.join(' ')}`;
  const parts = [then.kind, rule && `by rule ${rule}`, reason, missing, status && `HTTP ${status}`];
  return printable(parts.filter(Boolean).join(', '));
}

function nowText({ now }: RecordExplanation, paint: Paint): string {
  if (now === undefined) return 'the record tells of no decision';
  if (now.kind === 'unknown') return paint('yellow', `cannot be told: it depends on ${printable(now.lacking)}`);
  const parts = [now.kind, now.rule && `by rule ${now.rule}`, now.reason];
  return paint(now.kind === 'allow' ? 'green' : 'red', printable(parts.filter(Boolean).join(', ')));
}

function configurationText({ isSamePolicy, policy, record }: RecordExplanation): string {
  if (isSamePolicy === undefined)
    return 'files of this configuration are not at hand, so it cannot be told if it is that of the record';
  if (isSamePolicy) return 'the configuration is that of the record';
  return `another configuration: ${policy.slice(0, 12)} now, ${printable(record.policy.slice(0, 12))} then`;
}
