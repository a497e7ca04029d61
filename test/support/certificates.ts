// The certificates of the scenario: our authority, a stranger's, the gateway's own, and those of its clients.
import 'reflect-metadata';
import { createHash, createPrivateKey, webcrypto, X509Certificate } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import * as x509 from '@peculiar/x509';
import {
  type CertificateAuthority,
  createCertificateAuthority,
  type IssuedCertificate,
} from '../../src/pki/authority.ts';

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

/** An `mtls` authenticator that lists the agent and the reporting tool. */
export const certificateAllowlist = {
  type: 'mtls',
  allow: [
    { commonName: 'client-ai-agent-1', clientId: 'ai_agent_prod' },
    { commonName: 'client-reporting-1', clientId: 'reporting_tool' },
  ],
};

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

/** Self-signed with an RSA key of 1024 bits, which the TLS library takes neither as leaf nor in a chain. */
export async function createSmallCertificate(): Promise<{ cert: string; key: string; encryptedKey: string }> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(
    { ...algorithm, modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]) },
    true,
    ['sign', 'verify'],
  );
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    { name: 'CN=small', keys, signingAlgorithm: algorithm },
    webcrypto,
  );
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const pem = { format: 'pem', type: 'pkcs8' } as const;
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: key.export(pem).toString(),
    encryptedKey: key.export({ ...pem, cipher: 'aes-256-cbc', passphrase: 'secret' }).toString(),
  };
}

/** For a server on `localhost` or 127.0.0.1 whose certificate nobody vouches for. */
export async function untrustedTls(): Promise<TlsOptions> {
  const authority = await createCertificateAuthority({ commonName: 'nobody' });
  const { certificatePem, keyPem } = await authority.issue({
    commonName: 'localhost',
    dnsNames: ['localhost'],
    ips: ['127.0.0.1'],
    server: true,
  });
  return { cert: certificatePem, key: keyPem };
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
