// `npm run test:clients`: clients that are not written in our language or not ours to depend on, through a real gateway.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { driveInspector, installInspector } from './inspector.ts';
import { drivePython, installPython } from './python.ts';
import { startScene } from './scene.ts';
import { driveWebSockets, startPythonEcho } from './websocket.ts';

try {
  const python = installPython();
  const inspector = installInspector();
  const echo = await startPythonEcho(python);
  const scene = await startScene({ webSocketUpstream: echo.url });
  try {
    const caFile = join(scene.gateway.directory, 'ca.crt');
    await writeFile(caFile, scene.caPem);
    await drivePython(python, scene, caFile);
    await driveWebSockets(python, scene, caFile);
    await driveInspector(inspector, scene, caFile);
  } finally {
    await scene.close();
    echo.close();
  }
  console.log('clients: the Python SDK, FastMCP, websockets and the MCP Inspector got through');
} catch (error) {
  console.error(`clients: ${(error as Error).message}`);
  process.exitCode = 1;
}
