//! Bytes that look random, and are the same each time: SplitMix64.

/// A source of random bytes and numbers. The same seed gives the same ones.
pub struct Noise(u64);

impl Noise {
    /// The source with this seed.
    pub fn seeded(seed: u64) -> Self {
        Noise(seed)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    /// The next bytes. They are no frames: the first is a reserved opcode, so that none of them
    /// passes for a Close.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        if let Some(first) = bytes.first_mut() {
            *first = 0x83;
        }
        bytes
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
