// Databases and datasets of the demo Superset.

/** A database connection, with Superset's member names. */
export interface Database {
  readonly id: number;
  readonly uuid: string;
  readonly database_name: string;
  readonly backend: string;
  readonly expose_in_sqllab: boolean;
  readonly allow_dml: boolean;
}

/** A table or a saved query as a source of charts, with Superset's member names. */
export interface Dataset {
  readonly id: number;
  readonly uuid: string;
  readonly table_name: string;
  readonly schema: string;
  readonly database_id: number;
  readonly database_name: string;
  readonly description: string;
  readonly is_virtual: boolean;
  /** The query behind a virtual dataset. */
  readonly sql: string | null;
  readonly columns: readonly { readonly column_name: string; readonly type: string }[];
  readonly metrics: readonly { readonly metric_name: string; readonly expression: string }[];
}
