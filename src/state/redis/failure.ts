// Failures of the shared state by a closed list of outcomes, for records, metrics and the operator.

/** Each outcome with advice for the operator. */
const stateOutcomes = {
  unreachable: 'the connection cannot be made, or was cut; look at address, network and server',
  tls: 'the TLS handshake failed; look at caFile, the name in its certificate, and certFile where it asks for one',
  timeout: 'no answer in time; the server is stopped, overloaded, or far away',
  unauthenticated: 'the server does not accept the user or its password',
  forbidden: 'the ACL user lacks a command or the prefix of the keys; docs/configuration.md has the rule',
  loading: 'the server is loading its data, or has no master yet',
  read_only: 'the server is a replica; a fail-over has moved the master',
  out_of_memory: 'the server takes no more data; look at maxmemory and its disk',
  moved: 'the server is a node of a cluster; set cluster: true',
  cluster_down: 'the cluster has no node for the key',
  busy: 'the server is busy with a script, or too many commands wait',
  wrong_type: 'a key of the prefix holds something else; another program writes there',
  unexpected_reply: 'the answer is none that Redis gives',
  refused: 'the server refused the command',
} as const;

export type StateOutcome = keyof typeof stateOutcomes;

/** A question that the shared state did not answer. */
export class StateFailure extends Error {
  readonly outcome: StateOutcome;

  constructor(outcome: StateOutcome, cause?: unknown) {
    super(stateOutcomes[outcome], { cause });
    this.name = 'StateFailure';
    this.outcome = outcome;
  }
}

/** The first words of error replies. */
const replies: Readonly<Record<string, StateOutcome>> = {
  NOAUTH: 'unauthenticated',
  WRONGPASS: 'unauthenticated',
  NOPERM: 'forbidden',
  LOADING: 'loading',
  MASTERDOWN: 'loading',
  READONLY: 'read_only',
  OOM: 'out_of_memory',
  MISCONF: 'out_of_memory',
  NOREPLICAS: 'out_of_memory',
  MOVED: 'moved',
  ASK: 'moved',
  CLUSTERDOWN: 'cluster_down',
  TRYAGAIN: 'cluster_down',
  CROSSSLOT: 'cluster_down',
  BUSY: 'busy',
  WRONGTYPE: 'wrong_type',
};

/** Of errors of the client by their class. Without one: of sockets, or of a server that does not speak as Redis does. */
const classes: Readonly<Record<string, StateOutcome>> = {
  ClientClosedError: 'unreachable',
  ClientOfflineError: 'unreachable',
  SocketClosedUnexpectedlyError: 'unreachable',
  DisconnectsClientError: 'unreachable',
  ConnectionTimeoutError: 'unreachable',
  RootNodesUnavailableError: 'unreachable',
  ReconnectStrategyError: 'unreachable',
  AbortError: 'timeout',
  TimeoutError: 'timeout',
  MaxCommandRedirectionsError: 'cluster_down',
};

/** The failure that an error of the client stands for. */
export function stateFailureOf(error: unknown): StateFailure {
  if (error instanceof StateFailure) return error;
  return new StateFailure(outcomeOf(error), error);
}

function outcomeOf(error: unknown): StateOutcome {
  if (!(error instanceof Error)) return 'unexpected_reply';
  const { code = '' } = error as NodeJS.ErrnoException;
  const byClass = classes[error.constructor.name];
  if (byClass !== undefined) return byClass;
  if (error.message === 'The queue is full') return 'busy';
  // An error within a script comes as `ERR OOM …` or, from its own calls, with the word in front.
  const [, word = ''] = /^(?:ERR )?([A-Z]+)\b/.exec(error.message) ?? [];
  const byReply = replies[word];
  if (byReply !== undefined) return byReply;
  if (/^ERR (invalid password|Client sent AUTH|AUTH )/.test(error.message)) return 'unauthenticated';
  if (error.constructor.name === 'SimpleError' || error.constructor.name === 'BlobError') return 'refused';
  if (/^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH)|^E?PROTO$/.test(code)) return 'tls';
  return code === '' ? 'unexpected_reply' : 'unreachable';
}
