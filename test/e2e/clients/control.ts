// Control server of the scenario: a client's program announces each step here, which provokes refusals, and finds the person's browser.
import { listenOnLoopback } from '../../../src/dev/loopback.ts';
import { until } from '../../support/until.ts';
import { type Endpoint, refusals, type Stage } from './stage.ts';

export interface Step {
  readonly name: string;
  /** Of the audit record before it. */
  readonly lastSeq: number;
  /** Of the person, before it. */
  readonly approvals: number;
}

export interface Control {
  readonly origin: string;
  readonly steps: readonly Step[];
  /** Why a step could not begin. */
  failure(): Error | undefined;
  /** Ends the step before. */
  begin(name: string): Promise<void>;
  close(): Promise<void>;
}

/** `ended` is asked about each step when the next one begins. */
export async function startControl(
  stage: Stage,
  endpoint: Endpoint,
  ended: (step: Step) => Promise<void>,
): Promise<Control> {
  const steps: Step[] = [];
  let failure: Error | undefined;
  let calm = async () => {};

  async function begin(name: string): Promise<void> {
    const last = steps.at(-1);
    if (last !== undefined) await ended(last);
    await calm();
    calm = async () => {};
    const lastSeq = (await stage.scene.gateway.records()).at(-1)?.seq ?? -1;
    steps.push({ name, lastSeq, approvals: stage.approvals.length });
    const refusal = refusals.find((each) => each === name);
    if (refusal !== undefined) calm = await stage.provoke(refusal, endpoint);
  }

  /** Resolves with the URL that the browser is sent to. Clients that listen there do so only once they have opened the browser. */
  async function browse(page: string, visit: boolean): Promise<string> {
    const back = await stage.approve(new URL(page));
    const isVisited = async () => (await fetch(back).catch(() => undefined))?.ok === true;
    if (visit) await until(isVisited);
    return back.href;
  }

  async function answer(target: string): Promise<string> {
    const { pathname, searchParams } = new URL(target, 'http://control');
    if (pathname === '/browser') return browse(searchParams.get('url') ?? '', searchParams.has('visit'));
    await begin(pathname.slice('/step/'.length));
    return '';
  }
  const server = await listenOnLoopback(0, (request, response) => {
    answer(request.url ?? '').then(
      (text) => response.end(text),
      (error: Error) => {
        failure ??= error;
        response.writeHead(500).end();
      },
    );
  });
  return {
    origin: server.origin,
    steps,
    failure: () => failure,
    begin,
    async close() {
      await calm();
      await server.close();
    },
  };
}
