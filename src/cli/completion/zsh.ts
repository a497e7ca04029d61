// Completion script for zsh. Pure.
import type { CommandWords, OptionWords, Value } from './vocabulary.ts';

/** The script. */
export function zshCompletion(vocabulary: readonly CommandWords[]): string {
  return `#compdef portcullis
# zsh completion for portcullis: portcullis completion zsh > "\${fpath[1]}/_portcullis"
# or behind compinit in ~/.zshrc: source <(portcullis completion zsh)

# the routes of the file that -c names
_portcullis_routes() {
  local file=\${(Q)\${(Q)opt_args[-c]:-$opt_args[--config]}}
  local -a routes
  routes=(\${(f)"$(\${(Q)program} completion --routes "\${file/#\\~\\//$HOME/}" 2> /dev/null)"})
  compadd -a routes
}

${vocabulary.map(functionOf).join('\n')}
# fpath has the body of this function here, and 'source' none
if [ "$funcstack[1]" = _portcullis ]; then
  _portcullis "$@"
else
  compdef _portcullis portcullis
fi
`;
}

function nameOf(path: string): string {
  return `_portcullis${path === '' ? '' : `_${path.replace(/[ -]/g, '_')}`}`;
}

function functionOf({ arguments: values, options, path, subcommands }: CommandWords): string {
  const specs = options.map(optionSpec);
  if (subcommands.length === 0) {
    const all = [...specs, ...values.map(argumentSpec)].map((spec) => ` \\\n    ${spec}`).join('');
    return `${nameOf(path)}() {\n  _arguments -s${all}\n}\n`;
  }
  const rows = subcommands.map(({ does, name }) => `    ${quoted(`${name}:${does}`)}`).join('\n');
  const cases = subcommands.map(({ name }) => `      ${name}) ${nameOf(`${path} ${name}`.trim())} ;;`).join('\n');
  return `${nameOf(path)}() {
  local curcontext=$curcontext state state_descr${path === '' ? ' program=$words[1]' : ''}
  local -a line offered
  local -A opt_args
  offered=(
${rows}
  )
  _arguments -C ${specs.join(' ')} '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands command offered ;;
    rest)
      case $line[1] in
${cases}
      esac ;;
  esac
}
`;
}

/** `-c` and `--config` in each form that commander takes: `-c FILE`, `-cFILE`, `--config FILE`, `--config=FILE`. */
function optionSpec({ does, flags, value }: OptionWords): string {
  const text = `[${escaped(does)}]${value === undefined ? '' : valueSpec(value)}`;
  const joined = (flag: string) => (value === undefined ? '' : flag.startsWith('--') ? '=' : '+');
  return flags.map((flag) => quoted(`*${flag}${joined(flag)}${text}`)).join(' ');
}

function argumentSpec(value: Value): string {
  return quoted(`${value.variadic ? '*' : ''}${valueSpec(value)}`);
}

function valueSpec({ choices, kind, name }: Value): string {
  switch (kind) {
    case 'choice':
      return `:${name}:(${choices.join(' ')})`;
    case 'directory':
      return `:${name}:_directories`;
    case 'file':
      return `:${name}:_files`;
    case 'route':
      return `:${name}:_portcullis_routes`;
    case 'other':
      return `:${name}: `;
  }
}

function escaped(text: string): string {
  return text.replace(/[\\[\]:]/g, '\\$&');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
