// The tab key in bash, zsh and fish. zsh and fish are Debian's, unpacked and not installed.
import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianFolder } from '../deploy/tools.ts';
import { openTerminal } from './terminal.ts';

/** A word that is offered, with its description where the shell shows one. */
export type Offer = readonly [word: string, does: string | undefined];
/** The offers of a tab at the end of each line. */
export type Tab = (lines: readonly string[]) => Promise<readonly (readonly Offer[])[]>;

/** The place where the shells run. */
interface Place {
  /** For their files. */
  readonly folder: string;
  /** Their working directory, and the home of their user. */
  readonly home: string;
  /** With the command. */
  readonly path: string;
}

/** The shells by name, zsh in both ways to load the script. Throws Lacking. */
export function shellsIn(place: Place): Readonly<Record<string, Tab>> {
  const zsh = debianFolder(['zsh', 'zsh-common']);
  const inZsh = (setup: string) => inTerminal(place, `${programIn(zsh, 'zsh')} -f +Z`, setup, zshOffers);
  const functions = join(place.folder, 'functions');
  mkdirSync(functions);
  const save = `fpath=('${functions}' $fpath) && portcullis completion zsh > "\${fpath[1]}/_portcullis"`;
  return {
    bash: inTerminal(place, 'bash --norc', bashSetup, (shown) =>
      shown.split('\n').map((word): Offer => [word, undefined]),
    ),
    'zsh with a file in fpath': inZsh(zshSetup(zsh, save, '')),
    'zsh with source': inZsh(zshSetup(zsh, '', 'source <(portcullis completion zsh)')),
    fish: inFish(place),
  };
}

/** Presses the tab key behind each line. After `setup` that writes the line as `<line>…</line>` too, and empties it. */
function inTerminal(
  { folder, home, path }: Place,
  shell: string,
  setup: string,
  read: (shown: string) => Offer[],
): Tab {
  return async (lines) => {
    const file = join(folder, 'setup');
    writeFileSync(file, setup);
    const terminal = await openTerminal(shell, home, { HOME: home, PATH: path });
    try {
      await terminal.type(`. '${file}'\n`, /ready> /);
      const offered: Offer[][] = [];
      for (const line of lines)
        offered.push(offersIn(await terminal.type(`${line}\t`, /<\/line>[\s\S]*ready> /), line, read));
      return offered;
    } finally {
      await terminal.close();
    }
  };
}

/** Several words are listed below the line; a single one completes it. */
function offersIn(text: string, line: string, read: (shown: string) => Offer[]): Offer[] {
  const shown = text.slice(text.indexOf('\n') + 1, text.search(/\n?(ready> .*\n)?<line>/)).trimEnd();
  if (shown !== '') return read(shown).map(([word, does]) => [plain(word), does]);
  const after = /<line>(.*)<\/line>/.exec(text)![1]!.trimEnd();
  const last = /(?:\\.|\S)*$/.exec(after)![0].replace(/^--[\w-]+=(?=.)/, '');
  return after === line.trimEnd() ? [] : [[plain(last), undefined]];
}

/** A word without backslashes, and an option without the sign that begins its value. */
function plain(word: string): string {
  return word.replace(/(?<=^--.*)=$/, '').replace(/\\(.)/g, '$1');
}

const bashSetup = `source <(portcullis completion bash)
for setting in 'show-all-if-ambiguous on' 'page-completions off' 'completion-query-items 0' 'completion-display-width 0' 'bell-style none' 'enable-bracketed-paste off'; do
  bind "set $setting"
done
report() { printf '<line>%s</line>\\n' "$READLINE_LINE"; READLINE_LINE=; }
bind '"\\C-x1": complete'
bind -x '"\\C-x2": report'
bind '"\\t": "\\C-x1\\C-x2"'
PS1='ready> '
`;

function zshSetup(folder: string, before: string, after: string): string {
  return `module_path=('${folder}'/usr/lib/*/zsh/*(/))
fpath=('${folder}'/usr/share/zsh/functions{,/**/*}(/))
${before}
setopt zle
autoload -U compinit && compinit -u -D
${after}
LISTMAX=100000
setopt no_always_last_prompt no_beep
press() {
  zle expand-or-complete
  zle -R
  local line=$BUFFER
  zle -I
  print -r -- "<line>$line</line>"
  BUFFER=
  zle reset-prompt
}
zle -N press && bindkey '^I' press
PS1='ready> '
`;
}

/** Rows are `WORD WORD -- DESCRIPTION`, or words in columns. */
function zshOffers(shown: string): Offer[] {
  return shown.split('\n').flatMap((row) => {
    const [words, does] = row.split(/ +-- (.*)/);
    return words!
      .trimEnd()
      .split(/ {2,}/)
      .map((word): Offer => [word, does?.trimEnd()]);
  });
}

/** `complete -C` prints what a tab offers, one a line. */
function inFish({ home, path }: Place): Tab {
  const folder = debianFolder(['fish', 'fish-common', 'libpcre2-32-0']);
  const script = `set fish_function_path '${folder}/usr/share/fish/functions' $fish_function_path
portcullis completion fish | source
while read -l line
  complete -C $line
  echo '<line>'
end`;
  return async (lines) => {
    const { error, status, stderr, stdout } = spawnSync(programIn(folder, 'fish'), ['--no-config', '-c', script], {
      cwd: home,
      encoding: 'utf8',
      env: { ...process.env, HOME: home, PATH: path, LD_LIBRARY_PATH: librariesIn(folder), LC_ALL: 'C.UTF-8' },
      input: lines.map((line) => `${line}\n`).join(''),
      timeout: 120_000,
    });
    assert.deepEqual([error, status, stderr], [undefined, 0, ''], 'fish');
    return stdout.split('<line>\n').map((part) => part.split('\n').slice(0, -1).map(fishOffer));
  };
}

function fishOffer(row: string): Offer {
  const [word, does] = row.replace(/^--[\w-]+=/, '').split('\t');
  return [word!, does];
}

function programIn(folder: string, name: string): string {
  return [join(folder, 'usr/bin', name), join(folder, 'bin', name)].find(existsSync)!;
}

function librariesIn(folder: string): string {
  const parent = join(folder, 'usr/lib');
  return readdirSync(parent)
    .filter((name) => name.endsWith('-linux-gnu'))
    .map((name) => join(parent, name))
    .join(':');
}
