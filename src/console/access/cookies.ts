// Cookies of the console (RFC 6265).
import type { FastifyRequest } from 'fastify';

/** A `__Host-` cookie is this host's alone: no other host can set it (RFC 6265bis §4.1.3.2). */
export const sessionCookie = '__Host-portcullis';

/** The value of a cookie, where it is sent once. */
export function cookieOf({ headers }: FastifyRequest, name: string): string | undefined {
  const found = (headers.cookie ?? '').split(/; ?/).filter((pair) => pair.startsWith(`${name}=`));
  return found.length === 1 ? found[0]!.slice(name.length + 1) : undefined;
}

/** `Lax`: the way back from the identity provider comes from its site. */
export function cookie(name: string, value: string, more = ''): string {
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=Lax${more}`;
}
