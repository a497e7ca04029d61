// Schema of `routes`: paths, the credentials that they need, and rules for what callers may do there.
import * as z from 'zod';
import { authenticateSchema } from '../../authn/alternatives.ts';
import { limitNames } from '../../limits/limit.ts';
import { metaTool } from '../../mcp/meta-tools.ts';
import { serverRequestMethods } from '../../mcp/response/server-request-filter.ts';
import { preset } from '../../policy/presets.ts';
import { mcpRule, pathRule } from '../../policy/rule.ts';
import {
  filePath,
  headerName,
  httpUrl,
  jsonPointer,
  method,
  name,
  positiveSize,
  routePath,
  scopes,
  text,
} from './values.ts';

export const mcp = z.strictObject({
  preset: preset
    .optional()
    .describe('Meta-tools and default rules of a well-known server: superset, or {name: superset, rules: false}.'),
  metaTools: z
    .record(text, metaTool)
    .default({})
    .describe('Tools that call or search other tools, by name; the tool that is called is the one that is judged.'),
  sessionKeyFiles: z
    .array(filePath)
    .max(8)
    .default([])
    .describe('Keys of session ids: the first seals, all are accepted; default one of the process, kept over reloads.'),
  replies: z
    .enum(['session', 'any'])
    .default('session')
    .describe(
      'Answers to requests of the server, and cancellations and progress of what the caller has not under way: within a session only (session), or also where the upstream issues none (any).',
    ),
  challengeScopes: scopes
    .optional()
    .describe('Scopes of the first challenge and the metadata; default those of the rules.'),
  lists: z
    .enum(['usable', 'obtainable'])
    .default('usable')
    .describe('Lists show what the caller may use now, or also what more scope would let it use.'),
  denials: z
    .enum(['rpc', 'http'])
    .default('rpc')
    .describe('A denied tool call is a JSON-RPC error with status 200 (rpc) or 403 (http).'),
  forwardHeaders: z.array(headerName).default([]).describe('Request headers forwarded besides those of MCP.'),
  audit: z
    .strictObject({
      arguments: z
        .union([z.enum(['none', 'digest', 'full']), z.record(text, z.array(jsonPointer))])
        .default('digest')
        .describe('The part of the arguments that is recorded: none, digest, full, or JSON pointers per tool.'),
    })
    .prefault({})
    .describe('Content of the audit records of calls.'),
  serverRequests: z
    .array(z.enum(serverRequestMethods))
    .optional()
    .describe('Requests of the upstream to the client that pass; others are withheld. Default all; [] none.'),
  catalog: z
    .strictObject({
      file: filePath.describe('The file that `portcullis catalog` wrote.'),
      onChange: z
        .enum(['deny', 'warn'])
        .default('deny')
        .describe('What is not as it was recorded is hidden and refused (deny), or only recorded and counted (warn).'),
    })
    .optional()
    .describe('Pins the definitions of tools, resources and prompts to those of a recorded catalogue.'),
  rules: z.array(mcpRule).default([]).describe('The first rule that matches a call governs it; none: denied.'),
});

export const route = z
  .strictObject({
    name: name.optional().describe('Names the route in records and metrics; default its path.'),
    path: routePath.describe('An exact path, or one with /* for it and everything below.'),
    methods: z
      .array(method)
      .min(1)
      .optional()
      .describe('HTTP methods; default GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS. HEAD follows GET.'),
    upstream: name.optional().describe('Where its requests go.'),
    upstreamPath: routePath
      .optional()
      .describe('What the upstream sees in place of the path; of a path with /* in place of its prefix.'),
    resource: httpUrl
      .refine((url) => !url.includes('?'), 'expected a URL without a query')
      .refine((url) => /^[\w.~:/@!$&'()*+,;=%[\]-]+$/.test(url), 'expected a URL in ASCII, all else percent-encoded')
      .optional()
      .describe('The resource identifier, the default audience of tokens; default publicUrl and path.'),
    authenticate: authenticateSchema.describe(
      'The credentials that are needed: a name, none, or anyOf / allOf / optional.',
    ),
    certificateFor: z
      .array(text)
      .optional()
      .describe('Clients whose tokens and keys need the certificate of the same client beside them.'),
    senderConstraint: z
      .enum(['optional', 'required'])
      .default('optional')
      .describe('required: tokens must be bound to their sender. Bound ones are always held to it.'),
    bodyBytes: positiveSize
      .optional()
      .describe('The largest request body; default server.limits.bodyBytes. On path routes bodies are streamed.'),
    forwardHeaders: z
      .array(headerName)
      .default([])
      .describe('Request headers of a path route forwarded besides those of HTTP and browsers.'),
    websocket: z
      .boolean()
      .default(false)
      .describe('Requests of this path route may become WebSockets; otherwise an Upgrade offer is ignored.'),
    limits: limitNames.default([]).describe('Limits of all requests of the route that the rules allow, by name.'),
    scopes: scopes.optional().describe('Short for one rule that demands these scopes.'),
    rules: z.array(pathRule).optional().describe('The first rule that matches a request governs it; none: denied.'),
    mcp: mcp.optional().describe('Makes this an MCP route: messages are read and judged.'),
    respond: z
      .strictObject({
        status: z.int().min(200).max(599).default(200).describe('The status.'),
        json: z.json().optional().describe('A JSON body.'),
        text: z.string().optional().describe('A text body.'),
      })
      .optional()
      .describe('A fixed answer instead of an upstream.'),
  })
  .transform((value) => ({ ...value, name: value.name ?? value.path }));

/** Of a path route: those that every reader of HTTP knows. TRACE would show the caller what the gateway adds. */
export const pathRouteMethods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** Of an MCP route, by the transport's definition. */
export const mcpRouteMethods: readonly string[] = ['GET', 'POST', 'DELETE'];
