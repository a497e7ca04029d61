// Loaded before each test file: what it and the processes it starts compile is kept for the next ones, which saves a quarter to a half of a short file's time.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

const directory = join(import.meta.dirname, '../../node_modules/.cache/node');
enableCompileCache(directory);
process.env.NODE_COMPILE_CACHE = directory;
