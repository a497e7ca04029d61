// The proxy of a request to an authorization server, by configuration and environment.
import t from 'tap';
import { egressOf, isProxyUrl, proxyFor } from '../../src/oauth/egress.ts';

const proxy = 'http://proxy.internal:3128';
const onLoopback = 'http://127.0.0.1:3128';
const issuer = 'https://idp.example/';

t.test('HTTPS_PROXY and NO_PROXY in upper and lower case, and egressProxy before both', (t) => {
  const cases: [name: string, env: Record<string, string>, address: string, expected: string | undefined][] = [
    ['nothing', {}, issuer, undefined],
    ['upper case', { HTTPS_PROXY: proxy }, issuer, proxy],
    ['lower case', { https_proxy: proxy }, issuer, proxy],
    ['lower case first', { https_proxy: proxy, HTTPS_PROXY: 'http://other:1' }, issuer, proxy],
    ['empty is none', { https_proxy: '', HTTPS_PROXY: proxy }, issuer, proxy],
    ['without a scheme', { HTTPS_PROXY: 'proxy.internal:3128' }, issuer, proxy],
    ['SOCKS is not used', { HTTPS_PROXY: 'socks5://proxy.internal:1080' }, issuer, undefined],
    ['HTTP_PROXY is not for https', { HTTP_PROXY: proxy }, issuer, undefined],
    ['HTTP_PROXY', { HTTP_PROXY: proxy }, 'http://idp.example/', proxy],
    ['HTTPS_PROXY is not for http', { HTTPS_PROXY: proxy }, 'http://idp.example/', undefined],
    ['NO_PROXY', { HTTPS_PROXY: proxy, NO_PROXY: 'a.example, IDP.example' }, issuer, undefined],
    ['no_proxy', { HTTPS_PROXY: proxy, no_proxy: 'idp.example' }, issuer, undefined],
    ['a name below it', { HTTPS_PROXY: proxy, NO_PROXY: 'example' }, issuer, undefined],
    ['a leading dot', { HTTPS_PROXY: proxy, NO_PROXY: '.example' }, issuer, undefined],
    ['a star and a dot', { HTTPS_PROXY: proxy, NO_PROXY: '*.example' }, issuer, undefined],
    ['half a name', { HTTPS_PROXY: proxy, NO_PROXY: 'p.example' }, issuer, proxy],
    ['everything', { HTTPS_PROXY: proxy, NO_PROXY: '*' }, issuer, undefined],
    ['the port', { HTTPS_PROXY: proxy, NO_PROXY: 'idp.example:443' }, issuer, undefined],
    ['another port', { HTTPS_PROXY: proxy, NO_PROXY: 'idp.example:8443' }, issuer, proxy],
    ['an address', { HTTPS_PROXY: proxy, NO_PROXY: '10.1.2.3' }, 'https://10.1.2.3/', undefined],
    ['a range', { HTTPS_PROXY: proxy, NO_PROXY: '10.0.0.0/8' }, 'https://10.1.2.3:8443/', undefined],
    ['outside of it', { HTTPS_PROXY: proxy, NO_PROXY: '10.0.0.0/8' }, 'https://11.1.2.3/', proxy],
    ['IPv6', { HTTPS_PROXY: proxy, NO_PROXY: '2001:db8::/32' }, 'https://[2001:db8::1]/', undefined],
    ['a malformed range', { HTTPS_PROXY: proxy, NO_PROXY: '10.0.0.0/99' }, issuer, proxy],
    ['plain http on loopback', { HTTP_PROXY: onLoopback }, 'http://127.0.0.1:9000/', undefined],
    ['loopback cannot be reached from elsewhere', { HTTPS_PROXY: proxy }, 'https://localhost:9000/', undefined],
    ['but from loopback', { HTTPS_PROXY: onLoopback }, 'https://localhost:9000/', onLoopback],
  ];
  for (const [name, env, address, expected] of cases)
    t.equal(proxyFor(address, egressOf(undefined, env)), expected, name);
  const configured = egressOf(proxy, { HTTPS_PROXY: 'http://other:1', NO_PROXY: '*' });
  for (const address of [issuer, 'http://idp.example/']) t.equal(proxyFor(address, configured), proxy);
  t.equal(proxyFor('http://[::1]:9000/', configured), undefined);
  t.end();
});

t.test('the URL of a proxy', (t) => {
  for (const url of [proxy, 'https://proxy', 'http://user:pass%40word@proxy:3128/', 'http://[::1]:3128'])
    t.ok(isProxyUrl(url), url);
  for (const url of [
    'proxy:3128',
    'socks5://proxy',
    'http://proxy/path',
    'http://proxy?x',
    'http://',
    'http://a@b@c:1',
    'http://a:%FF@c:1',
    'http://a:%zz@c:1',
    'http://c:99999',
  ])
    t.notOk(isProxyUrl(url), url);
  t.end();
});
