//! CRC-64 by ECMA-182, reflected (CRC-64/XZ), which OSS sends in `x-oss-hash-crc64ecma`.

/// The polynomial, lowest power first.
const POLYNOMIAL: u64 = 0xC96C_5795_D787_0F42;

/// The effect of each byte value on the checksum, by the number of bytes that follow it.
static TABLES: [[u64; 256]; 8] = tables();

const fn tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut rest = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            rest = by_x(rest);
            bit += 1;
        }
        tables[0][byte] = rest;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let rest: u64 = tables[table - 1][byte];
            tables[table][byte] = tables[0][(rest & 0xFF) as usize] ^ (rest >> 8);
            byte += 1;
        }
        table += 1;
    }
    tables
}

/// Multiplies by x.
const fn by_x(rest: u64) -> u64 {
    if rest & 1 == 1 {
        (rest >> 1) ^ POLYNOMIAL
    } else {
        rest >> 1
    }
}

/// Continues a checksum with more bytes. The checksum of no bytes is 0.
pub(crate) fn crc64(begun: u64, bytes: &[u8]) -> u64 {
    let mut rest = !begun;
    let (words, tail) = bytes.as_chunks::<8>();
    for word in words {
        let mixed = (rest ^ u64::from_le_bytes(*word)).to_le_bytes();
        rest = TABLES[7][usize::from(mixed[0])]
            ^ TABLES[6][usize::from(mixed[1])]
            ^ TABLES[5][usize::from(mixed[2])]
            ^ TABLES[4][usize::from(mixed[3])]
            ^ TABLES[3][usize::from(mixed[4])]
            ^ TABLES[2][usize::from(mixed[5])]
            ^ TABLES[1][usize::from(mixed[6])]
            ^ TABLES[0][usize::from(mixed[7])];
    }
    for byte in tail {
        let index = usize::from(rest.to_le_bytes()[0] ^ byte);
        rest = TABLES[0][index] ^ (rest >> 8);
    }
    !rest
}

/// The checksum of two concatenated byte strings, of which the second has this length.
pub(crate) fn combine(first: u64, second: u64, mut length: u64) -> u64 {
    let mut shifted = first;
    // x to the power of 8, which is one byte.
    let mut power = 1 << 55;
    while length > 0 {
        if length & 1 == 1 {
            shifted = multiply(shifted, power);
        }
        power = multiply(power, power);
        length >>= 1;
    }
    shifted ^ second
}

/// Multiplies two polynomials modulo the polynomial of the checksum.
fn multiply(first: u64, mut second: u64) -> u64 {
    let mut product = 0;
    for power in (0..64).rev() {
        if first >> power & 1 == 1 {
            product ^= second;
        }
        second = by_x(second);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_matches_the_standard() {
        assert_eq!(crc64(0, b"123456789"), 0x995D_C9BB_DF19_39FA);
        assert_eq!(crc64(0, b""), 0);
    }

    #[test]
    fn checksums_of_parts_combine_to_that_of_the_whole() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_000).collect();
        for cut in [0, 1, 7, 500, 999, 1_000] {
            let (first, second) = bytes.split_at(cut);
            let whole = crc64(0, &bytes);
            assert_eq!(crc64(crc64(0, first), second), whole);
            let second_length = (1_000 - cut) as u64;
            assert_eq!(
                combine(crc64(0, first), crc64(0, second), second_length),
                whole
            );
        }
    }
}
