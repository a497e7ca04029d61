// An upstream, or whoever can make it answer with a header of his choice, sends `X-Accel-Redirect: /internal/secrets`, `X-Sendfile: /etc/passwd` or
// `X-Reproxy-URL: http://169.254.169.254/`. A gateway relays it, and nginx, Apache, lighttpd or another proxy in front of the gateway serves that file
// or address instead. `x-envoy-immediate-health-check-fail` takes the gateway out of Envoy's pool.
import fc from 'fast-check';
import t from 'tap';
import { relayResponseHeaders } from '../../src/upstream/response/headers.ts';
import { startScenario } from '../support/scenario.ts';

const instructions = [
  'X-Accel-Redirect',
  'X-Accel-Expires',
  'X-Accel-Limit-Rate',
  'X-Accel-Charset',
  'x_accel_redirect',
  'X-Sendfile',
  'X-SENDFILE-Temporary',
  'X-Sendfile2',
  'X-LIGHTTPD-send-file',
  'X-Lighttpd-Send-Tempfile',
  'X-LiteSpeed-Location',
  'X-Reproxy-URL',
  'X-REPROXY-FILE',
  'X-Reproxy-Expected-Size',
  'X-Envoy-Immediate-Health-Check-Fail',
];

t.test('x-accel-redirect, x-sendfile and their kin are dropped from answers of path and MCP routes', async (t) => {
  const { anybody, agent } = await startScenario(
    t,
    {},
    {
      reply: (_request, response) => {
        const headers = instructions.flatMap((name) => [name, '/internal/secrets']);
        response.writeHead(200, [...headers, 'content-type', 'text/plain', 'X-Accel-Buffering', 'no', 'X-Other', 'a']);
        response.end('public');
      },
    },
  );
  for (const answer of [await anybody.send({ path: '/open/file' }), await agent.call('list_dashboards')]) {
    t.match(answer, { status: 200, text: 'public', headers: { 'x-other': 'a', 'x-accel-buffering': 'no' } });
    t.notOk(Object.values(answer.headers).includes('/internal/secrets'));
  }
});

t.test('no header of their families passes, in any spelling (property)', (t) => {
  const family = fc.constantFrom('x-accel-', 'x-sendfile', 'x-lighttpd-', 'x-litespeed-', 'x-reproxy-', 'x-envoy-');
  const spelt = fc
    .tuple(family, fc.stringMatching(/^[a-z0-9-]{0,12}$/), fc.infiniteStream(fc.constantFrom('lower', 'upper', '_')))
    .map(([prefix, rest, spelling]) =>
      [...(prefix + rest)]
        .map((c) => {
          const how = spelling.next().value;
          return how === 'upper' ? c.toUpperCase() : how === '_' && c === '-' ? '_' : c;
        })
        .join(''),
    )
    .filter((name) => name.toLowerCase() !== 'x-accel-buffering');
  fc.assert(
    fc.property(spelt, (name) => {
      const { headers } = relayResponseHeaders([Buffer.from(name), Buffer.from('evil')], 200, undefined, {
        path: '/',
        publicTarget: '/',
      });
      return headers.length === 0;
    }),
  );
  t.end();
});
