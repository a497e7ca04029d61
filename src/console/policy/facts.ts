// Facts of the policy page: rules with hits, the access matrix, explanations. All of the configuration in force, never of the file.
import type { RunningParts } from '../../gateway/admin/admin-source.ts';
import { compileGlob } from '../../policy/glob.ts';
import { explainRequest } from '../../review/explain/explain-request.ts';
import type { RequestExplanation } from '../../review/explain/request-explanation.ts';
import type { PolicyFile } from '../../review/policy-file.ts';
import { FormError, type FormProblem, readForm, requestForm } from '../../review/request-form.ts';
import { placeIn } from '../html/list-part.ts';
import { type AccessMatrix, type AskMatrix, type CellAnswer, createMatrixKeeper } from './access-matrix.ts';
import { reachedRules } from './reached-rules.ts';
import { listRules, type RuleRow, rowOf } from './rule-rows.ts';

/** Functions of the console source that the policy page asks. */
export interface PolicySource {
  policyRules(question: RulesQuestion): Promise<RulesFacts>;
  /** Undefined while it is worked out. */
  policyAccess(question: AccessQuestion): Promise<AccessFacts | undefined>;
  policyNames(): Promise<PolicyNames>;
  /** Explains a request form of a made-up caller. */
  policyExplanation(form: unknown): Promise<ExplanationFacts>;
}

/** A part of the rules. */
export interface RulesQuestion {
  readonly route?: string | undefined;
  readonly only?: 'never' | 'unreachable' | undefined;
  readonly from: number;
  readonly count: number;
}

/** Rules of the policy in force. */
export interface RulesFacts {
  readonly policy: string;
  readonly inForceSince: number;
  readonly rows: readonly RuleRow[];
  /** The place of the first of them, which is never behind the end. */
  readonly from: number;
  /** Of those that are asked about. */
  readonly total: number;
}

/** A part of the access matrix. */
export interface AccessQuestion {
  readonly route?: string | undefined;
  /** A glob for the names of tools. */
  readonly tool?: string | undefined;
  readonly client?: string | undefined;
  readonly fromItem: number;
  readonly items: number;
  readonly fromCaller: number;
  readonly callers: number;
}

/** Cells of the access matrix. */
export interface AccessFacts extends Pick<AccessMatrix, 'at' | 'cut' | 'policy'> {
  readonly callers: readonly { readonly name: string; readonly refused: string | undefined }[];
  readonly items: readonly (AccessMatrix['items'][number] & {
    /** A key of `answers` for each caller. */
    readonly cells: readonly number[];
  })[];
  readonly answers: Readonly<Record<number, CellAnswer>>;
  /** Places of the first of each, which are never behind the end. */
  readonly fromCaller: number;
  readonly fromItem: number;
  /** Of those that are asked about. */
  readonly callerTotal: number;
  readonly itemTotal: number;
  /** False where no rule, key or certificate names the client: it is shown with what any token may do. */
  readonly isNamed: boolean;
}

/** Names that forms may offer. */
export interface PolicyNames {
  readonly routes: readonly { readonly name: string; readonly path: string; readonly isMcp: boolean }[];
  readonly authenticators: readonly { readonly name: string; readonly type: string }[];
  /** Texts that API keys begin with. */
  readonly keyPrefixes: readonly string[];
}

/** An explanation without the rules that were not reached, which are counted by part, or the mistakes of its form. */
export type ExplanationFacts =
  | { readonly explanation: RequestExplanation; readonly notReached: readonly number[] }
  | { readonly problems: readonly FormProblem[] };

/** Time that a page waits for the matrix. */
const waitMs = 1000;
/** Cells of one answer. */
const maxCells = 4000;

/** The functions, for a gateway of these parts. */
export function policyFacts({ current, now, reloads, revocations }: RunningParts): PolicySource {
  const inForce = (): PolicyFile => {
    const { loaded, snapshot } = current();
    return { loaded, snapshot, revocations: revocations.current() };
  };
  const ask = createMatrixKeeper({ now });
  return {
    async policyRules({ count, from: asked, only, route }) {
      const { loaded, snapshot } = current();
      const rows = listRules(loaded, snapshot).filter(
        (row) =>
          (route === undefined || row.route === route) &&
          (only !== 'never' || row.hits.lastMs === 0) &&
          (only !== 'unreachable' || row.isUnreachable),
      );
      const { inForceSince } = reloads;
      const from = placeIn(rows.length, asked);
      const shown = rows.slice(from, from + count).map(rowOf);
      return { policy: loaded.hash, inForceSince, rows: shown, from, total: rows.length };
    },
    policyAccess: (question) => accessFacts(question, inForce(), ask),
    async policyNames() {
      const { authenticators, routes } = current().loaded.config;
      const sections = Object.entries(authenticators);
      return {
        routes: routes.map(({ mcp, name, path }) => ({ name: name ?? path, path, isMcp: mcp !== undefined })),
        authenticators: sections.map(([name, { type }]) => ({ name, type })),
        keyPrefixes: sections.flatMap(([, section]) => (section.type === 'apiKey' ? section.prefix : [])),
      };
    },
    policyExplanation: (form) => explanationOf(form, inForce(), now),
  };
}

async function accessFacts(
  question: AccessQuestion,
  file: PolicyFile,
  ask: AskMatrix,
): Promise<AccessFacts | undefined> {
  const matrix = await ask(file, waitMs);
  if (matrix === undefined) return undefined;
  const { client, route, tool } = question;
  const matches = tool === undefined ? undefined : compileGlob(tool);
  const rows = [...matrix.items.entries()].filter(
    ([, { kind, name, routeName }]) =>
      (route === undefined || routeName === route) && (matches === undefined || (kind === 'tool' && matches(name))),
  );
  const columns = columnsOf(matrix, client);
  const fromCaller = placeIn(columns.shown.length, question.fromCaller);
  const fromItem = placeIn(rows.length, question.fromItem);
  const callers = columns.shown.slice(fromCaller, fromCaller + question.callers);
  const shown = rows.slice(fromItem, fromItem + Math.min(question.items, Math.floor(maxCells / callers.length)));
  const items = shown.map(([row, item]) => ({
    ...item,
    cells: callers.map((column) => matrix.cells[row * matrix.callers.length + column]!),
  }));
  const used = new Set(items.flatMap(({ cells }) => cells));
  return {
    at: matrix.at,
    cut: matrix.cut,
    policy: matrix.policy,
    callers: callers.map((column) => ({
      name: matrix.callers[column]!.name,
      refused: matrix.callers[column]!.refused,
    })),
    fromCaller,
    items,
    fromItem,
    answers: Object.fromEntries([...used].map((position) => [position, matrix.answers[position]!])),
    callerTotal: columns.shown.length,
    itemTotal: rows.length,
    isNamed: columns.isNamed,
  };
}

/** The callers of a client, beside what is open to anyone; of one that nothing names those of its tokens. */
function columnsOf({ callers }: AccessMatrix, client: string | undefined): { shown: number[]; isNamed: boolean } {
  const all = [...callers.keys()];
  if (client === undefined) return { shown: all, isNamed: true };
  const kindOf = (column: number) => callers[column]!.caller.kind;
  const named = all.filter((column) => {
    const { caller } = callers[column]!;
    if (caller.kind === 'client') return caller.name === client;
    return 'clientId' in caller && caller.clientId === client;
  });
  const isNamed = named.length > 0;
  const others = all.filter((column) => kindOf(column) === 'anyone' || (!isNamed && kindOf(column) === 'token'));
  return { shown: [...named, ...others], isNamed };
}

async function explanationOf(form: unknown, file: PolicyFile, now: () => number): Promise<ExplanationFacts> {
  try {
    const request = { form: readForm(requestForm, form), message: undefined, presented: undefined, offline: true };
    const explanation = await explainRequest(file, request, now);
    const { decision } = explanation;
    if (decision === undefined) return { explanation, notReached: [] };
    const { notReached, parts } = reachedRules(decision.parts);
    return { explanation: { ...explanation, decision: { ...decision, parts } }, notReached };
  } catch (error) {
    if (error instanceof FormError) return { problems: error.problems };
    throw error;
  }
}
