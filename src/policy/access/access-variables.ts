// Variables of accesses: what a configuration leaves open of a caller and a call.
import { rangesRelation } from '../../ip-ranges.ts';
import type { Selector } from '../selectors/selector-type.ts';
import { isFalse, isTrue, type Variable } from './access-formula.ts';
import { conditionEntails, errorEntails, type ReadCondition } from './condition-words.ts';

/** The caller has the scope. */
export function scopeVariable(scope: string): Variable {
  return twoValued(`scope ${scope}`, `with scope ${scope}`, `without scope ${scope}`);
}

/** The claim has one of the values. */
export function claimVariable(claim: string, values: readonly unknown[], shown: readonly unknown[]): Variable {
  const words = `${claim} ${shown.map(String).join(' or ')}`;
  const variable: ClaimVariable = {
    ...twoValued(`claim ${claim} ${JSON.stringify(values)}`, `with ${words}`, `without ${words}`),
    claim,
    accepted: values,
  };
  return {
    ...variable,
    relationTo(other) {
      const { claim: same, accepted } = other as Partial<ClaimVariable>;
      return same === claim && values.every((value) => accepted?.includes(value)) ? 'within' : undefined;
    },
  };
}

interface ClaimVariable extends Variable {
  readonly claim: string;
  readonly accepted: readonly unknown[];
}

/** The client's address is in one of the ranges, which are given by the digits that their addresses begin with. */
export function networkVariable(ranges: readonly string[], shown: readonly string[]): Variable {
  const words = shown.join(' or ');
  const variable = {
    ...twoValued(`network ${[...ranges].sort().join(' ')}`, `from ${words}`, `not from ${words}`),
    ranges,
  };
  return { ...variable, relationTo: (other) => rangesRelation(ranges, (other as Partial<typeof variable>).ranges) };
}

/** The name of the target matches a selector. */
export function namesVariable({ wanted }: Selector): Variable {
  const names = (wanted.tools ?? wanted.resources ?? wanted.prompts ?? wanted.methods) as readonly string[];
  const words = names.map((name) => `\`${name}\``).join(', ');
  return twoValued(`name ${JSON.stringify(names)}`, `for ${words}`, `but for ${words}`);
}

interface ConditionVariable extends Variable {
  readonly read: ReadCondition;
}

/** The value of a CEL condition. */
export function conditionVariable(read: ReadCondition): Variable {
  const { parts, words, source, neverErrs } = read;
  const variable: ConditionVariable = {
    key: `condition ${[...parts].sort().join('\n')}`,
    values: neverErrs ? 2 : 3,
    read,
    words(mask, isWhole = false) {
      const text = isWhole ? source : words;
      if (mask === isTrue) return `if ${text}`;
      if (mask === isFalse) return `unless ${text}`;
      return isWhole ? `if ${text} can be judged` : 'if the arguments can be judged';
    },
    relationTo(other) {
      const { read: wider } = other as Partial<ConditionVariable>;
      return wider !== undefined && conditionEntails(read, wider) ? 'within' : undefined;
    },
    errsWith(other) {
      const { read: wider } = other as Partial<ConditionVariable>;
      return wider !== undefined && !neverErrs && !wider.neverErrs && errorEntails(read, wider);
    },
  };
  return variable;
}

/** A variable that is true or false. */
export function twoValued(key: string, ifTrue: string, ifFalse: string): Variable {
  return { key, values: 2, words: (mask) => (mask === isTrue ? ifTrue : ifFalse) };
}
