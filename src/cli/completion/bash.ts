// Completion script for bash 3.2 and later. Pure.
import type { CommandWords, Value } from './vocabulary.ts';

/** The script. */
export function bashCompletion(vocabulary: readonly CommandWords[]): string {
  const groups = vocabulary.filter(({ subcommands }) => subcommands.length > 0);
  return `# bash completion for portcullis: source <(portcullis completion bash)
_portcullis_files() {
  if type compopt > /dev/null 2>&1; then compopt -o default; else _portcullis_lines "$1" < <(compgen -f -- "$1"); fi
}

_portcullis_directories() {
  if ! type compopt > /dev/null 2>&1; then
    _portcullis_lines "$1" < <(compgen -d -- "$1")
    return
  fi
  compopt -o filenames
  local name
  while IFS= read -r name; do COMPREPLY+=("$name"); done < <(compgen -d -- "$1")
}

_portcullis_words() {
  local word
  while IFS= read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$2" -- "$1")
}

# the lines of standard input that begin with this; 'compgen -W' would run a command that a line has
_portcullis_lines() {
  local line
  while IFS= read -r line; do
    if [ "\${line:0:\${#1}}" = "$1" ]; then COMPREPLY+=("$(printf '%q' "$line")"); fi
  done
}

# the routes of the file that -c names
_portcullis_routes() {
  local at file
  for ((at = 1; at < COMP_CWORD; at++)); do
    case \${COMP_WORDS[at]} in
      -c | --config) file=\${COMP_WORDS[at + 1]} ;;
      -c*) file=\${COMP_WORDS[at]:2} ;;
      *) continue ;;
    esac
    if [ "$file" = = ]; then file=\${COMP_WORDS[at + 2]}; fi
    file=\${file//[\\\\\\'\\"]/}
    _portcullis_lines "$1" < <("\${COMP_WORDS[0]}" completion --routes "\${file/#\\~\\//$HOME/}" 2> /dev/null)
  done
}

_portcullis() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD - 1]} path='' depth=0
  COMPREPLY=()
  if [ "$current" = = ]; then
    current=''
  elif [ "$previous" = = ]; then
    previous=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  while ((depth + 1 < COMP_CWORD)); do
    case "$path \${COMP_WORDS[depth + 1]}" in
      ${groups.flatMap(({ path, subcommands }) => subcommands.map(({ name }) => `'${path} ${name}'`)).join(' | ')}) ;;
      *) break ;;
    esac
    path="\${path:+$path }\${COMP_WORDS[depth + 1]}"
    depth=$((depth + 1))
  done
  case "$path:$previous" in
${vocabulary.flatMap(valueCases).join('\n')}
  esac
  case $path in
${vocabulary.map(commandCase).join('\n')}
  esac
}
complete -F _portcullis portcullis
`;
}

function valueCases({ options, path }: CommandWords): string[] {
  return options.flatMap(({ flags, value }) =>
    value === undefined
      ? []
      : [`    ${flags.map((flag) => `'${path}:${flag}'`).join(' | ')}) ${offer(value)}return ;;`],
  );
}

function commandCase({ arguments: values, options, path, subcommands }: CommandWords): string {
  const flags = options.flatMap(({ flags }) => flags).join(' ');
  const others =
    subcommands.length > 0
      ? `if ((depth + 1 == COMP_CWORD)); then _portcullis_words "$current" '${subcommands.map(({ name }) => name).join(' ')}'; fi`
      : (values
          .map(offer)
          .find((offered) => offered !== '')
          ?.replace(/; $/, '') ?? ':');
  return `    '${path}') if [ "\${current:0:1}" = - ]; then _portcullis_words "$current" '${flags}'; else ${others}; fi ;;`;
}

function offer({ choices, kind }: Value): string {
  switch (kind) {
    case 'choice':
      return `_portcullis_words "$current" '${choices.join(' ')}'; `;
    case 'directory':
      return '_portcullis_directories "$current"; ';
    case 'file':
      return '_portcullis_files "$current"; ';
    case 'route':
      return '_portcullis_routes "$current"; ';
    case 'other':
      return '';
  }
}
