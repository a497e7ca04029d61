// Readers of what the syslog sink writes, by the grammars of RFC 6587, RFC 5424 and CEF: strict, so that what they read is well formed.

/** The messages in octet-counted frames. Throws for anything else, also an incomplete frame. */
export function parseFrames(bytes: Buffer): Buffer[] {
  const { messages, rest } = takeFrames(bytes);
  if (rest.length > 0) throw new Error(`an incomplete frame: ${rest.subarray(0, 40)}`);
  return messages;
}

/** The whole messages, and what is left behind them. */
export function takeFrames(bytes: Buffer): { messages: Buffer[]; rest: Buffer } {
  const messages: Buffer[] = [];
  let rest = bytes;
  for (;;) {
    const space = rest.indexOf(32);
    const length = rest.toString('latin1', 0, space === -1 ? rest.length : space);
    if (length !== '' && !/^[1-9]\d{0,6}$/.test(length)) throw new Error(`no frame: ${length.slice(0, 40)}`);
    const end = space + 1 + Number(length);
    if (space === -1 || end > rest.length) return { messages, rest };
    messages.push(rest.subarray(space + 1, end));
    rest = rest.subarray(end);
  }
}

const header =
  /^<(\d{1,3})>1 (-|[\dT:.-]+Z) ([\x21-\x7e]{1,255}) ([\x21-\x7e]{1,48}) ([\x21-\x7e]{1,128}) ([\x21-\x7e]{1,32}) /;
const sdElement = /^\[([^\s="\]]{1,32})((?: [^\s="\]]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\]/;
const sdParam = / ([^\s="\]]{1,32})="((?:[^"\\\]]|\\["\\\]])*)"/g;

/** A message of RFC 5424. */
export function parseMessage(bytes: Buffer) {
  const text = bytes.toString();
  const [whole = '', priority, time, host, app, process, id] = header.exec(text) ?? [];
  if (whole === '') throw new Error(`no syslog message: ${text}`);
  const data: Record<string, Record<string, string>> = {};
  let rest = text.slice(whole.length);
  for (let match = sdElement.exec(rest); match !== null; match = sdElement.exec(rest)) {
    const params = [...match[2]!.matchAll(sdParam)].map(([, name, value]) => [
      name,
      value!.replace(/\\(["\\\]])/g, '$1'),
    ]);
    data[match[1]!] = Object.fromEntries(params);
    rest = rest.slice(match[0].length);
  }
  if (!rest.startsWith(' ')) throw new Error(`no structured data: ${rest}`);
  return { priority: Number(priority), time, host, app, process, id, data, message: Buffer.from(rest.slice(1)) };
}

/** Header and extension of a CEF line, unescaped. */
export function parseCef(line: string): { header: string[]; extension: Record<string, string> } {
  const fields = /^((?:(?:[^|\\]|\\[|\\])*\|){7})(.*)$/su.exec(line);
  if (fields === null) throw new Error(`no CEF: ${line}`);
  const head = [...fields[1]!.matchAll(/((?:[^|\\]|\\[|\\])*)\|/gsu)].map(([, text]) =>
    text!.replace(/\\([|\\])/g, '$1'),
  );
  const extension: Record<string, string> = {};
  const pair = /(?:^| )([A-Za-z0-9]+)=((?:[^=\\]|\\[=\\nr])*)(?= [A-Za-z0-9]+=|$)/gsu;
  for (const [, key, value] of fields[2]!.matchAll(pair)) {
    extension[key!] = value!.replace(/\\([=\\nr])/g, (_, unit: string) => ({ n: '\n', r: '\r' })[unit] ?? unit);
  }
  return { header: head, extension };
}
