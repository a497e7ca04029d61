// The access of a caller is open for a call exactly if `decide` allows it, on 20,000 random policies, callers and calls.
import t from 'tap';
import { checkAgreement } from '../policy/access-property.ts';

t.test('who-can agrees with decide on 20,000 random policies, callers and calls', (t) => {
  for (const [what, count] of Object.entries(checkAgreement(20_000))) t.ok(count > 100, `${what}: ${count}`);
  t.end();
});
