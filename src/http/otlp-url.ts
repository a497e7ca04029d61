// Address of a signal at an OTLP/HTTP receiver (OpenTelemetry protocol exporter specification, Endpoint URLs for OTLP/HTTP).

/** Adds the path of the signal, such as `/v1/logs`, to a base URL; a whole URL is left as it is. */
export function otlpUrl(endpoint: string, path: string): string {
  const url = new URL(endpoint);
  if (!url.pathname.endsWith(path)) url.pathname = url.pathname.replace(/\/$/, '') + path;
  return url.href;
}
