// Yardstick of the benchmark: @fastify/http-proxy with its defaults, TLS on both sides, no checks at all.
import { readFileSync } from 'node:fs';
import httpProxy from '@fastify/http-proxy';
import fastify from 'fastify';

const { CERT_FILE, KEY_FILE, PORT, UPSTREAM } = process.env;
const app = fastify({ https: { cert: readFileSync(CERT_FILE!), key: readFileSync(KEY_FILE!) } });
await app.register(httpProxy, { upstream: UPSTREAM! });
await app.listen({ port: Number(PORT), host: '127.0.0.1' });
