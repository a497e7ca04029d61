// Look-alikes of ASCII characters, as lenient readers take them for the character itself.

/** The text as a reader gets it that maps best fits and compatibility forms (NFKC). */
export function foldLookAlikes(text: string): string {
  return text.replace(bestFitCharacters, (character) => bestFit[character]!).normalize('NFKC');
}

/** Dots of domain names (UTS 46), and slashes that no normalization maps. */
const bestFit: Readonly<Record<string, string>> = {
  '\u3002': '.',
  '\uff61': '.',
  '\u2044': '/',
  '\u2215': '/',
  '\u29f8': '/',
  '\u2216': '\\',
  '\u29f5': '\\',
  '\u29f9': '\\',
};
const bestFitCharacters = new RegExp(`[${Object.keys(bestFit).join('')}]`, 'g');
