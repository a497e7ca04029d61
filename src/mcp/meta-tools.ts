// Tools that stand for other tools: one calls whatever tool its arguments name, another searches the catalogue. Which they are, and where to look.

/** JSON pointers (RFC 6901) into the arguments of the tool: where the name of the tool that is called stands, and where its arguments. */
export interface CallMetaTool {
  readonly name: string;
  readonly arguments: string;
}

/** JSON pointer into the payload of the tool's result: where the array of tools stands; `""` is the payload itself. */
export interface SearchMetaTool {
  readonly results: string;
}

/** By the exact name of the meta-tool. */
export interface MetaTools {
  readonly calls: ReadonlyMap<string, CallMetaTool>;
  /** The payload is `structuredContent`, and the JSON inside each text block of the content. */
  readonly searches: ReadonlyMap<string, SearchMetaTool>;
}

export type MetaToolConfig = CallMetaTool | SearchMetaTool;

/** No tool is taken for another one. */
export const noMetaTools: MetaTools = { calls: new Map(), searches: new Map() };

/** Sorts configured meta-tools by what they do. */
export function compileMetaTools(config: Readonly<Record<string, MetaToolConfig>>): MetaTools {
  const calls = new Map<string, CallMetaTool>();
  const searches = new Map<string, SearchMetaTool>();
  for (const [name, tool] of Object.entries(config)) {
    if ('results' in tool) searches.set(name, tool);
    else calls.set(name, tool);
  }
  return { calls, searches };
}
