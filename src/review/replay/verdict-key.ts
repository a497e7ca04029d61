// Keys of verdicts: equal for recorded requests that differ in nothing that the new policy looks at.
import { hash } from 'node:crypto';
import { type AuditRecord, timeOf } from '../../audit/reading/record.ts';
import type { PolicyFile } from '../policy-file.ts';
import { isOfIdentity, type ReadDecision } from './recorded-decision.ts';
import { digestOfNone } from './recorded-message.ts';

/** The key of a record, of the same few bytes whatever names it has; undefined where its verdict is its own. */
export type VerdictKey = (record: AuditRecord, then: ReadDecision) => string | undefined;

/** Compiles the keys of a policy file. Facts that none of its rules, keys and lists looks at are left out. */
export function verdictKeys({ loaded, snapshot }: PolicyFile): VerdictKey {
  const rules = snapshot.routes.flatMap(({ policy }) => policy.rules);
  const names = new Set(rules.flatMap(({ require, when }) => [...(when?.names ?? []), ...(require.when?.names ?? [])]));
  const selectors = rules.flatMap((rule) => rule.selectors);
  const keys = Object.values(loaded.config.authenticators).flatMap((each) =>
    each.type === 'apiKey' ? [each.sunset, ...(each.keys ?? []).flatMap((key) => [key.notBefore, key.expires])] : [],
  );
  const networks = Object.values(loaded.config.authenticators).some(
    (each) => each.type === 'apiKey' && each.keys?.some((key) => key.networks !== undefined),
  );
  const { list } = loaded.revocations ?? {};
  const metaTools = new Set(snapshot.routes.flatMap(({ policy }) => [...policy.metaTools.calls.keys()]));
  const looksAtAddress =
    networks || names.has('request') || selectors.some(({ reaches }) => reaches?.some((reach) => 'network' in reach));
  const looksAtSubject = names.has('principal') || list !== undefined;
  const looksAtArguments = names.has('args');
  const instants = [...keys, list?.entries.issuedBefore].filter((each) => each !== undefined).sort((a, b) => a - b);

  return (record, then) => {
    const { client, credentials, detail, http, mcp, principal, rule, scopes } = record;
    const isTold = typeof mcp?.arguments === 'object';
    if (isTold && (looksAtArguments || (mcp?.tool !== undefined && metaTools.has(mcp.tool)))) return undefined;
    if (isOfIdentity(record)) return undefined;
    const isToken = principal?.kind === 'oauth';
    const time = timeOf(record);
    const facts = JSON.stringify([
      then,
      // Members that are known from then.
      then.kind === 'allow' && (rule === 'open' || mcp?.method === 'subscriptions/listen'),
      Object(detail).message,
      http,
      client === undefined || (looksAtAddress ? client.address : ''),
      principal && {
        ...principal,
        subject: looksAtSubject || !isToken ? principal.subject : principal.subject === undefined,
        credentialId: list !== undefined || !isToken ? principal.credentialId : undefined,
      },
      credentials?.map(({ authenticator, id, kind }) => [kind, authenticator, kind === 'client-certificate' && id]),
      scopes && [scopes.granted, Object.hasOwn(scopes, 'grantedDigest')],
      mcp && { ...mcp, arguments: isTold ? 'told' : mcp.arguments === digestOfNone },
      instants.filter((instant) => instant <= time).length,
    ]);
    return hash('sha256', facts, 'base64');
  };
}
