// PEM (RFC 7468): every block in a file, of one kind, or none of it.

/** The DER of each block. Throws an Error when there is none, or when one is damaged or of another kind. */
export function parsePem(text: string, label: string): Buffer[] {
  const begun = text.match(/-----BEGIN /g)?.length ?? 0;
  if (begun === 0) throw new Error(`there is no PEM block "${label}" in it`);
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+)-----END \1-----/g)];
  if (blocks.length !== begun) throw new Error('a PEM block in it is damaged');
  return blocks.map(([, found, base64]) => {
    if (found !== label) throw new Error(`a PEM block in it is "${found}", and not "${label}"`);
    return Buffer.from(base64 ?? '', 'base64');
  });
}
