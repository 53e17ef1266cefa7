package sim

// PRNG is xorshift64* (Vigna 2016): our own, so that no toolchain can change a
// run. The zero value is not usable; see NewPRNG.
type PRNG struct{ state uint64 }

// NewPRNG returns a generator for the seed; equal seeds give equal sequences.
func NewPRNG(seed uint64) PRNG {
	// splitmix64 spreads small seeds and never yields 0 for two of them.
	z := seed + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	if z == 0 {
		z = 0x9e3779b97f4a7c15
	}
	return PRNG{z}
}

// Uint64 returns the next number.
func (r *PRNG) Uint64() uint64 {
	r.state ^= r.state >> 12
	r.state ^= r.state << 25
	r.state ^= r.state >> 27
	return r.state * 0x2545f4914f6cdd1d
}

// Permille is true p times out of 1000.
func (r *PRNG) Permille(p int64) bool { return int64(r.Uint64()>>32)%1000 < p }
