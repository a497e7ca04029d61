// What the run needs of this machine, installed once and kept: Superset in a virtual environment, its filled database, and Keycloak.
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCache, demand } from '../clients/cache.ts';

export interface Installation {
  /** The folder of the virtual environment's commands. */
  readonly bin: string;
  /** A filled metadata database and the warehouse that it names; copied for each run. */
  readonly home: string;
  readonly keycloak: string;
}

export const repository = join(import.meta.dirname, '../../..');
/** The newest that runs on Java 17. */
const keycloakVersion = '26.7.3';
/** The same for building and running, or Keycloak would build again at each start. */
const keycloakBuild = ['build', '--db=dev-file', '--cache=local'];
const fillingKey = 'only-for-tests-only-for-tests-only-for-tests';

/** Throws an Error that says what the machine lacks. The first time takes minutes. */
export function install(say: (line: string) => void): Installation {
  const installed = createCache('portcullis-superset');
  const constraints = join(repository, 'deploy/superset/constraints.txt');
  const seed = join(import.meta.dirname, 'seed.py');
  const config = join(import.meta.dirname, 'superset_config.py');
  demand(
    'python3',
    ['-c', 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))'],
    wants('python3.11'),
  );
  demand('java', ['-version'], wants('java 17'));
  demand('mvn', ['-version'], wants('mvn'));

  const environment = installed(`venv-${digest(constraints)}`, (folder) => {
    say('installing apache-superset 6.1.0 (once)');
    demand(
      'python3',
      ['-m', 'venv', folder],
      'python3 cannot make a virtual environment (Debian: install python3-venv)',
    );
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--prefer-binary'];
    demand(join(folder, 'bin/python'), [...pip, '-r', constraints], 'pip cannot install apache-superset 6.1.0');
  });
  const bin = join(environment, 'bin');
  const home = installed(`home-${digest(constraints, seed)}`, (folder) => {
    say('filling its metadata database and a warehouse (once)');
    const env = {
      SUPERSET_CONFIG_PATH: config,
      SUPERSET_STOCK: '1',
      SUPERSET_SECRET_KEY: fillingKey,
      SUPERSET_DATABASE_URI: `sqlite:///${folder}/superset.db`,
    };
    demand(join(bin, 'superset'), ['db', 'upgrade'], 'superset db upgrade failed', undefined, env);
    demand(join(bin, 'superset'), ['init'], 'superset init failed', undefined, env);
    demand(join(bin, 'python'), [seed, folder], 'the database of Superset could not be filled', undefined, env);
  });
  return { bin, home, keycloak: installKeycloak(installed, say) };
}

function installKeycloak(installed: ReturnType<typeof createCache>, say: (line: string) => void): string {
  const folder = installed(`keycloak-${keycloakVersion}`, (target) => {
    say(`installing Keycloak ${keycloakVersion} (once)`);
    demand(
      'mvn',
      [
        '--quiet',
        '--batch-mode',
        'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy',
        `-Dartifact=org.keycloak:keycloak-quarkus-dist:${keycloakVersion}:zip`,
        `-DoutputDirectory=${target}`,
      ],
      `mvn cannot fetch org.keycloak:keycloak-quarkus-dist:${keycloakVersion}`,
    );
    const archive = join(target, `keycloak-quarkus-dist-${keycloakVersion}.zip`);
    demand('python3', ['-m', 'zipfile', '-e', archive, target], 'the archive of Keycloak cannot be unpacked');
    demand(
      'bash',
      [join(target, unpacked, 'bin/kc.sh'), ...keycloakBuild],
      'Keycloak cannot be built; it needs java 17',
    );
  });
  return join(folder, unpacked);
}

const unpacked = `keycloak-${keycloakVersion}`;

function wants(what: string): string {
  return `${what} is missing; python3.11 with venv, java 17 or newer and mvn are needed`;
}

function digest(...files: readonly string[]): string {
  return hash('sha256', files.map((file) => readFileSync(file, 'utf8')).join('\n')).slice(0, 12);
}
