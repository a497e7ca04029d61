// Completion script for fish. Pure.
import type { CommandWords, OptionWords, Value } from './vocabulary.ts';

/** The script. */
export function fishCompletion(vocabulary: readonly CommandWords[]): string {
  return `# fish completion for portcullis: portcullis completion fish > ~/.config/fish/completions/portcullis.fish

# true where the command line begins with these words
function __portcullis_in
    set -l words (commandline -opc)
    set -l last (math (count $argv) + 1)
    test "$words[2..$last]" = "$argv"
end

# true where it is these words and nothing else
function __portcullis_at
    set -l words (commandline -opc)
    test (count $words) -eq (math (count $argv) + 1); and test "$words[2..-1]" = "$argv"
end

# the routes of the file that -c names
function __portcullis_routes
    set -l words (commandline -opc)
    for at in (seq (count $words))
        set -l file
        switch $words[$at]
            case -c --config
                set file $words[(math $at + 1)]
            case '--config=*'
                set file (string sub -s 10 -- $words[$at])
            case '-c*'
                set file (string sub -s 3 -- $words[$at])
        end
        if set -q file[1]; and command -q $words[1]
            $words[1] completion --routes (string replace -r '^~/' "$HOME/" -- $file) 2> /dev/null
        end
    end
end

complete -c portcullis -f
${vocabulary.flatMap(linesOf).join('\n')}
`;
}

function linesOf({ arguments: values, options, path, subcommands }: CommandWords): string[] {
  const at = `complete -c portcullis -n ${path === '' ? "'test (count (commandline -opc)) -eq 1'" : quoted(`__portcullis_at ${path}`)}`;
  const within = path === '' ? at : `complete -c portcullis -n ${quoted(`__portcullis_in ${path}`)}`;
  const names = path === '' || subcommands.length > 0 ? subcommands : [];
  const offers = subcommands.length > 0 ? '' : values.map(valueWords).find((offered) => offered !== ' -x');
  return [
    ...names.map(({ does, name }) => `${at} -a ${name} -d ${quoted(does)}`),
    ...options.map((option) => `${within}${optionOf(option)}`),
    ...(offers === undefined || offers === '' ? [] : [`${within}${offers.replace(' -r', '')}`]),
  ];
}

function optionOf({ does, flags, value }: OptionWords): string {
  const words = flags.map((flag) => (flag.startsWith('--') ? ` -l ${flag.slice(2)}` : ` -s ${flag.slice(1)}`));
  return `${words.join('')}${value === undefined ? '' : valueWords(value)} -d ${quoted(does)}`;
}

function valueWords({ choices, kind }: Value): string {
  switch (kind) {
    case 'choice':
      return ` -x -a ${quoted(choices.join(' '))}`;
    case 'directory':
      return " -x -a '(__fish_complete_directories)'";
    case 'file':
      return ' -r -F';
    case 'route':
      return " -x -a '(__portcullis_routes)'";
    case 'other':
      return ' -x';
  }
}

function quoted(text: string): string {
  return `'${text.replace(/[\\']/g, '\\$&')}'`;
}
