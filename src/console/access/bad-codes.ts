// Rate limit of log-ins by address: authorization codes that the identity provider does not know.
import { createBoundedCache } from '../../bounded-cache.ts';
import { rateLimited } from '../../gateway/request/error-response.ts';

/** Of one address in a minute. */
const maxBadCodes = 30;
const badCodesForMs = 60_000;

/** Creates an empty memory. Other refusals of an address do not count: they keep nobody there from logging in. */
export function createBadCodes(now: () => number) {
  const byAddress = createBoundedCache<{ readonly until: number; count: number }>({ entries: 1000 });
  const current = (address: string) => {
    const found = byAddress.get(address);
    return found !== undefined && now() < found.until ? found : undefined;
  };
  return {
    /** Throws `rate_limited` for an address that has used up its rate. */
    check(address: string): void {
      if ((current(address)?.count ?? 0) >= maxBadCodes) throw rateLimited();
    },
    count(address: string): void {
      const bad = current(address);
      if (bad === undefined) byAddress.set(address, { until: now() + badCodesForMs, count: 1 });
      else bad.count += 1;
    },
  };
}
