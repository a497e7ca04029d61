// The MCP Inspector's command line, installed apart: with it come a web interface and what builds it.
import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { npmPackage } from './cache.ts';
import { type ChildResult, runChild } from './child.ts';
import type { Outcomes } from './scenario.ts';
import type { Scene } from './scene.ts';

export const inspectorVersion = '2.12.0';

/** The Inspector's main file. Throws an Error that says what this machine lacks. */
export function installInspector(): string {
  const folder = npmPackage('@modelcontextprotocol/inspector', inspectorVersion);
  return join(folder, 'clients/launcher/build/index.js');
}

/** Throws an Error with what was not as it should be. Each command is a session of its own, with a token that it is given. */
export async function driveInspector(inspector: string, scene: Scene, caFile: string): Promise<Outcomes> {
  for (const [path, era] of [
    ['/v1', 'legacy'],
    ['/v2', 'auto'],
    ['/v2', 'modern'],
  ] as const) {
    const token = await scene.token(path, 'dashboards:read');
    const ask = (method: string, ...more: string[]): Promise<ChildResult> =>
      runChild(
        process.execPath,
        [
          inspector,
          '--cli',
          scene.origin + path,
          ...['--transport', 'http', '--protocol-era', era, '--header', `Authorization: Bearer ${token}`],
          ...['--method', method, ...more],
        ],
        // It keeps a catalogue of servers in the home directory.
        { env: { HOME: scene.gateway.directory, NODE_EXTRA_CA_CERTS: caFile } },
      );
    const list = await ask('tools/list');
    assert.equal(list.code, 0, list.output);
    assert.match(list.output, /"test_simple_text"/);
    const call = await ask('tools/call', '--tool-name', 'test_simple_text');
    assert.equal(call.code, 0, call.output);
    assert.match(call.output, /This is a simple text response for testing\./);
    // It looks into the list before it calls: what the caller may not do is not there.
    for (const name of ['test_sampling', 'test_tool_with_progress']) {
      const hidden = await ask('tools/call', '--tool-name', name);
      assert.notEqual(hidden.code, 0, hidden.output);
      assert.match(hidden.output, /tool_not_found/);
    }
    console.log(`  inspector ${path} ${era}: ok`);
  }
  return {
    'log-in': 'by its user',
    list: 'yes',
    call: 'yes',
    'step-up': '–',
    stream: '–',
    denied: 'not listed',
    401: '–',
    403: '–',
    404: '–',
    413: '–',
    415: '–',
    503: '–',
    outage: '–',
  };
}
