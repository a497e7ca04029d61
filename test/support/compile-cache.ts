// Compile cache of the test processes, loaded before each file: it saves a quarter to a half of the time of a short one.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

const directory = join(import.meta.dirname, '../../node_modules/.cache/node');
enableCompileCache(directory);
process.env.NODE_COMPILE_CACHE = directory;
// A process that a test starts is the command as a user starts it, without the modules that tap puts before each file.
delete process.env.NODE_OPTIONS;
