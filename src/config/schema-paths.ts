// Schemas at the paths of a file, over all branches of unions: its keys are known before it is parsed.
import type { z } from 'zod';
import type { Path } from './schema/reporter.ts';

/** The keys that may stand in the map at a path. */
export function knownKeys(schema: z.ZodType, path: Path): string[] {
  return schemasAt(schema, path).flatMap(({ _zod: { def } }) => {
    if (def.type === 'object') return Object.keys(def.shape);
    return def.type === 'record' ? [...(def.keyType._zod.values ?? [])].map(String) : [];
  });
}

/** The alternatives for the value at a path. */
export function schemasAt(schema: z.ZodType, path: Path): z.core.$ZodTypes[] {
  let branches = branchesOf(schema);
  for (const step of path) branches = branches.flatMap((branch) => branchesOf(schemaBelow(branch, step)));
  return branches;
}

/** The branches of a schema, without the layers that give defaults or transform the value. */
function branchesOf(schema: z.core.$ZodType | undefined): z.core.$ZodTypes[] {
  if (schema === undefined) return [];
  const branch = schema as z.core.$ZodTypes;
  const { def } = branch._zod;
  switch (def.type) {
    case 'optional':
    case 'default':
    case 'prefault':
      return branchesOf(def.innerType);
    case 'pipe':
      return branchesOf(def.in);
    case 'union':
      return def.options.flatMap(branchesOf);
    default:
      return [branch];
  }
}

function schemaBelow({ _zod: { def } }: z.core.$ZodTypes, step: string | number): z.core.$ZodType | undefined {
  if (def.type === 'array') return def.element;
  if (def.type === 'record') return def.valueType;
  return def.type === 'object' && Object.hasOwn(def.shape, step) ? def.shape[step] : undefined;
}
