// Functions of conditions that read text more strictly than the CEL library does.

/**
 * By the name of the function. They take what every reader of such a text takes for the same: RFC 8259 numbers, RFC 3339 times, and of letters ASCII
 * alone. Each throws for anything else.
 */
export const stringFunctions: Readonly<Record<string, (text: string) => unknown>> = {
  lowerAscii: (text) => flipCase(text, 'A', 'Z'),
  upperAscii: (text) => flipCase(text, 'a', 'z'),
  int: (text) => BigInt(textOf(text, integer)),
  double: (text) => Number(textOf(text, number)),
  timestamp: (text) => dateOf(textOf(text, dateTime)),
};

/** At most 18 digits, so that it is a 64-bit integer. */
const integer = /^-?(?:0|[1-9]\d{0,17})$/;
const number = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;
const dateTime = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

function textOf(text: string, form: RegExp): string {
  if (!form.test(text)) throw malformed();
  return text;
}

function dateOf(text: string): Date {
  const date = new Date(text);
  // JavaScript takes the 31st of February for a day in March.
  const day = new Date(`${text.slice(0, 10)}T00:00:00Z`).getUTCDate();
  if (Number.isNaN(date.getTime()) || day !== Number(text.slice(8, 10))) throw malformed();
  return date;
}

function malformed(): Error {
  return new Error('the text has another form');
}

/** Changes the case of the ASCII letters in a range, and no other character. */
function flipCase(text: string, first: string, last: string): string {
  const [from, to] = [first.charCodeAt(0), last.charCodeAt(0)];
  const units = Buffer.from(text, 'utf16le');
  for (let at = 0; at < units.length; at += 2) {
    if (units[at + 1] === 0 && units[at]! >= from && units[at]! <= to) units[at]! ^= 0x20;
  }
  return units.toString('utf16le');
}
