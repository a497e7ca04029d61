// Resource URIs that two readers could resolve differently.

/** Dot segments, encoded `.` `/` `\` `%` and controls, and controls themselves. Each expression walks the text once. */
const dotSegment = /(?:^|[/\\:])\.{1,2}(?:$|[/\\?#])/;
const encodedDelimiter = /%(?:2e|2f|5c|25|[01][0-9a-f]|7f)/i;
const control = /\p{Cc}/u;

/** Reports whether a URI could name something else than it appears to. */
export function isDangerousUri(uri: string): boolean {
  return dotSegment.test(uri) || encodedDelimiter.test(uri) || control.test(uri);
}
