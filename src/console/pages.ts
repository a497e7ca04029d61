// Pages of the console, in the order of the navigation.

import { connect } from './connect/page.ts';
import { credentials } from './credentials/page.ts';
import { decisions } from './decisions/page.ts';
import { overview } from './overview/page.ts';
import type { ConsolePage } from './page.ts';
import { policy } from './policy/page.ts';
import { streams } from './streams/page.ts';

/** Every page. A new one is a line here; its example is `overview/page.ts`. */
export const pages: readonly ConsolePage[] = [overview, decisions, policy, credentials, streams, connect];
