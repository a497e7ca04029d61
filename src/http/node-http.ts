// Values of `node:http`. An import of that module evaluates all its getters, and so loads Node's own `fetch`: 14 MB.
import type * as http from 'node:http';

export const { createServer, METHODS, ServerResponse, STATUS_CODES } = process.getBuiltinModule('node:http');
export type ServerResponse = http.ServerResponse;
