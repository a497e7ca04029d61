// Claim paths: a claim by its name, or else by a JSON pointer (RFC 6901) or a dotted path into nested claims. Pure.
import { parsePointer, valueAt } from '../../json/pointer.ts';

/** The claims of a token. */
export type Claims = Readonly<Record<string, unknown>>;

/** Reads one claim; undefined where there is none. */
export type ReadClaim = (claims: Claims) => unknown;

/** Compiles a path. A claim of exactly this name comes first, such as `https://example.com/roles` or `cognito:groups`. */
export function compileClaimPath(path: string): ReadClaim {
  const steps = path.startsWith('/') ? parsePointer(path) : path.split('.');
  return (claims) => (Object.hasOwn(claims, path) ? claims[path] : valueAt(claims, steps));
}

/** The reason why a path finds no claim that anybody meant, for `check`; undefined for a good one. */
export function claimPathProblem(path: string): string | undefined {
  if (path.includes('://')) return undefined;
  const isPointer = path.startsWith('/');
  if (isPointer && /~(?![01])/.test(path)) return 'is no JSON pointer (RFC 6901): write ~ as ~0, and / in a name as ~1';
  const steps = isPointer ? parsePointer(path) : path.split('.');
  if (steps.includes(''))
    return 'has an empty step; nested claims are written /realm_access/roles or realm_access.roles';
  if (!isPointer && /^[\w.-]+(?:\/[\w.-]+)+$/.test(path))
    return `names one claim with a slash; a JSON pointer is "/${path}"`;
  return undefined;
}
