// The HTTP methods of a route that names none.

/** Of a path route: those that every reader of HTTP knows. TRACE would show the caller what the gateway adds. */
export const pathRouteMethods: readonly string[] = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
/** Of an MCP route, by the transport's definition. */
export const mcpRouteMethods: readonly string[] = ['GET', 'POST', 'DELETE'];
