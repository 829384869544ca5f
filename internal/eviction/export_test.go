package eviction

// HashForTest stands for the digest of a key: numbers in a row have hashes that are not.
func HashForTest(key int) uint32 {
	x := uint64(key) + 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return uint32(x ^ x>>31)
}
