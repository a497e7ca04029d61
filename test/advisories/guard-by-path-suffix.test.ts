// ContextForge PR 3812: authentication ran only where the path ended in `/mcp`, so that `/mcp/{id}` skipped all of it, even with `alg: none`.
// CVE-2026-22037, CVE-2026-33807, CVE-2026-6414 (fastify plugins): guards bound to paths were passed by `/%61dmin`, `//` and `;`.
import t from 'tap';
import { attack, host, request } from '../support/attack.ts';
import { startScenario } from '../support/scenario.ts';

t.test('every path that reaches the upstream was authenticated as its route says', async (t) => {
  const scenario = await startScenario(t);
  const none = `Authorization: Bearer ${Buffer.from('{"alg":"none"}').toString('base64url')}.e30.AAAA`;
  const paths = [
    '/mcp',
    '/mcp/',
    '/mcp/1',
    '/mcp/servers/1/mcp',
    '/x/mcp',
    '/%6dcp',
    '/mc%70',
    '/api',
    '/api/',
    '/api/health',
    '/api/mcp',
    '/%61pi/x',
    '/api;/x',
    '//api/x',
    '/./api/x',
    '/health/../api/x',
    '/open/../api/x',
    '/api/x?/open/',
    '/api/x?path=/health',
    '/health/',
    '/health/x',
  ];
  for (const path of paths) {
    for (const headers of [[host], [host, none]]) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const length = method === 'POST' ? ['Content-Length: 0'] : [];
        const { answer, forwarded } = await attack(scenario, request(`${method} ${path}`, [...headers, ...length]));
        t.equal(forwarded.length, 0, `${method} ${path}`);
        t.ok(
          [200, 400, 401, 404, 405].includes(answer.status) && (answer.status !== 200 || path.startsWith('/health')),
          `${method} ${path}: ${answer.status}`,
        );
      }
    }
  }
  t.equal(scenario.upstream.connections(), 0);
});
