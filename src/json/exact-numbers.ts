// JSON numbers that every reader takes for the same value, be it a double, an integer of any size, or a decimal.

/** Stands for a number that readers take for different values. No text that was scanned holds a lone surrogate. */
export const inexact = '\ud800';

/** Parses a text that was scanned before. A number that some reader would change becomes `inexact`. */
export function parseExactly(text: string): unknown {
  if (!suspect.test(text)) return JSON.parse(text);
  return JSON.parse(
    text.replace(stringOrSuspect, (token) => (token.startsWith('"') || isExact(token) ? token : '"\\ud800"')),
  );
}

/** Long numbers, exponents and a negative zero; within strings too. */
const suspect = /[\d.]{16}|\d[eE]|-0/;
const stringOrSuspect = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?[eE][+-]?\d+|-?[\d.]{16,}|-0(?:\.0+)?(?![\d.eE])/g;

/** More characters than a number of 17 digits needs. */
const longest = 40;
/** A double holds any 15 digits, unless it is tiny. */
const surelyExact = 15;
const smallest = 1e-290;

/** True for a double of these very digits, within the integers that all readers hold. The only zero is the positive one. */
export function isExact(text: string): boolean {
  const value = Number(text);
  const size = Math.abs(value);
  if (size === 0) return zero.test(text);
  if (text.length > longest || size > Number.MAX_SAFE_INTEGER) return false;
  return (text.length <= surelyExact && size > smallest) || digitsOf(text) === digitsOf(String(value));
}

const zero = /^0(?:\.0+)?(?:[eE].*)?$/;

/** The digits between the zeros at both ends, and the power of ten behind them. */
function digitsOf(text: string): string {
  const [mantissa = '', exponent = '0'] = text.toLowerCase().split('e');
  const [whole = '', fraction = ''] = mantissa.replace('-', '').split('.');
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = digits.replace(/0+$/, '');
  if (significant === '') return '0';
  return `${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`;
}
