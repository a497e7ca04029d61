// Posted forms (WHATWG URL, application/x-www-form-urlencoded).
import type { FastifyInstance, FastifyRequest } from 'fastify';

const maxFormBytes = 16 * 1024;

/** Lets the application take forms, and no other body. */
export function acceptForms(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    'application/x-www-form-urlencoded',
    { parseAs: 'string', bodyLimit: maxFormBytes },
    (_request, body, done) => done(null, new URLSearchParams(String(body))),
  );
}

/** The first value of a field; empty where the form has none. */
export function fieldOf({ body }: FastifyRequest, name: string): string {
  return (body instanceof URLSearchParams && body.get(name)) || '';
}
