// The configuration of deploy/superset, which loads without a warning.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { supersetFiles } from './example-files.ts';
import { loadText } from './support.ts';

const folder = join(import.meta.dirname, '../../deploy/superset');

t.test(
  'the configuration for Superset is valid, and its assertions are those that superset_config.py expects',
  async (t) => {
    const { config, warnings } = await loadText(t.testdir(), readFileSync(join(folder, 'gateway.yaml'), 'utf8'), {
      files: await supersetFiles(),
    });
    t.same(
      warnings.map(({ path, message }) => `${path}: ${message}`),
      [],
    );
    const python = readFileSync(join(folder, 'superset_config.py'), 'utf8');
    for (const { identity, probe } of Object.values(config.upstreams)) {
      t.ok(python.includes(`audience="${identity.assertion?.audience}"`));
      t.equal(identity.assertion?.algorithm, 'ES256', 'what portcullis_superset.py takes by default');
      t.ok(probe);
    }
  },
);
