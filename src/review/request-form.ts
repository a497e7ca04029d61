// Request forms: a made-up caller and call, as cases of policy tests and `explain --as` write them.
import { isIP } from 'node:net';
import * as z from 'zod';
import type { Path } from '../config/schema/reporter.ts';
import { authenticatorName, date, method, scopes, text } from '../config/schema/values.ts';
import { shapeProblems } from '../config/schema-errors.ts';
import { plainAddress } from '../ip-ranges.ts';

/** `as`: the credentials of a made-up caller. */
const callerForm = z.union([
  z.literal('none'),
  z.strictObject({
    client: text.optional().describe('The client id of its token.'),
    subject: text.optional().describe('The subject of its token; default the client.'),
    scopes: scopes.optional().describe('The scopes of its token; default none.'),
    claims: z.record(z.string(), z.unknown()).optional().describe('Further claims of its token, by our names.'),
    authenticator: authenticatorName
      .optional()
      .describe("Whose credential it is; default the route's first that fits."),
    certificate: text.optional().describe('A name, URI or fingerprint of its client certificate.'),
    key: text.optional().describe('The id of its API key.'),
    senderConstrained: z
      .boolean()
      .optional()
      .describe('Its token is bound: to its certificate, or else to a key (DPoP).'),
    none: z.literal(true).optional().describe('No credential.'),
  }),
]);
export type CallerForm = z.output<typeof callerForm>;

/** JSON that is put into the message as it is written: numbers of any form, names that occur twice. */
const jsonText = z.string().refine(isJson, 'is text, but no JSON');

/** `call`: a tool or another MCP message on an MCP route, or a method and path. */
const callForm = z.strictObject({
  route: text.optional().describe('The MCP route; default the only one.'),
  tool: text.optional().describe('The tool that is called.'),
  args: z
    .union([z.record(z.string(), z.unknown()), jsonText])
    .optional()
    .describe('Its arguments, or their JSON as text.'),
  via: text.optional().describe('The meta-tool that it is called through.'),
  mcp: z
    .strictObject({
      method: text.describe('The method of the message.'),
      params: z.record(z.string(), z.unknown()).optional().describe('Its params.'),
    })
    .optional()
    .describe('Another message.'),
  method: method.optional().describe('The HTTP method.'),
  path: text.optional().describe('The path, as clients send it.'),
});
export type CallForm = z.output<typeof callForm>;

/** The members of a made-up request; cases have more beside them. */
export const requestMembers = {
  as: callerForm.default('none').describe('The caller; default one without a credential.'),
  from: z
    .string()
    .refine((address) => isIP(address) !== 0, 'expected an IP address')
    .transform(plainAddress)
    .default('127.0.0.1')
    .describe('The address that it comes from; default loopback.'),
  at: date.optional().describe('The time of the request; default now.'),
  call: callForm.describe('The call.'),
};
export const requestForm = z.strictObject(requestMembers);
export type RequestForm = z.output<typeof requestForm>;

/** A mistake in a form: it names what the policy file does not have, or contradicts itself. */
export interface FormProblem {
  /** Below the form. */
  readonly path: Path;
  readonly message: string;
}

/** All mistakes of a form at once. */
export class FormError extends Error {
  readonly problems: readonly FormProblem[];

  constructor(problems: readonly FormProblem[]) {
    super(problems.map(({ path, message }) => `${path.join('.')}: ${message}`).join('\n'));
    this.name = 'FormError';
    this.problems = problems;
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Reads a form from parsed JSON or YAML. Throws FormError. */
export function readForm<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new FormError(shapeProblems(parsed.error, value, schema).map(({ path, message }) => ({ path, message })));
}
