// Edits of YAML files: the text around a change stays, and an edit that cannot be made safely is refused.
import t from 'tap';
import { editYaml } from '../../src/config/edit-yaml.ts';

const file = `# keys
authenticators:
  legacy:
    type: apiKey      # old
    keys:             # all
      - id: k1        # first
        # inner
        expires: 2026-12-31   # end

      - {id: k2, hash: y}
    # behind
other: [{id: a}]  # flow`;

const keys = ['authenticators', 'legacy', 'keys'];

t.test('an item behind another one of a block sequence, in its indentation', (t) => {
  const edited = editYaml(file, [{ insert: { id: 'n', scopes: ['a'] }, behind: [...keys, 0] }]);
  t.equal(edited, file.replace('# end\n', '# end\n      - id: n\n        scopes:\n          - a\n'));
  t.end();
});

t.test('members of block and flow maps, new and changed, and an item of a flow sequence', (t) => {
  const edited = editYaml(file, [
    { set: 'expires', value: '2026-12-01T10:00:00Z', path: [...keys, 0] },
    { set: 'expires', value: '2026-12-02', path: [...keys, 1] },
    { insert: { id: 'b' }, behind: ['other', 0] },
  ]);
  t.equal(
    edited,
    file
      .replace('2026-12-31', '2026-12-01T10:00:00Z')
      .replace('hash: y}', 'hash: y, expires: 2026-12-02}')
      .replace('[{id: a}]', '[{id: a}, {id: b}]'),
  );
  t.end();
});

t.test('lists that are missing, empty, flow or block take an item with its comment', (t) => {
  const add = (text: string) => editYaml(text, [{ add: '0123', path: ['jti'], comment: 'lost\nlaptop' }]);
  t.equal(add(''), 'jti:\n  - "0123" # lost laptop\n');
  t.equal(add('# none\n'), '# none\njti:\n  - "0123" # lost laptop\n');
  t.equal(add('keyIds: [a]'), 'keyIds: [a]\njti:\n  - "0123" # lost laptop\n');
  t.equal(add('jti: []\nkeyIds: [a]\n'), 'jti:\n  - "0123" # lost laptop\nkeyIds: [a]\n');
  t.equal(add('{}\n'), 'jti:\n  - "0123" # lost laptop\n');
  t.equal(add('# a\n{}'), '# a\njti:\n  - "0123" # lost laptop\n');
  t.equal(add('{keyIds: [a], jti: []}'), '{keyIds: [a], jti: ["0123"]}');
  t.equal(add('{keyIds: [a]}'), '{keyIds: [a], jti: ["0123"]}');
  t.equal(editYaml('{}', [{ set: 'a', value: 'b', path: [] }]), 'a: b');
  t.equal(add('jti: [a]\n'), 'jti: [a, "0123"]\n');
  t.equal(add('jti:\n- a # why\n# end\n'), 'jti:\n- a # why\n- "0123" # lost laptop\n# end\n');
  t.end();
});

t.test('a value that is shared by an alias, or of another kind, is not edited', (t) => {
  const byHand = /make the change by hand/;
  for (const text of [
    'x: &a [k]\njti: *a\n',
    'x: &a [k]\ny: *a\njti: &b [c]\nz: *b\n',
    'jti: a\n',
    'jti: {a: b}\n',
    'jti: !!set {a}\n',
  ])
    t.throws(() => editYaml(text, [{ add: 'n', path: ['jti'] }]), byHand, text);
  t.throws(() => editYaml('k: [*x]\n', [{ insert: 'n', behind: ['k', 0] }]), Error);
  t.end();
});
