// Databases and datasets of the demo Superset.

export interface Database {
  readonly id: number;
  readonly uuid: string;
  readonly database_name: string;
  readonly backend: string;
  readonly expose_in_sqllab: boolean;
  readonly allow_dml: boolean;
}

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
