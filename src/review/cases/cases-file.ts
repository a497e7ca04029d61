// Files of policy tests: named requests of made-up callers, each with the answer that is expected. Read as strictly as the configuration.
import { dirname, isAbsolute, join } from 'node:path';
import * as z from 'zod';
import { readRegularFile } from '../../config/files/files.ts';
import { ConfigError, inOrder, type Problem } from '../../config/problem.ts';
import type { Path } from '../../config/schema/reporter.ts';
import { suggestion } from '../../config/schema/suggestion.ts';
import { scopes, text } from '../../config/schema/values.ts';
import { shapeProblems } from '../../config/schema-errors.ts';
import { type LocatedYaml, parseLocatedYaml } from '../../config/yaml.ts';
import { statusOfCode } from '../../errors.ts';
import { isExact } from '../../json/exact-numbers.ts';
import { type RequestForm, requestMembers } from '../request-form.ts';

const maxBytes = 4 * 1024 * 1024;
const code = z.string().refine((value) => Object.hasOwn(statusOfCode, value), {
  error: ({ input }) =>
    `expected the code of a denial or refusal${suggestion(String(input), Object.keys(statusOfCode))}`,
});

/** Where it is `true`, by any rule or with any code. */
const outcome = z.union([z.literal(true), text]);

const expectation = z.strictObject({
  allow: outcome.optional().describe('The rule that allows it; true: any.'),
  deny: z
    .union([code, z.literal(true)])
    .optional()
    .describe('The code of the denial or refusal; true: any.'),
  rule: text.optional().describe('The rule that governs.'),
  reason: text.optional().describe('The code, or the finer reason, such as expired, network or no_rule.'),
  unmet: z
    .enum(['scopes', 'anyScope', 'authenticatedBy', 'senderConstrained', 'when'])
    .optional()
    .describe('The demand of the rule that is not met.'),
  missing: scopes.optional().describe('The scopes that are missing, in any order.'),
  answer: z.int().min(100).max(599).optional().describe("The HTTP status of the gateway's own answer."),
  message: text.optional().describe('A part of what the client is told.'),
});

const policyCase = z.strictObject({
  name: text,
  ...requestMembers,
  expect: z
    .union([expectation, z.enum(['allow', 'deny']).transform((side) => ({ [side]: true }))])
    .transform((expected): Expectation => expected)
    .superRefine(checkSides),
});

const onlyDenied = ['reason', 'unmet', 'missing', 'message'] as const;

/** An expected outcome, with `allow` or `deny`. */
export type Expectation = z.output<typeof expectation>;

/** One policy test. */
export interface PolicyCase extends RequestForm {
  readonly name: string;
  readonly expect: Expectation;
}

/** A case with its place in its file. */
export interface PlacedCase {
  readonly case: PolicyCase;
  /** A problem at a path below the case. */
  problem(path: Path, message: string): Problem;
}

/** A file of cases, as far as it is sound. */
export interface CasesFile {
  /** As it was named. */
  readonly file: string;
  /** The configuration that it names, relative to the working folder as the file itself. */
  readonly policy: string | undefined;
  readonly cases: readonly PlacedCase[];
  /** The problems of the rest. */
  readonly problems: readonly Problem[];
}

const fileSchema = z.strictObject({ policy: text.optional(), cases: z.array(z.unknown()).min(1) });

/** Reads a file of cases. Throws ConfigError where it cannot be read, or is no list of cases. */
export async function readCasesFile(file: string): Promise<CasesFile> {
  const document = parseLocatedYaml(file, await read(file), { isExact });
  const whole = fileSchema.safeParse(document.value);
  if (!whole.success)
    throw new ConfigError(inOrder([...document.problems, ...problemsOf(whole.error, fileSchema, [], document)]));
  const problems = [...document.problems];
  const cases: PlacedCase[] = [];
  const names = new Map<string, number>();
  for (const [index, value] of whole.data.cases.entries()) {
    const path = ['cases', index];
    const parsed = policyCase.safeParse(value);
    if (!parsed.success) {
      problems.push(...problemsOf(parsed.error, policyCase, path, document));
      continue;
    }
    const { name } = parsed.data;
    const earlier = names.get(name);
    if (earlier !== undefined)
      problems.push(document.problem([...path, 'name'], `cases[${earlier}] has this name too`));
    else names.set(name, index);
    cases.push({
      case: parsed.data,
      problem: (below, message) => document.problem([...path, ...below], message),
    });
  }
  const { policy } = whole.data;
  return { file, policy: policy && (isAbsolute(policy) ? policy : join(dirname(file), policy)), cases, problems };
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readRegularFile(file, maxBytes);
  } catch (error) {
    const message = `cannot read the file: ${(error as Error).message}`;
    throw new ConfigError([{ file, line: 1, column: 1, path: '', message }], { unreadable: true });
  }
}

function problemsOf(error: z.ZodError, schema: z.ZodType, base: Path, document: LocatedYaml): Problem[] {
  const within = base.reduce<unknown>(
    (value, step) => (value as Record<string | number, unknown>)[step],
    document.value,
  );
  return shapeProblems(error, within, schema).map(({ path, message, at }) =>
    document.problem([...base, ...path], message, at),
  );
}

function checkSides(expected: Expectation, context: z.RefinementCtx): void {
  const { allow, deny } = expected;
  const report = (message: string, ...path: string[]) => context.addIssue({ code: 'custom', message, path });
  if ((allow === undefined) === (deny === undefined)) report('needs one of: allow, deny');
  else if (allow !== undefined) {
    for (const key of onlyDenied) if (expected[key] !== undefined) report('goes with deny only', key);
    if (allow !== true && expected.rule !== undefined) report('is said by allow already', 'rule');
  }
}
