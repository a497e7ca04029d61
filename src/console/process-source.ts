// Console source of this gateway process, made of its parts.
import type { RunningParts } from '../gateway/admin/admin-source.ts';
import { accessFacts } from './access/facts.ts';
import { connectFacts } from './connect/facts.ts';
import { credentialFacts } from './credentials/facts.ts';
import { decisionsFacts } from './decisions/facts.ts';
import { overviewFacts } from './overview/facts.ts';
import { policyFacts } from './policy/facts.ts';
import type { ConsoleSource } from './source.ts';
import { streamsFacts } from './streams/facts.ts';

/** Creates the source. Its memory is kept as long as the process runs. */
export function createProcessSource(parts: RunningParts): ConsoleSource {
  return {
    ...accessFacts(parts),
    ...overviewFacts(parts),
    ...decisionsFacts(parts),
    ...policyFacts(parts),
    ...credentialFacts(parts),
    ...streamsFacts(parts),
    ...connectFacts(parts),
  };
}
