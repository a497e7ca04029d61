// The certificates of the scenario: our authority, a stranger's, the gateway's own, and those of its clients.
import { createHash, X509Certificate } from 'node:crypto';
import { type CertificateAuthority, createCertificateAuthority, type IssuedCertificate } from '../../src/dev/pki.ts';

export interface TestCertificates {
  readonly authority: CertificateAuthority;
  /** Trusted by nobody. */
  readonly stranger: CertificateAuthority;
  /** On the allowlist as `ai_agent_prod`. */
  readonly agent: IssuedCertificate;
  /** On the allowlist as `reporting_tool`. */
  readonly reporting: IssuedCertificate;
  /** Ours, but on no allowlist. */
  readonly unlisted: IssuedCertificate;
  /** The agent's name, from the stranger's authority. */
  readonly otherAuthority: IssuedCertificate;
  /** `tls.crt`, `tls.key` and `clients-ca.crt` for the gateway. */
  readonly files: Readonly<Record<'tls.crt' | 'tls.key' | 'clients-ca.crt', string>>;
}

export async function createTestCertificates(): Promise<TestCertificates> {
  const [authority, stranger] = await Promise.all([
    createCertificateAuthority(),
    createCertificateAuthority({ commonName: 'A partner' }),
  ]);
  const [server, agent, reporting, unlisted, otherAuthority] = await Promise.all([
    authority.issue({ commonName: 'mcp.example.com', dnsNames: ['mcp.example.com'], server: true }),
    authority.issue({ commonName: 'client-ai-agent-1' }),
    authority.issue({ commonName: 'client-reporting-1' }),
    authority.issue({ commonName: 'client-ai-agent-2' }),
    stranger.issue({ commonName: 'client-ai-agent-1' }),
  ]);
  return {
    authority,
    stranger,
    agent: agent!,
    reporting: reporting!,
    unlisted: unlisted!,
    otherAuthority: otherAuthority!,
    files: {
      'tls.crt': server!.certificatePem,
      'tls.key': server!.keyPem,
      'clients-ca.crt': authority.certificatePem,
    },
  };
}

/** `sha256:` and hex digits, as the gateway names certificates. */
export function fingerprintOf({ certificatePem }: IssuedCertificate): string {
  return `sha256:${createHash('sha256').update(new X509Certificate(certificatePem).raw).digest('hex')}`;
}

/** The `cnf` of a token that is bound to this certificate (RFC 8705 §3.1). */
export function boundTo({ certificatePem }: IssuedCertificate): { cnf: Record<string, string> } {
  const digest = createHash('sha256').update(new X509Certificate(certificatePem).raw).digest('base64url');
  return { cnf: { 'x5t#S256': digest } };
}
