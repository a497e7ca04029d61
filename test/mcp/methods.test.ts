// The method table against the SDK's own schemas: nothing that a client may send is missing, and lists are where results have them.
import {
  ClientNotificationSchema,
  ClientRequestSchema,
  ListPromptsResultSchema,
  ListResourcesResultSchema,
  ListResourceTemplatesResultSchema,
  ListToolsResultSchema,
  ServerRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import t from 'tap';
import { isNotificationName, listings, methodOf } from '../../src/mcp/methods.ts';

const requests = ClientRequestSchema.options.map(({ shape }) => shape.method.value);

t.test('every request of a client is in the table, and none that only servers send', (t) => {
  t.ok(requests.includes('tools/call') && requests.length > 15);
  for (const method of requests) {
    t.ok(methodOf(method), method);
    t.notOk(isNotificationName(method));
  }
  const servers: string[] = ServerRequestSchema.options.map(({ shape }) => shape.method.value);
  const onlyServers = servers.filter((method) => !(requests as string[]).includes(method));
  t.ok(onlyServers.includes('sampling/createMessage'));
  for (const method of onlyServers) t.equal(methodOf(method), undefined, method);
  for (const { shape } of ClientNotificationSchema.options) t.ok(isNotificationName(shape.method.value));
  for (const name of ['__proto__', 'constructor', 'toString', '']) t.equal(methodOf(name), undefined);
  t.end();
});

t.test('what a request names by `name` or `uri` is its target', (t) => {
  for (const { shape } of ClientRequestSchema.options) {
    const method = shape.method.value;
    const params = JSON.stringify(Object.keys('params' in shape ? paramsOf(shape.params) : {}));
    for (const member of ['name', 'uri'] as const) {
      if (!params.includes(`"${member}"`)) continue;
      t.match(methodOf(method), { target: { member } }, method);
    }
    t.equal(methodOf(method)?.arguments, params.includes('"arguments"') ? true : undefined, `${method}: arguments`);
    t.equal(methodOf(method)?.mirrored === 'taskId', params.includes('"taskId"'), method);
    const known = methodOf(method)?.params;
    if (known !== undefined)
      t.same(
        Object.keys(known).sort(),
        (JSON.parse(params) as string[]).filter((name) => name !== '_meta').sort(),
        `${method}: members`,
      );
  }
  t.end();
});

t.test('lists are the members that results have', (t) => {
  const results: [string, { shape: object }][] = [
    ['tools/list', ListToolsResultSchema],
    ['resources/list', ListResourcesResultSchema],
    ['resources/templates/list', ListResourceTemplatesResultSchema],
    ['prompts/list', ListPromptsResultSchema],
  ];
  t.strictSame([...listings.keys()].sort(), results.map(([method]) => method).sort());
  for (const [method, { shape }] of results) {
    const { member, key } = listings.get(method)!;
    const list = Reflect.get(shape, member) as { element: { shape: object } };
    t.ok(Object.hasOwn(list.element.shape, key), `${method}: ${member}[].${key}`);
  }
  t.end();
});

/** The members of `params`, optional or not. */
function paramsOf(schema: unknown): object {
  const { shape, unwrap } = schema as { shape?: object; unwrap?: () => unknown };
  return shape ?? (unwrap === undefined ? {} : paramsOf((schema as { unwrap: () => unknown }).unwrap()));
}
