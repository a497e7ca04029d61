// Sample calls of the development environment: those of its self-test, and of the commands that it prints.

/** Arguments of a query on the demo Superset. */
export const sqlArguments = JSON.stringify({
  request: {
    database_id: 1,
    sql: 'SELECT region, count(*) AS orders, round(sum(revenue)) AS revenue FROM orders GROUP BY region',
  },
});

/** A tool that the frontend may not call on a server with unknown tools, whether or not it has it. */
export const refusedTool = 'change_something';

/** The call that the agent may make and the one that the frontend may not: a tool, or an MCP method, which has a slash. */
export function sampleCalls({ isDemo }: { readonly isDemo: boolean }): {
  readonly allowed: string;
  readonly refused: string;
} {
  return isDemo ? { allowed: 'execute_sql', refused: 'execute_sql' } : { allowed: 'tools/list', refused: refusedTool };
}
