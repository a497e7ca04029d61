// Failure of a request to the console, answered as a page.

/** An error with the status and the sentence of its page. */
export function failure(statusCode: number, message: string): Error {
  return Object.assign(new Error(message), { statusCode });
}
