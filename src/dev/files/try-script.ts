// Script `try.sh`: shorthands for the development gateway in bash, and a command for single calls. Pure.

import { quote } from '../../shell.ts';
import type { EnvironmentFacts } from './environment-facts.ts';
import { sqlArguments } from './sample-calls.ts';

/** The part of the environment that the script needs. */
export type TryFacts = Pick<
  EnvironmentFacts,
  'apiKey' | 'clientSecrets' | 'directory' | 'isDemo' | 'issuer' | 'mcpUrl' | 'policy'
> & {
  /** Arguments that start this program, such as node and the path of its entry. */
  readonly program: readonly string[];
};

/** The beginning of the text. */
export const tryScriptMark = `#!/usr/bin/env bash
# Calls through the development gateway.`;

/** A guard at the head of a script, for shells such as dash, which read no further than it: a clear message in place of a syntax error. */
export function bashGuard(path: string): string {
  return `[ -n "\${BASH_VERSION:-}" ] || { echo ${quote(`this needs bash: bash ${quote(path)}`)} >&2; return 2 2> /dev/null || exit 2; }`;
}

/** The text of `try.sh`, which stands at `path`. It runs on bash 3.2 and later with curl, awk and sed. */
export function tryScript(facts: TryFacts, path: string): string {
  const { clientSecrets, policy } = facts;
  const here = quote(path);
  const initialize = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'try.sh', version: '1' },
  };
  return `${tryScriptMark} It holds secrets that end with the environment.
#   bash ${here} agent list_dashboards              a tool, as agent, frontend, key or nobody
#   bash ${here} agent get_chart_info '{"request":{"identifier":1}}'    with arguments
#   bash ${here} agent tools/list                   an MCP method
#   . ${here}                                       the shorthands below in this bash
${bashGuard(path)}

PKI=${quote(`${facts.directory}/pki`)}
MCP=${quote(facts.mcpUrl)}
AGENT_LOGIN=ai_agent_prod:${clientSecrets.ai_agent_prod}
FRONTEND_LOGIN=analytics_frontend:${clientSecrets.analytics_frontend}
# the reporting tool's API key, on its way out
KEY=${facts.apiKey}

portcullis() { ${facts.program.map(quote).join(' ')} "$@"; }
# a token by the client credentials grant: CLIENT:SECRET SCOPES [RESOURCE]
token() { curl -sS ${quote(`${facts.issuer}/token`)} -u "$1" -d grant_type=client_credentials --data-urlencode "scope=$2" --data-urlencode "resource=\${3:-$MCP}" | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/'; }
# a POST to the MCP endpoint, with the whole answer
post() { curl -sS -i --max-time 60 --cacert "$PKI/ca.crt" "$MCP" -H 'content-type: application/json' -H 'accept: application/json, text/event-stream' "$@"; echo; }
# a tool call: TOKEN TOOL ARGUMENTS [options of curl]
call() { local bearer=$1 tool=$2 arguments=$3; shift 3; post \${bearer:+-H "authorization: Bearer $bearer"} -d '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'"$tool"'","arguments":'"$arguments"'}}' "$@"; }
# opens a session where the server has them: TOKEN [options of curl]
open_session() {
  local bearer=$1 id; shift
  id=$(post \${bearer:+-H "authorization: Bearer $bearer"} -d '{"jsonrpc":"2.0","id":0,"method":"initialize","params":${JSON.stringify(initialize)}}' "$@" | tr -d '\\r' | awk 'tolower($1) == "mcp-session-id:" { print $2 }')
  SESSION=()
  if [ -z "$id" ]; then return; fi
  SESSION=(-H "mcp-session-id: $id" -H 'mcp-protocol-version: ${initialize.protocolVersion}')
  post \${bearer:+-H "authorization: Bearer $bearer"} "\${SESSION[@]}" -d '{"jsonrpc":"2.0","method":"notifications/initialized"}' "$@" > /dev/null
}
# an MCP method: TOKEN METHOD PARAMS [options of curl]
ask() { local bearer=$1 method=$2 params=$3; shift 3; open_session "$bearer" "$@"; post \${bearer:+-H "authorization: Bearer $bearer"} "\${SESSION[@]}" -d '{"jsonrpc":"2.0","id":1,"method":"'"$method"'","params":'"$params"'}' "$@"; }
# an answer without the headers that matter to nobody here, its lines cut to WIDTH
show() { tr -d '\\r' | awk -v width="\${1:-100000}" '/^HTTP\\// { head = 1 } head && !/^HTTP\\// && tolower($1) !~ /^(www-authenticate|retry-after|deprecation|sunset|link|location|mcp-session-id|x-request-id):/ { if ($0 == "") head = 0; next } $0 != "" { print substr($0, 1, width) (length($0) > width ? "…" : "") }'; }
# shows an answer, and says if it is the expected one: STATUS TEXT
expect() {
  local answer found=✗
  answer=$(cat)
  case $answer in *"HTTP/1.1 $1"*) found=✓ ;; esac
  [ -n "$1" ] || found=✓
  case $answer in *"$2"*) ;; *) found=✗ ;; esac
  show 300 <<< "$answer"
  if [ $found = ✓ ]; then echo "✓ as expected: \${1:+$1, }$2"; else echo "✗ EXPECTED: \${1:+$1, }$2"; fi
  echo
  [ $found = ✓ ]
}
begin_tour() { exec 2>&1; failed=0; trap 'failed=$((failed + 1))' ERR; }
# ends a tour that runs as a whole, not the shell that its lines are pasted into
end_tour() {
  [ "\${BASH_SOURCE[1]:-}" = "$0" ] || return 0
  set +v
  trap - ERR
  if [ "$failed" = 0 ]; then echo '✓ The tour is over: every answer was the expected one.'; exit 0; fi
  echo "✗ The tour is over: $failed answer(s) were not the expected ones; look for ✗ above."
  exit 1
}

# bash ${here} CLIENT TOOL [ARGUMENTS]
try() {
  local who=$1 what=$2 arguments=$3 bearer='' key=()
  case $who in
    agent) bearer=$(token "$AGENT_LOGIN" ${quote(policy.scopes.ai_agent_prod.join(' '))}) ;;
    frontend) bearer=$(token "$FRONTEND_LOGIN" ${quote(policy.scopes.analytics_frontend.join(' '))}) ;;
    key) key=(-H "x-api-key: $KEY") ;;
    nobody) ;;
    *) what='' ;;
  esac
  if [ -z "$what" ]; then
    echo "usage: bash ${here} agent|frontend|key|nobody TOOL [ARGUMENTS]" >&2
    return 2
  fi
  case $what in
    */*) ask "$bearer" "$what" "\${arguments:-$EMPTY}" "\${key[@]}" | show; return ;;
    execute_sql) : "\${arguments:=$SQL}" ;;
    *) : "\${arguments:=$NONE}" ;;
  esac
${facts.isDemo ? '' : '  open_session "$bearer" "${key[@]}"\n'}  call "$bearer" "$what" "$arguments" "\${key[@]}" "\${SESSION[@]}" | show
}
SESSION=()
EMPTY='{}'
NONE=${quote(facts.isDemo ? '{"request":{}}' : '{}')}
SQL=${quote(sqlArguments)}
if [ "\${BASH_SOURCE[0]:-}" = "$0" ]; then try "$@"; fi
`;
}
