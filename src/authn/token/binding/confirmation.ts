// Confirmation claim `cnf` of an access token (RFC 7800 §3.1, RFC 8705 §3.1, RFC 9449 §6.1). Pure.

/** The key or certificate that the sender of a token must prove to possess. */
export type Confirmation =
  | {
      readonly method: 'certificate';
      /** `sha256:` and 64 hex digits, as certificates are named everywhere else. */
      readonly fingerprint: string;
    }
  | {
      readonly method: 'dpop';
      /** RFC 7638, SHA-256, in base64url. */
      readonly thumbprint: string;
    };

/** SHA-256 in base64url without padding: 43 characters, the last of which has two bits that are zero. */
const sha256Form = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;

/**
 * Parses the value of `cnf`: `{"x5t#S256"}` or `{"jkt"}`, and nothing beside it, since the claim stands for a single key. Undefined for everything else:
 * a token whose binding cannot be verified is not one without a binding.
 */
export function parseConfirmation(value: unknown): Confirmation | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const [member, ...others] = Object.entries(value);
  if (member === undefined || others.length > 0) return undefined;
  const [name, thumbprint] = member;
  if (typeof thumbprint !== 'string' || !sha256Form.test(thumbprint)) return undefined;
  if (name === 'jkt') return { method: 'dpop', thumbprint };
  if (name !== 'x5t#S256') return undefined;
  return { method: 'certificate', fingerprint: `sha256:${Buffer.from(thumbprint, 'base64url').toString('hex')}` };
}
