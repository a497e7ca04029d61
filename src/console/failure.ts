// Failure of a request to the console, answered as a page.

/** An error with the sentence of its page, and the status; undefined is 500. */
export function failure(statusCode: number | undefined, message: string): Error {
  return Object.assign(new Error(message), { statusCode });
}
