// Scratch folder of a test, removed at its end.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

export function folderFor(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-docs-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
