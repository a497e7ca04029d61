// Facts of a development environment: addresses, files and secrets.
import type { DevelopmentClient, DevelopmentPolicy } from './config-file.ts';

/** A development environment that runs, or is about to. */
export interface EnvironmentFacts {
  readonly directory: string;
  readonly configFile: string;
  readonly auditFile: string;
  readonly caFile: string;
  /** Script for single calls. */
  readonly tryFile: string;
  /** Script of the whole tour. */
  readonly tourFile: string;
  /** Directory of the configurations of MCP clients. */
  readonly clientsDirectory: string;
  /** `https://localhost:<port>`. */
  readonly publicUrl: string;
  readonly mcpUrl: string;
  readonly adminUrl: string;
  readonly issuer: string;
  readonly upstreamUrl: string;
  readonly isDemo: boolean;
  readonly policy: DevelopmentPolicy;
  readonly clientSecrets: Readonly<Record<OAuthClient, string>>;
  readonly apiKey: string;
  readonly notes: readonly string[];
}

/** OAuth clients of the environment. `short_lived` gets tokens that live for one second. */
export type OAuthClient = Exclude<DevelopmentClient, 'reporting_tool'> | 'short_lived';
