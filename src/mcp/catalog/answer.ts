// JSON-RPC answers to requests of the gateway's own, read strictly.
import { responseLimits, scanJson } from '../../json/scanner.ts';
import { compileShape } from '../../json/shape.ts';
import { type Definition, isMap } from './definition.ts';

const anyShape = compileShape(new Map(), false);

/** The messages of a text: one or a batch. Throws an Error for the log where readers could understand it in different ways. */
export function readMessages(text: Buffer): Definition[] {
  scanJson(text, anyShape, 1, responseLimits);
  const value: unknown = JSON.parse(text.toString());
  return [value].flat().filter(isMap);
}
