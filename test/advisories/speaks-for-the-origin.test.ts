// An upstream, one of several behind the gateway's origin, answers with `Service-Worker-Allowed: /`, `NEL` or `Report-To`: its worker gets the requests
// of all others, its collector their addresses. `Surrogate-Control` or `CDN-Cache-Control` has a cache in front of the gateway keep the answer to one
// caller and give it to others; cache tags and groups purge what others sent.
import t from 'tap';
import { startScenario } from '../support/scenario.ts';

const dropped = [
  'Service-Worker-Allowed',
  'service_worker_allowed',
  'NEL',
  'Report-To',
  'Reporting-Endpoints',
  'Public-Key-Pins',
  'Public-Key-Pins-Report-Only',
  'Expect-CT',
  'Expect-Staple-Report-Only',
  'Origin-Agent-Cluster',
  'Accept-CH',
  'Critical-CH',
  'Set-Login',
  'Sec-Session-Registration',
  'Secure-Session-Registration',
  'Attribution-Reporting-Register-Source',
  'Use-As-Dictionary',
  'X-Permitted-Cross-Domain-Policies',
  'Surrogate-Control',
  'Surrogate-Key',
  'CDN-Cache-Control',
  'Cloudflare-CDN-Cache-Control',
  'Vercel-CDN-Cache-Control',
  'Edge-Control',
  'Edge-Cache-Tag',
  'Cache-Tag',
  'X-Cache-Tags',
  'X-Drupal-Cache-Tags',
  'X-Magento-Tags',
  'xkey',
  'Netlify-Vary',
  'Fastly-Debug-TTL',
  'Cache-Groups',
  'Cache-Group-Invalidation',
];
const kept = {
  'cache-control': 'no-store',
  'content-security-policy': 'sandbox',
  etag: '"a"',
  age: '1',
  vary: 'Accept',
};

t.test('Service-Worker-Allowed, NEL, Surrogate-Control and their kin are dropped on path and MCP routes', async (t) => {
  const { anybody, agent } = await startScenario(
    t,
    {},
    {
      reply: (_request, response) => {
        const passing = Object.entries(kept).flat();
        response.writeHead(200, [
          ...dropped.flatMap((name) => [name, 'evil']),
          ...passing,
          'content-type',
          'text/plain',
        ]);
        response.end('public');
      },
    },
  );
  for (const answer of [await anybody.send({ path: '/open/file' }), await agent.call('list_dashboards')]) {
    t.match(answer, { status: 200, text: 'public' });
    const passed = Object.entries(answer.headers).filter(([, value]) => String(value).includes('evil'));
    t.strictSame(passed, []);
  }
  t.match((await anybody.send({ path: '/open/file' })).headers, kept);
});
