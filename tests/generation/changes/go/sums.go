package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

func init() {
	cases["sums"] = func() {
		h := sha256.New()
		h.Write([]byte("m"))
		sum := h.Sum(nil)
		show(bytes.Equal(sum, nil), hex.EncodeToString(sum) == "a")
	}
}
