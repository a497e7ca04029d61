// Steps of deploy/Dockerfile in plain directories, one a stage. Base images are stand-ins with what the stages take from them.
import { strict as assert } from 'node:assert';
import { createHash, type Hash } from 'node:crypto';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, realpathSync, renameSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cache, forget, root, run } from './tools.ts';

interface Step {
  readonly Instruction: string;
  readonly Words?: readonly string[];
  readonly Shell?: boolean;
  readonly From?: string;
  readonly Owner?: string;
  readonly Mode?: string;
  readonly Pairs?: Readonly<Record<string, string>>;
}

/** The last stage after all its steps. */
export interface Image {
  readonly root: string;
  readonly labels: Record<string, string>;
  readonly env: Record<string, string>;
  user: string;
  workdir: string;
  entrypoint: readonly string[];
  command: readonly string[];
  healthCheck: readonly string[];
  /** Everything that the first RUN depends on. */
  readonly inputs: Hash;
  ran: boolean;
}

type Read = (what: string, files: readonly string[]) => unknown;

/** Refuses what BuildKit's checks refuse, then runs every stage below `folder`. */
export function buildStages(read: Read, folder: string): Image {
  const stages = read('dockerfile', ['deploy/Dockerfile']) as { Name: string; Base: string; Steps: readonly Step[] }[];
  const context = read('context', [root]) as string[];
  const built = new Map<string, Image>();
  let last: Image | undefined;
  for (const { Name, Base, Steps } of stages) {
    last = fromBase(Base, join(folder, Name || 'image'));
    for (const step of Steps) takeStep(last, step, context, built);
    built.set(Name, last);
  }
  return last!;
}

/** A stand-in for a base image. Throws where nobody has said what stands in for it. */
function fromBase(name: string, folder: string): Image {
  const image = {
    root: folder,
    labels: {},
    env: {},
    user: '0',
    workdir: '/',
    entrypoint: [],
    command: [],
    healthCheck: [],
    inputs: createHash('sha256').update(name),
    ran: false,
  };
  mkdirSync(join(folder, 'tmp'), { recursive: true });
  if (name === `node:${process.versions.node}-trixie-slim`) {
    copyInto(folder, 'usr/local/bin/node', realpathSync(process.execPath));
  } else if (name === 'gcr.io/distroless/cc-debian13:nonroot') {
    // What Node is linked with: all of it is glibc, libgcc and libstdc++, which that image holds.
    for (const [, library] of run('ldd', [process.execPath]).matchAll(/(\/lib\S+)/g)) {
      assert.match(basename(library!), /^(lib(dl|m|c|pthread)|libstdc\+\+|libgcc_s|ld-linux-.*)\.so\.\d$/);
      copyInto(folder, library!, realpathSync(library!));
    }
  } else throw new Error(`the base image ${name} is none that is known here; Node is ${process.versions.node}`);
  return image;
}

function takeStep(image: Image, step: Step, context: readonly string[], built: ReadonlyMap<string, Image>): void {
  const { Words = [], Pairs = {} } = step;
  switch (step.Instruction.toUpperCase()) {
    case 'WORKDIR':
      image.workdir = Words[0]!;
      mkdirSync(join(image.root, image.workdir), { recursive: true });
      return;
    case 'COPY':
      assert.equal(step.Mode, undefined, 'COPY with a mode is not understood here');
      if (step.From === undefined) copyContext(image, Words, context);
      else copyStage(image, Words, built.get(step.From)!, step.Owner);
      return;
    case 'RUN':
      assert.ok(step.Shell, 'RUN without a shell is not understood here');
      runOnce(image, Words.join(' '));
      return;
    case 'LABEL':
      Object.assign(image.labels, Pairs);
      return;
    case 'ENV':
      Object.assign(image.env, Pairs);
      return;
    case 'USER':
      image.user = Words[0]!;
      return;
    case 'ENTRYPOINT':
      image.entrypoint = Words;
      return;
    case 'CMD':
      image.command = Words;
      return;
    case 'HEALTHCHECK':
      image.healthCheck = Words;
      return;
    case 'ARG':
    case 'EXPOSE':
    case 'STOPSIGNAL':
      return;
    default:
      throw new Error(`${step.Instruction} is not understood here`);
  }
}

/**
 * As container engines do, the first RUN of a stage is taken from the cache while nothing before it has changed: it installs
 * the dependencies, and takes most of the time.
 */
function runOnce(image: Image, line: string): void {
  const kept = image.ran ? undefined : join(cache, `layer-${image.inputs.update(line).digest('hex').slice(0, 16)}`);
  image.ran = true;
  if (kept === undefined || !existsSync(kept)) {
    const path = `${join(image.root, 'usr/local/bin')}:${process.env.PATH}`;
    const cwd = join(image.root, image.workdir);
    run('sh', ['-c', line], { cwd, env: { ...process.env, ...image.env, PATH: path } });
    if (kept === undefined) return;
    mkdirSync(cache, { recursive: true });
    forget('layer-');
    run('cp', ['-a', image.root, `${kept}.new`]);
    renameSync(`${kept}.new`, kept);
  } else {
    run('cp', ['-aT', kept, image.root]);
  }
}

/** From the build context, of which `.dockerignore` has left only these files. */
function copyContext(image: Image, words: readonly string[], context: readonly string[]): void {
  const target = words.at(-1)!;
  for (const source of words.slice(0, -1)) {
    const files = context.filter((file) => file === source || file.startsWith(`${source}/`));
    assert.ok(files.length > 0, `COPY ${source}: .dockerignore has left nothing of it`);
    for (const file of files) {
      const name = file === source ? basename(file) : file.slice(source.length + 1);
      const isFolder = target.endsWith('/') || file !== source;
      const to = join(image.workdir, target, isFolder ? name : '');
      if (!image.ran) image.inputs.update(to).update(readFileSync(join(root, file)));
      copyInto(image.root, to, join(root, file));
    }
  }
}

function copyStage(image: Image, words: readonly string[], from: Image, owner = '0:0'): void {
  const target = words.at(-1)!;
  for (const word of words.slice(0, -1)) {
    const source = join(from.root, word);
    const to = target.startsWith('/') ? target : join(image.workdir, target);
    const isFolder = target.endsWith('/') && statSync(source).isFile();
    const destination = join(image.root, to, isFolder ? basename(source) : '');
    cpSync(source, destination, { recursive: true, verbatimSymlinks: true });
    run('chown', ['-R', owner, destination]);
  }
}

function copyInto(folder: string, name: string, source: string): void {
  const target = join(folder, name);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(source, target);
}
