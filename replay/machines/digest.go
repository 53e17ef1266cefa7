package machines

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// Digest tells profiles apart by their figures: 16 hex digits, equal for equal figures,
// whatever their name and sources.
func (p *Profile) Digest() string {
	h := sha256.New()
	for i := range figures {
		if value := figures[i].codec.format(p); value != nil {
			fmt.Fprintf(h, "%s=%s\n", figures[i].path(), compact(value))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
