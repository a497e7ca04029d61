// The client's certificate as RFC 9440 wants it: the DER bytes in base64 between colons. Empty without one; nginx then sends no header.
function header(request) {
  const pem = request.variables.ssl_client_raw_cert;
  if (!pem) return '';
  return `:${pem.replace(/-----[^-]+-----|\s/g, '')}:`;
}

// biome-ignore lint/style/noDefaultExport: nginx imports nothing else.
export default { header };
