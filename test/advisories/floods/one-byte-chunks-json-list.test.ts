// A filtered JSON list of the upstream in chunks of one byte: each chunk became a Buffer of its own.
import { testList } from '../../support/one-byte-lists.ts';

testList('application/json');
