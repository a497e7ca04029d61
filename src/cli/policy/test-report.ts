// Reports of policy tests: text for people, JSON, TAP 14, and JUnit XML for CI.

import { printable } from '../../printable.ts';
import { isUncovered, type RuleCoverage } from '../../review/cases/coverage.ts';
import type { CaseResult } from '../../review/cases/run-cases.ts';
import { formatJson } from '../table.ts';

/** The results of a run. */
export interface TestReport {
  /** Every case passed, and where full coverage is asked for, every rule was reached. */
  readonly ok: boolean;
  readonly cases: readonly CaseResult[];
  /** Undefined where it was not asked for. */
  readonly coverage: readonly RuleCoverage[] | undefined;
}

/** The formats by name. */
export const reporters = { text, json, tap, junit } satisfies Record<string, (report: TestReport) => string>;

function text({ cases, coverage }: TestReport): string {
  const lines = [...Map.groupBy(cases, ({ file }) => file)].flatMap(([file, group]) => [
    file,
    ...group.flatMap((each) =>
      each.ok ? [`  ok    ${each.name}`] : [`  FAIL  ${each.name}`, ...indent(reasons(each), 8)],
    ),
  ]);
  const failed = cases.filter(({ ok }) => !ok).length;
  lines.push(`${count(cases.length, 'case')}: ${cases.length - failed} passed, ${failed} failed`);
  const all = [...lines, ...(coverage === undefined ? [] : coverageLines(coverage))];
  return all.map((line) => `${printable(line)}\n`).join('');
}

function coverageLines(coverage: readonly RuleCoverage[]): string[] {
  const uncovered = coverage.filter(isUncovered).length;
  const shown = coverage.filter(({ allowed, denied }) => allowed === 0 || denied === 0);
  const width = Math.max(0, ...shown.map(({ route }) => route.length));
  return [
    `${count(coverage.length, 'rule')}: ${coverage.length - uncovered} reached by cases, ${uncovered} not`,
    ...shown.map((each) => `  ${each.route.padEnd(width)}  ${each.rule}: ${missingSide(each)}`),
  ];
}

function missingSide(coverage: RuleCoverage): string {
  if (isUncovered(coverage)) return 'no case reaches it';
  return coverage.allowed === 0 ? 'no case is allowed by it' : 'no case fails its demands';
}

function json({ ok, cases, coverage }: TestReport): string {
  const failed = cases.filter((each) => !each.ok).length;
  const rules = coverage?.map((each) => ({ ...each, covered: !isUncovered(each) }));
  return formatJson({ ok, passed: cases.length - failed, failed, cases, coverage: rules });
}

/** Test Anything Protocol 14. */
function tap({ cases, coverage }: TestReport): string {
  const lines = cases.flatMap((each, index) => {
    const line = `ok ${index + 1} - ${tapName(each.name)}`;
    if (each.ok) return [line];
    const details = JSON.stringify({ at: placeOf(each), differences: each.differences, actual: each.actual });
    return [`not ${line}`, '  ---', `  ${printable(details)}`, '  ...'];
  });
  const comments = coverage === undefined ? [] : coverageLines(coverage).map((line) => `# ${printable(line)}`);
  return `${['TAP version 14', `1..${cases.length}`, ...lines, ...comments].join('\n')}\n`;
}

/** A line break would end the test point, `#` begin a directive. */
function tapName(name: string): string {
  return printable(name.replaceAll(/[\s\p{Cc}]+/gu, ' ')).replaceAll(/[\\#]/g, '\\$&');
}

function junit({ cases }: TestReport): string {
  const suites = [...Map.groupBy(cases, ({ file }) => file)].flatMap(([file, group]) => {
    const failures = group.filter(({ ok }) => !ok).length;
    return [
      `  <testsuite name="${xml(file)}" tests="${group.length}" failures="${failures}" errors="0">`,
      ...group.flatMap((each) => testCase(each)),
      '  </testsuite>',
    ];
  });
  return `${['<?xml version="1.0" encoding="UTF-8"?>', '<testsuites name="portcullis test">', ...suites, '</testsuites>'].join('\n')}\n`;
}

function testCase(result: CaseResult): string[] {
  const { differences, file, line, name, ok } = result;
  const head = `    <testcase name="${xml(name)}" classname="${xml(file)}" file="${xml(file)}" line="${line}"`;
  if (ok) return [`${head}/>`];
  const body = xml(reasons(result).join('\n'));
  return [`${head}>`, `      <failure message="${xml(differences[0]!)}">${body}</failure>`, '    </testcase>'];
}

/** XML 1.0 has no characters for most controls, nor for halves of surrogate pairs. */
function xml(value: string): string {
  return value
    .toWellFormed()
    .replaceAll(/[^\t\n\r\x20-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll(/[&<>"'\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `&#${character.codePointAt(0)};`);
}

/** The place, the differences, and why the request was decided so. */
function reasons(result: CaseResult): string[] {
  const { actual, differences } = result;
  const { code, decision, message, missing, reason, rule, unmet } = actual;
  const why = [
    code === undefined ? decision : `${decision} ${code}`,
    rule === undefined ? 'no rule governs' : `by rule ${rule}`,
    ...(reason === undefined ? [] : [`reason ${reason}`]),
    ...(unmet === undefined ? [] : [`unmet ${unmet}`]),
    ...(missing.length === 0 ? [] : [`missing ${missing.join(' ')}`]),
  ];
  const told = message === undefined ? [] : [`told: ${message}`];
  return [placeOf(result), ...differences, `got: ${why.join(', ')}`, ...told];
}

function placeOf({ column, file, line }: CaseResult): string {
  return `${file}:${line}:${column}`;
}

function indent(lines: readonly string[], width: number): string[] {
  return lines.flatMap((line) => line.split('\n')).map((line) => ' '.repeat(width) + line);
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}
