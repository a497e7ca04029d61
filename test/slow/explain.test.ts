// An explanation comes to what `decide` decides, on 100,000 random policies, callers and calls.
import t from 'tap';
import { checkAgreement } from '../policy/explain-property.ts';

t.test('explain agrees with decide on 100,000 random policies, callers and calls', (t) => {
  for (const [what, count] of Object.entries(checkAgreement(100_000))) t.ok(count > 100, `${what}: ${count}`);
  t.end();
});
