// What an RSA public key must be at least, whoever publishes it.

const minModulusBits = 2048;
/** Beyond this one verification takes too long. */
const maxModulusBits = 8192;
/** NIST SP 800-56B §6.2: odd and above 2^16; the upper bound keeps verification cheap. */
const minExponent = 65_537n;
const maxExponent = 2n ** 32n;
const smallPrimes = [
  3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113,
  127, 131, 137, 139, 149, 151, 157, 163, 167,
].map(BigInt);

export function isStrongModulus(modulus: bigint): boolean {
  const bits = modulus.toString(2).length;
  return (
    bits >= minModulusBits &&
    bits <= maxModulusBits &&
    modulus % 2n === 1n &&
    smallPrimes.every((prime) => modulus % prime !== 0n)
  );
}

export function isStrongExponent(exponent: bigint): boolean {
  return exponent >= minExponent && exponent < maxExponent && exponent % 2n === 1n;
}

/**
 * CVE-2017-15361: the library behind these keys built primes from powers of 65537, so that the modulus is such a power modulo every
 * small prime. A good key looks like that about once in 2^27.
 */
export function hasRocaFingerprint(modulus: bigint): boolean {
  return smallPrimes.every((prime) => isPowerOf65537(modulus % prime, prime));
}

function isPowerOf65537(residue: bigint, prime: bigint): boolean {
  let power = 1n;
  do {
    if (power === residue) return true;
    power = (power * 65_537n) % prime;
  } while (power !== 1n);
  return false;
}
