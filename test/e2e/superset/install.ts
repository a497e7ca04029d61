// Software of the run, installed once and kept: Superset in a virtual environment, its filled database, and Keycloak.
import { spawnSync } from 'node:child_process';
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCache, demand, type Installed } from '../clients/cache.ts';

export interface Software {
  /** The folder of the virtual environment's commands. */
  readonly bin: string;
  readonly keycloak: string;
}

export interface Installation extends Software {
  /** A filled metadata database and the warehouse that it names; copied for each run. */
  readonly home: string;
  /** A database of Keycloak that holds the realm; copied for each run. */
  readonly realm: string;
}

/** `server.publicUrl` of deploy/superset/gateway.yaml. */
export const publicUrl = 'https://mcp.example.com';
/** Of Keycloak, for what the tests do to the realm. */
export const administrator = { username: 'admin', password: 'admin-of-the-tests' };
export const repository = join(import.meta.dirname, '../../..');
/** The newest that runs on Java 17. */
const keycloakVersion = '26.7.3';
const unpacked = `keycloak-${keycloakVersion}`;
/** Now, so that it need not build at each start. */
const keycloakBuild = ['build', '--db=dev-file', '--cache=local'];
const constraints = join(repository, 'deploy/superset/constraints.txt');
const fillingKey = 'only-for-tests-only-for-tests-only-for-tests';

/** Throws an Error that says what the machine lacks. The first time takes minutes. */
export function installSoftware(say: (line: string) => void): Software {
  const installed = createCache('portcullis-superset');
  const python = findPython();
  demand('java', ['-version'], wants('java'));
  demand('mvn', ['-version'], wants('mvn'));
  const environment = installed(`venv-${digest(constraints)}`, (folder) => {
    say('installing apache-superset 6.1.0 (once)');
    demand(
      python,
      ['-m', 'venv', folder],
      'python3.11 cannot make a virtual environment (Debian: install python3-venv)',
    );
    const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--prefer-binary'];
    demand(join(folder, 'bin/python'), [...pip, '-r', constraints], 'pip cannot install apache-superset 6.1.0');
  });
  return { bin: join(environment, 'bin'), keycloak: installKeycloak(installed, python, say) };
}

/** Throws an Error where a command of Superset or Keycloak fails, which is never the machine's fault. */
export function prepareDatabases(software: Software, say: (line: string) => void): Installation {
  const seed = join(import.meta.dirname, 'seed.py');
  const command = (name: string) => join(software.bin, name);
  const home = createCache('portcullis-superset')(`home-${digest(constraints, seed)}`, (folder) => {
    say('filling the metadata database of Superset and a warehouse (once)');
    const env = {
      SUPERSET_CONFIG_PATH: join(import.meta.dirname, 'superset_config.py'),
      SUPERSET_STOCK: '1',
      SUPERSET_SECRET_KEY: fillingKey,
      SUPERSET_DATABASE_URI: `sqlite:///${folder}/superset.db`,
    };
    demand(command('superset'), ['db', 'upgrade'], 'superset db upgrade failed', undefined, env);
    demand(command('superset'), ['init'], 'superset init failed', undefined, env);
    demand(command('python'), [seed, folder], 'the database of Superset could not be filled', undefined, env);
  });
  return { ...software, home, realm: importRealm(software, say) };
}

function importRealm({ keycloak }: Software, say: (line: string) => void): string {
  const file = join(import.meta.dirname, 'realm.json');
  return createCache('portcullis-superset')(`realm-${keycloakVersion}-${digest(file)}`, (folder) => {
    say('importing the realm into Keycloak (once)');
    const args = [join(keycloak, 'bin/kc.sh'), 'import', '--optimized', `--file=${file}`, keycloakDatabase(folder)];
    demand('bash', args, 'the realm could not be imported', undefined, {
      GATEWAY_ORIGIN: publicUrl,
      KC_BOOTSTRAP_ADMIN_USERNAME: administrator.username,
      KC_BOOTSTRAP_ADMIN_PASSWORD: administrator.password,
    });
  });
}

/** The option that puts Keycloak's database into a folder. */
export function keycloakDatabase(folder: string): string {
  return `--db-url=jdbc:h2:file:${join(folder, 'keycloak')};NON_KEYWORDS=VALUE;DB_CLOSE_ON_EXIT=FALSE`;
}

/** 3.11 is what the constraints were resolved for. */
function findPython(): string {
  const isRight = ['-c', 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'];
  for (const name of ['python3.11', 'python3']) if (spawnSync(name, isRight).status === 0) return name;
  throw new Error(wants('python3.11'));
}

function installKeycloak(installed: Installed, python: string, say: (line: string) => void): string {
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
    demand(python, ['-m', 'zipfile', '-e', archive, target], 'the archive of Keycloak cannot be unpacked');
    demand(
      'bash',
      [join(target, unpacked, 'bin/kc.sh'), ...keycloakBuild],
      'Keycloak cannot be built; it needs java 17',
    );
  });
  return join(folder, unpacked);
}

function wants(what: string): string {
  return `${what} is missing; python3.11 with venv, java 17 or newer and mvn are needed`;
}

function digest(...files: readonly string[]): string {
  return hash('sha256', files.map((file) => readFileSync(file, 'utf8')).join('\n')).slice(0, 12);
}
