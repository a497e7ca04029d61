// Policy over facts of which some are not known: the same rules, whose tests may turn out in more than one way.
import { type Condition, evaluateCondition } from '../../policy/condition/condition.ts';
import { neverDirect } from '../../policy/condition/direct-evaluation.ts';
import type { Policy, Rule } from '../../policy/rule.ts';
import { indexRules } from '../../policy/rule-index.ts';
import type { Selector } from '../../policy/selectors/selector-type.ts';
import type { Doubt } from './doubt.ts';

/**
 * The policy for `decide` on facts of which some are not known. Its selectors and conditions are those of the given policy, and reading what is not
 * known ends them. Rules in report mode are left out.
 */
export function openPolicy(policy: Policy, doubt: Doubt): Policy {
  const selectorsOf = remember((selectors: readonly Selector[]) => selectors.map((each) => openSelector(each, doubt)));
  const conditionOf = remember((condition: Condition) => openCondition(condition, doubt));
  const rules = policy.rules.map((rule): Rule => {
    const { require, selectors, when } = rule;
    return {
      ...rule,
      selectors: selectorsOf(selectors),
      when: when && conditionOf(when),
      require: { ...require, when: require.when && conditionOf(require.when) },
    };
  });
  return { ...policy, rules, index: indexRules(rules), withReported: undefined };
}

function remember<K extends object, V>(make: (key: K) => V): (key: K) => V {
  const made = new Map<K, V>();
  return (key) => {
    const value = made.get(key) ?? make(key);
    made.set(key, value);
    return value;
  };
}

/** The index of rules would read claims too. */
function openSelector(selector: Selector, doubt: Doubt): Selector {
  return {
    ...selector,
    matches: (attributes) => doubt.test(() => selector.matches(attributes), false),
    reaches:
      selector.reaches?.filter((reach) => !Object.keys(reach).some((subject) => subject.startsWith('claim '))) ?? [],
  };
}

function openCondition(condition: Condition, doubt: Doubt): Condition {
  return {
    ...condition,
    ...neverDirect,
    run: (variables, state) =>
      doubt.test(() => {
        try {
          return evaluateCondition(condition, variables, state);
        } finally {
          // An evaluation that an unknown fact has ended says nothing of the next one.
          if (doubt.isTouched()) state.error = undefined;
        }
      }, true),
  };
}
